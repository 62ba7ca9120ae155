//! `[data]`: what the network is trained on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::variants::Name;
use crate::network::Loss;

/// What the network is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// A name from [`Data::BUILT_IN`], or the path of a file or folder relative to the recipe.
    pub source: String,
    /// How to read it; found from name and content when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The file of the labels, where they stand apart from the inputs (IDX, npy).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub labels: String,
    /// Columns or keys of the targets; the last column when empty.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "one_or_many")]
    pub target: Vec<String>,
    /// Data that comes with a test part of its own: its path, in the same format.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub test_source: String,
    /// The labels of `test_source`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub test_labels: String,
    /// Classes or numbers.
    pub task: Task,
    /// What outputs are compared by, where that is not the task's usual loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossName>,
    /// Samples in one step.
    pub batch: usize,
    /// How many samples to use in all, drawn by the seed of the split; all of a file, or a generator's own number,
    /// when 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub samples: usize,
    /// Steps of a generated sequence, characters of a window of text; the format's own number when 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub length: usize,
    /// Numbers in each sample of `gaussian`; 32 when 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub features: usize,
    /// Arms of `spirals`, classes of `gaussian`; 3 when 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub classes: usize,
    /// Share of the samples kept for testing.
    pub test_fraction: f64,
    /// Whether each input feature is shifted and scaled to mean 0 and deviation 1 (statistics of the training part);
    /// in images and series each channel, over all positions. Text and generated data stay as they are.
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
    /// Numbers; mean squared error.
    Regression,
}

/// How a file or folder is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Comma-separated text with a header line.
    Csv,
    /// The binary format of MNIST, `.gz` or not.
    Idx,
    /// The binary batches of CIFAR-10: a label and 32 x 32 pixels.
    #[serde(rename = "cifar-10")]
    Cifar10,
    /// The same with a coarse and a fine label.
    #[serde(rename = "cifar-100")]
    Cifar100,
    /// A folder with one subfolder of PNG files for each class.
    Images,
    /// Columns, as data frames are stored.
    Parquet,
    /// One array of NumPy.
    Npy,
    /// Several arrays of NumPy in one file.
    Npz,
    /// Time series of the UCR and UEA archive.
    Ts,
    /// UTF-8 text, character by character.
    Text,
    /// Named tensors.
    Safetensors,
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

impl fmt::Display for LossName {
    /// The name that it has in a recipe.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Name(self).fmt(f)
    }
}

impl Data {
    /// The sources that need no file: real digits (UCI, 8x8), and generated data.
    pub const BUILT_IN: [&str; 6] = ["digits", "adding", "temporal-order", "copy-memory", "spirals", "gaussian"];
    /// The first of them, and the default.
    pub const DIGITS: &str = Self::BUILT_IN[0];

    /// Whether the source needs no file.
    pub fn is_built_in(&self) -> bool {
        Self::BUILT_IN.contains(&self.source.as_str())
    }

    /// Whether the source is drawn from a random generator.
    pub fn is_generated(&self) -> bool {
        self.is_built_in() && self.source != Self::DIGITS
    }

    /// Every path in it, to be changed.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let is_file = !self.is_built_in();
        let paths = [&mut self.source, &mut self.labels, &mut self.test_source, &mut self.test_labels];
        paths.into_iter().filter(move |path| is_file && !path.is_empty())
    }

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
            source: Self::DIGITS.into(),
            format: None,
            labels: String::new(),
            target: Vec::new(),
            test_source: String::new(),
            test_labels: String::new(),
            task: Task::Classification,
            loss: None,
            batch: 64,
            samples: 0,
            length: 0,
            features: 0,
            classes: 0,
            test_fraction: 0.2,
            standardize: true,
            standardize_target: true,
            input_scale: 1.0,
        }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One name as a text, several as a list.
mod one_or_many {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }

    pub(super) fn serialize<S: Serializer>(names: &Vec<String>, serializer: S) -> Result<S::Ok, S::Error> {
        match names.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        Ok(match Names::deserialize(deserializer)? {
            Names::One(one) => vec![one],
            Names::Many(many) => many,
        })
    }
}
