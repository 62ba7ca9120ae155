//! `[data]`: what the network is trained on.

use serde::{Deserialize, Serialize};

/// What the network is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// `digits` (built in), or the path of a CSV file relative to the recipe.
    pub source: String,
    /// Column of the target in a CSV file; the last one when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Classes or numbers.
    pub task: Task,
    /// Samples in one step.
    pub batch: usize,
    /// Share of the samples kept for testing.
    pub test_fraction: f64,
    /// Whether each input feature is shifted and scaled to mean 0 and deviation 1 (statistics of the training part).
    pub standardize: bool,
    /// Whether a regression target is shifted and scaled likewise.
    pub standardize_target: bool,
    /// Factor on every input after standardisation.
    pub input_scale: f64,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One class of several; cross-entropy.
    Classification,
    /// One number; mean squared error.
    Regression,
}

impl Data {
    /// The source that needs no file: the UCI 8x8 digits.
    pub const BUILT_IN: &str = "digits";
}

impl Default for Data {
    fn default() -> Self {
        Self {
            source: Self::BUILT_IN.into(),
            target: String::new(),
            task: Task::Classification,
            batch: 64,
            test_fraction: 0.2,
            standardize: true,
            standardize_target: true,
            input_scale: 1.0,
        }
    }
}
