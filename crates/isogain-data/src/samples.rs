//! A batch in memory.

use isogain_core::network::Shape;

/// Samples with their targets, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// Shape of one sample.
    pub shape: Shape,
    /// Row-major `[samples, positions x features]`, channels last.
    pub inputs: Vec<f64>,
    /// What is to be predicted.
    pub targets: Targets,
}

/// What is to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Class indices from 0: one for each sample, or one for each position of each sample.
    Classes {
        /// `[samples]`, or `[samples, positions]`.
        labels: Vec<usize>,
        /// How many classes there are.
        classes: usize,
    },
    /// Numbers.
    Values {
        /// Row-major `[samples, outputs]`.
        values: Vec<f64>,
        /// Numbers for each sample.
        outputs: usize,
    },
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.inputs.len() / self.shape.values().max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }
}
