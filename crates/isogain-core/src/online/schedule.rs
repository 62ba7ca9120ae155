//! Which steps are measured, and how much of them. It depends on the step alone, so that all processes of a distributed
//! training take the same decision without asking each other.

use crate::record::cadence::{DENSE_STEPS, is_written};

/// Between the steps that are written, every one that is a multiple of this is measured: at a cost of less than a
/// tenth of a step that is a few parts in a thousand of the training.
pub const DEFAULT_EVERY: u64 = 32;
/// Of the measured steps, every one that is a multiple of this is measured in full.
const FULL: u64 = 32;

/// How much of a step is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Nothing but the loss.
    Nothing,
    /// One activation and one cotangent of each layer, gradients.
    Layers,
    /// Every operation, units, weights and updates.
    Everything,
}

/// How much of `step` is measured where the user asked for every `every`th one; `None` is the default,
/// [`DEFAULT_EVERY`].
pub fn measure(step: u64, every: Option<u64>) -> Measure {
    let every = every.unwrap_or(DEFAULT_EVERY).max(1);
    let written = step < DENSE_STEPS || is_written(step, u64::MAX);
    if written || step.is_multiple_of(every.saturating_mul(FULL)) {
        Measure::Everything
    } else if step.is_multiple_of(every) {
        Measure::Layers
    } else {
        Measure::Nothing
    }
}

/// Steps that [`next_measured`] looks ahead.
const LOOK_AHEAD: u64 = 1024;

/// The first step from `step` on of which something is measured; far from the next one a step before it, of which
/// nothing is.
pub fn next_measured(step: u64, every: Option<u64>) -> u64 {
    let end = step.saturating_add(LOOK_AHEAD);
    (step..end).find(|&step| measure(step, every) != Measure::Nothing).unwrap_or(end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_whole_and_the_rest_is_sampled() {
        assert_eq!(measure(0, None), Measure::Everything);
        assert_eq!(measure(21, None), Measure::Nothing);
        assert_eq!(measure(64, None), Measure::Layers);
        assert_eq!(measure(21, Some(1)), Measure::Layers);
        assert_eq!(measure(1000, Some(7)), Measure::Everything);
        let count = |wanted| (10_000..20_000).filter(|&step| measure(step, None) == wanted).count();
        assert_eq!((count(Measure::Layers), count(Measure::Everything)), (300, 16));
    }

    #[test]
    fn between_two_measured_steps_nothing_is_measured() {
        for every in [None, Some(1), Some(7), Some(1_000_000)] {
            for step in [0, 19, 20, 21, 999, 1000, 123_456] {
                let next = next_measured(step, every);
                assert!(next >= step);
                assert!((step..next).all(|step| measure(step, every) == Measure::Nothing), "{step} {every:?}");
                assert!(measure(next, every) != Measure::Nothing || next - step == LOOK_AHEAD - 1, "{step} {every:?}");
            }
        }
    }
}
