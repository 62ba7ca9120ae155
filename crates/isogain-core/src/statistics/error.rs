//! What can be wrong with the buffers a statistic is asked of.

/// Buffers whose sizes do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsError {
    /// Two buffers that are compared element by element have different lengths.
    #[error("cannot compare {left} values with {right} values: both sides need the same length")]
    LengthMismatch {
        /// Length of the first buffer.
        left: usize,
        /// Length of the second buffer.
        right: usize,
    },
    /// A buffer does not hold `batch * units` values.
    #[error("a buffer of shape [{batch}, {units}] needs batch * units values, but this one has {len}")]
    ShapeMismatch {
        /// Length of the buffer.
        len: usize,
        /// Number of samples asked for.
        batch: usize,
        /// Number of units asked for.
        units: usize,
    },
}
