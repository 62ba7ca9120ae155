//! `[data]`: what the network is trained on.

use serde::{Deserialize, Serialize};

use crate::network::Loss;

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
    /// What outputs are compared by, where that is not the task's usual loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossName>,
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
    /// One class of several; cross-entropy unless another loss is asked for.
    Classification,
    /// One number; mean squared error.
    Regression,
}

/// A loss by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossName {
    /// Softmax cross-entropy of logits.
    CrossEntropy,
    /// Mean squared error; classes as rows of zeros with a one.
    MeanSquaredError,
    /// Of each output by itself: sigmoid cross-entropy of logits. One output where there are two classes.
    BinaryCrossEntropy,
}

impl Data {
    /// The source that needs no file: the UCI 8x8 digits.
    pub const BUILT_IN: &str = "digits";

    /// The loss that this recipe asks for, or the task's usual one.
    pub fn loss(&self) -> Loss {
        match (self.loss, self.task) {
            (Some(LossName::CrossEntropy), _) | (None, Task::Classification) => Loss::CrossEntropy,
            (Some(LossName::MeanSquaredError), _) | (None, Task::Regression) => Loss::MeanSquaredError,
            (Some(LossName::BinaryCrossEntropy), _) => Loss::BinaryCrossEntropy,
        }
    }

    /// Network outputs that stand for so many classes.
    pub fn outputs(&self, classes: usize) -> usize {
        if self.loss() == Loss::BinaryCrossEntropy && classes == 2 { 1 } else { classes }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            source: Self::BUILT_IN.into(),
            target: String::new(),
            task: Task::Classification,
            loss: None,
            batch: 64,
            test_fraction: 0.2,
            standardize: true,
            standardize_target: true,
            input_scale: 1.0,
        }
    }
}
