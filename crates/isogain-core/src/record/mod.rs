//! The run on disk: what is kept, in which lines, and how it is read again.
//!
//! A run is a folder with `recipe.toml` and `run.jsonl`: a header, then one JSON object a line, appended and never
//! rewritten. That survives a crash, can be followed while it grows, and can be written by any language. A number that
//! is not finite stays visible: NaN is `null`, the infinities are `"Infinity"` and `"-Infinity"`.

pub mod cadence;
pub mod compare;
pub mod error;
pub mod export;
pub mod flight;
pub mod healed;
pub mod import;
pub mod line;
mod number;
pub mod reader;
pub mod recorder;
mod snapshot;
pub mod writer;

pub use error::RecordError;
pub use healed::Healed;
pub use line::{Header, Line};
pub use reader::{Reader, Run, read};
pub use recorder::Recorder;
pub use writer::Writer;

use serde::{Deserialize, Serialize};

use crate::conservation::BrokenLaw;
use crate::flow::Flow;
use crate::flow::shattering::Shattering;
use crate::statistics::{ExponentHistogram, Moments};

/// The lines of a run, in its folder.
pub const RUN_FILE: &str = "run.jsonl";

/// What was run, in its folder.
pub const RECIPE_FILE: &str = "recipe.toml";

/// What was measured on one batch at one moment, with full tensors at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Optimizer updates done before.
    pub step: u64,
    /// Samples in the batch.
    pub batch: usize,
    /// The chain rule taken apart.
    pub flow: Flow,
    /// What single units do, one entry for each activation.
    pub units: Vec<UnitRecord>,
    /// Weights, biases and other parameters with their gradients.
    pub parameters: Vec<ParameterRecord>,
    /// Statistics at each operation's output.
    pub joints: Vec<JointRecord>,
    /// Whether the learning rate suits; `None` where it was not measured.
    pub sharpness: Option<Sharpness>,
    /// Whether neighbouring inputs still get gradients that are alike; `None` where it was not measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shattering: Option<Shattering>,
    /// Exact laws that weights and gradients contradict, in forward order; empty where none is broken, or none was looked
    /// at.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub broken_laws: Vec<BrokenLaw>,
}

/// What the units of one activation do on a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// The activation operation.
    pub name: String,
    /// Number of units.
    pub units: usize,
    /// Units with output exactly zero on every sample.
    pub dead: usize,
    /// Units whose output equals another unit's on every sample.
    pub duplicates: usize,
    /// Share of values with |phi'| below 0.01 although the activation is not piecewise linear, in [0, 1].
    #[serde(with = "number")]
    pub saturated_fraction: f64,
    /// Share of the output's mean square that varies between samples, in [0, 1]; 0 means every sample looks alike.
    #[serde(with = "number")]
    pub signal_fraction: f64,
}

/// Whether the learning rate suits the network: medians over several initialisation seeds, before training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sharpness {
    /// Largest eigenvalue of the Gauss-Newton matrix of the loss on one batch.
    #[serde(with = "number")]
    pub gauss_newton: f64,
    /// Largest rise of the loss above its running minimum while a copy of the network takes some steps of the recipe's
    /// optimizer on one batch again and again; `None` when the loss stopped being finite.
    pub rehearsal_rise: Option<f64>,
    /// The loss before those steps.
    #[serde(with = "number")]
    pub rehearsal_first: f64,
    /// The loss after them; `None` when it stopped being finite, and in records that were written without it.
    #[serde(default)]
    pub rehearsal_last: Option<f64>,
    /// Seeds that the medians are taken over.
    pub seeds: usize,
}

/// One watched step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimizer updates done before this one.
    pub step: u64,
    /// Loss on the step's batch.
    #[serde(with = "number")]
    pub loss: f64,
    /// Step size used.
    #[serde(with = "number")]
    pub learning_rate: f64,
    /// Activations and cotangents.
    pub joints: Vec<JointRecord>,
    /// Parameters, gradients, updates.
    pub parameters: Vec<ParameterRecord>,
    /// What clipping did; `None` without clipping.
    pub clip: Option<ClipRecord>,
    /// What loss scaling did; `None` without it. Cotangents and gradients of the record are without the scale.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scaling: Option<ScalingRecord>,
    /// The chain rule taken apart, at steps where full tensors were kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshot: Option<Snapshot>,
    /// How many values have which order of magnitude, where that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub histograms: Vec<HistogramRecord>,
}

/// Orders of magnitude of the values of one tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistogramRecord {
    /// Operation or parameter.
    pub name: String,
    /// Which of its tensors.
    pub kind: TensorKind,
    /// Counts by binary exponent.
    pub histogram: ExponentHistogram,
}

/// Which tensor of an operation or a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TensorKind {
    /// An operation's output.
    Activation,
    /// dL/d(output), of the mean loss.
    Cotangent,
    /// A parameter before the update.
    Weight,
    /// Its gradient before clipping.
    Gradient,
}

impl TensorKind {
    /// The word that stands in a record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Activation => "activation",
            Self::Cotangent => "cotangent",
            Self::Weight => "weight",
            Self::Gradient => "gradient",
        }
    }
}

/// Statistics at one operation's output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointRecord {
    /// The operation.
    pub name: String,
    /// Its output.
    pub activation: Moments,
    /// dL/d(output), of the mean loss.
    pub cotangent: Moments,
    /// What the operation tells beside its output, if anything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<Detail>,
}

/// What some operations tell beside their output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// How attention spreads.
    Attention(AttentionRecord),
    /// How open the gates of a recurrent layer are.
    Gates(Vec<GateRecord>),
    /// How much the positions of a sample differ: RMS of the deviation from their mean over the RMS of the values, in
    /// \[0, 1\]. 0: all positions look alike (rank collapse).
    Spread(#[serde(with = "number")] f64),
}

/// How attention spreads over the positions that it may look at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttentionRecord {
    /// Entropy of the weights over the ln of the number of visible positions, mean over rows that see two or more, in
    /// \[0, 1\]. 0: each looks at one position; 1: all alike.
    #[serde(with = "number")]
    pub entropy: f64,
    /// RMS of the logits, each row's mean taken out.
    #[serde(with = "number")]
    pub logit_rms: f64,
    /// Largest magnitude of a logit.
    #[serde(with = "number")]
    pub largest_logit: f64,
}

/// How open one gate is, over steps, samples and units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateRecord {
    /// Its name.
    pub gate: String,
    /// Mean value; of the candidate or state, mean magnitude.
    #[serde(with = "number")]
    pub mean: f64,
    /// Share of the values whose slope is below 0.01.
    #[serde(with = "number")]
    pub saturated_fraction: f64,
}

/// Statistics of one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterRecord {
    /// `<op>.weight`, `<op>.bias` ...
    pub name: String,
    /// The parameter before the update.
    pub weight: Moments,
    /// Its gradient before clipping.
    pub gradient: Moments,
    /// The update that was applied; empty in a snapshot before training.
    pub update: Moments,
}

/// What loss scaling did at one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalingRecord {
    /// What the loss was multiplied with.
    #[serde(with = "number")]
    pub loss_scale: f64,
    /// Whether the step was left out because a gradient overflowed.
    pub skipped: bool,
}

/// What clipping did to one step's gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipRecord {
    /// L2 norm of all gradients before.
    #[serde(with = "number")]
    pub norm_before: f64,
    /// L2 norm after.
    #[serde(with = "number")]
    pub norm_after: f64,
    /// Cosine between the gradient before and after.
    #[serde(with = "number")]
    pub cosine: f64,
    /// Whether the threshold acted.
    pub acted: bool,
}

/// What the data looks like as the network sees it (after standardisation, if any).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Name or path.
    pub source: String,
    /// Samples for training.
    pub train_samples: usize,
    /// Samples for testing.
    pub test_samples: usize,
    /// Input statistics over the training part.
    pub input: Moments,
    /// Largest ratio between the RMS of two input features (features that are constant left out).
    #[serde(with = "number")]
    pub feature_rms_ratio: f64,
    /// Target statistics for regression.
    pub target: Option<Moments>,
    /// Classes, for classification.
    pub classes: Option<usize>,
    /// Loss of always predicting the class frequencies or the mean: the loss of a network that learned nothing.
    #[serde(with = "number")]
    pub baseline_loss: f64,
}

/// How a training ended, judged in evaluation mode on unchanged data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Seed of the run.
    pub seed: u64,
    /// Optimizer updates done.
    pub steps: u64,
    /// Loss of each step's batch (non-finite values kept as `None`).
    pub losses: Vec<Option<f64>>,
    /// Loss on the whole training part; `None` when not finite.
    pub loss: Option<f64>,
    /// Loss on the test part; `None` when not finite.
    pub test_loss: Option<f64>,
    /// Share of training samples classified right; `None` for regression.
    pub train_accuracy: Option<f64>,
    /// Share of test samples classified right; `None` for regression.
    pub test_accuracy: Option<f64>,
    /// First step, operation or parameter, and phase of a non-finite value.
    pub first_non_finite: Option<NonFinite>,
}

/// Where the first non-finite value appeared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NonFinite {
    /// Optimizer updates done before.
    pub step: u64,
    /// Operation or parameter.
    pub name: String,
    /// `forward`, `loss`, `backward` or `update`.
    pub phase: String,
}

#[cfg(test)]
pub(crate) mod samples;
