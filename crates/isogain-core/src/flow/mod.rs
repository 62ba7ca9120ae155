//! The chain rule taken apart: cotangents at the joints of a network and the exact split of each log-gain into causes.
//!
//! With g_k the cotangent dL/d(output of operation k) over the whole batch, the log-gain of operation k is
//! ln(rms g_in / rms g_out), where g_in is the cotangent at its input. The sum over the chain equals the total exactly,
//! and each operation's log-gain is split exactly again into named causes.
//!
//! An engine fills a [`capture::Capture`] for one batch, [`attribute()`] turns it into a [`Flow`], and
//! [`profile::Profile`] groups the flow into layers. [`mod@reference`] is a slow, exact engine to check the others against.

use serde::{Deserialize, Deserializer, Serialize};

mod activation;
mod asked;
mod attention;
mod attribute;
pub mod capture;
mod convolution;
pub mod counterfactual;
mod frozen;
mod head;
pub mod jacobian;
mod linear;
mod map;
mod matrix;
mod norm;
pub mod path_lengths;
mod pool;
mod product;
pub mod profile;
mod qk_norm;
mod recurrent;
pub mod reference;
mod residual;
mod retrace;
mod samples;
pub mod shattering;
pub mod unrolled;
mod values;
mod ways;
mod weight;

pub use asked::Asked;
pub use attribute::attribute;
pub use counterfactual::Counterfactual;
pub use jacobian::Jacobian;
pub use path_lengths::PathLengths;
pub use values::Values;

/// The gradient's way back through one network, measured on one batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// ln(rms of the cotangent at the network's input / rms at the input of the head), nepers. It is taken from these
    /// two ends, and equals the sum over `joints` where every joint has a log-gain; 0 when nothing precedes the head.
    /// `None` when one of the ends is zero or not finite.
    pub total_log_gain: Option<f64>,
    /// The operations before the head, in forward order.
    pub joints: Vec<Joint>,
    /// The head: the last linear operation, what follows it, and the loss.
    pub head: Head,
    /// The gradient of each weight, taken apart, in forward order.
    pub weights: Vec<WeightGradient>,
    /// What the first layer's gradient would be if single factors were ideal; `None` where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub counterfactual: Option<Counterfactual>,
    /// Through how many branches of a residual network the gradient comes; `None` where nobody asked, and without
    /// branches.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path_lengths: Option<Asked<PathLengths>>,
    /// How a gradient of any direction fares between the first layer and the head; `None` where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub jacobian: Option<Asked<Jacobian>>,
}

impl Flow {
    /// Mean log-gain of one time step on the way back through time, nepers, of the recurrent operation that changes the
    /// gradient most; `None` without one that has several steps.
    pub fn log_gain_per_time_step(&self) -> Option<f64> {
        let ways = self.joints.iter().filter_map(Joint::way_through_time);
        let (log_gain, steps) = ways.max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()))?;
        Some(log_gain / steps as f64)
    }
}

/// One operation and what it does to the cotangent that passes back through it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// The operation's name.
    pub name: String,
    /// The operation's kind: `linear`, `convolution`, `activation`, `norm`, `residual`, `auxiliary-head`, `recurrent`, `attention`, and
    /// for what is taken whole `module` (with weights) or `operation` (without).
    pub kind: String,
    /// ln(rms cotangent at the input / rms cotangent at the output), nepers. `None` when either is zero or not finite.
    pub log_gain: Option<f64>,
    /// The causes; their log-gains add up to `log_gain`. Empty when that is `None`.
    pub split: Vec<Part>,
    /// RMS per element of the cotangent at the operation's output, the mean over the batch divided out.
    #[serde(deserialize_with = "number_or_nan")]
    pub cotangent_rms: f64,
    /// RMS per element of the cotangent at the operation's input, the mean over the batch divided out.
    #[serde(deserialize_with = "number_or_nan")]
    pub cotangent_in_rms: f64,
    /// RMS per element of the operation's output.
    #[serde(deserialize_with = "number_or_nan")]
    pub activation_rms: f64,
    /// How skip and branch share the cotangent, for a residual operation; how what follows and the head do, for an auxiliary
    /// head.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<Branch>,
    /// RMS per element of the cotangent of the state after each time step, first step first, the mean over the batch
    /// divided out; empty for what is not recurrent.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub states: Vec<f64>,
    /// The ways back through time: their shares add up to 1. Empty for what is not recurrent or taken whole.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<PathShare>,
}

impl Joint {
    /// Whether people would say that a layer begins here: it multiplies by weights, or is a residual block.
    pub fn begins_layer(&self) -> bool {
        matches!(self.kind.as_str(), "linear" | "convolution" | "residual" | "recurrent" | "module")
    }

    /// From the last time step back to the first one that any gradient reaches: ln(rms there / rms at the last), nepers, and
    /// the number of steps.
    fn way_through_time(&self) -> Option<(f64, usize)> {
        let reaches = |rms: &f64| *rms > 0.0 && rms.is_finite();
        let last = self.states.last().filter(|rms| reaches(rms))?;
        let steps = self.states.iter().rev().take_while(|rms| reaches(rms)).count() - 1;
        let first = self.states.get(self.states.len() - 1 - steps)?;
        (steps > 0).then(|| ((first / last).ln(), steps))
    }
}

/// One of the ways by which a state's cotangent reaches the state before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathShare {
    /// The gate, `cell` for an LSTM's own cell, `carry` for what a GRU, an antisymmetric, a diagonal or an oscillating recurrence keeps, `state` for the
    /// weights of a plain recurrence.
    pub path: String,
    /// Mean over the steps of <p, r> / |r|^2, r being all that the recurrence carries back and p what this path does.
    #[serde(deserialize_with = "number_or_nan")]
    pub share: f64,
}

/// One cause of a log-gain.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Which factor of the chain rule.
    pub cause: Cause,
    /// Its log-gain, nepers.
    pub log_gain: f64,
}

/// A factor of the chain rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Activation: 1/2 ln mean(phi'^2), from the forward pass alone.
    ActivationSlope,
    /// Activation: how the cotangent correlates with phi'^2.
    SlopeCorrelation,
    /// Linear: 1/2 ln(|W|_F^2 / fan_in).
    WeightScale,
    /// Linear: how the cotangent lies along W's singular directions.
    Alignment,
    /// Norm: the factor gamma / sigma.
    Rescale,
    /// Norm: what centring and the removal of the normalised direction take away.
    Projection,
    /// Residual: what the branch adds to the skip's cotangent.
    BranchSum,
    /// Auxiliary head: what it adds to the cotangent of what follows.
    AuxiliaryHead,
    /// Attention: what the values alone carry back.
    ValuePath,
    /// Attention: what the queries add, through the softmax.
    QueryPath,
    /// Attention: what the keys add, through the softmax.
    KeyPath,
    /// An operation that is taken whole.
    Whole,
}

/// How a residual operation's skip and branch share the cotangent: g_in = s + b with b = scale * J_F^T g and s = J_S^T g,
/// g itself where the skip is the identity; with a gate s is what does not come through the branch. Of an auxiliary head s is the
/// cotangent g of what follows, and b what comes back through the head, with the factor on its loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// <s, g_in> / |g_in|^2; with `branch_share` it sums to 1 (Shapley values of the energy). 1 when g_in is zero.
    #[serde(deserialize_with = "number_or_nan")]
    pub skip_share: f64,
    /// <b, g_in> / |g_in|^2.
    #[serde(deserialize_with = "number_or_nan")]
    pub branch_share: f64,
    /// |b| / |s|.
    #[serde(deserialize_with = "number_or_nan")]
    pub ratio: f64,
    /// cos(s, b); 0 when b is zero.
    #[serde(deserialize_with = "number_or_nan")]
    pub cosine: f64,
    /// The operations of the branch; their log-gains add up to ln(|b|/|s|) - ln|scale| where the skip is the
    /// identity, it is a sum and one factor scales all channels. Those of an auxiliary head add up to ln of |b| over the cotangent that its
    /// own loss starts with.
    pub joints: Vec<Joint>,
    /// The operations of the skip, where it is not the identity.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub shortcut: Vec<Joint>,
    /// The layer under the gate, where one shares out between skip and branch.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub gate: Vec<Joint>,
}

/// The end of the network: the cotangent's source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Value of the loss on the batch.
    #[serde(deserialize_with = "number_or_nan")]
    pub loss: f64,
    /// RMS of the outputs.
    #[serde(deserialize_with = "number_or_nan")]
    pub output_rms: f64,
    /// RMS over the batch of each output's deviation from its mean over the batch: the part that depends on the input.
    #[serde(deserialize_with = "number_or_nan")]
    pub output_spread_rms: f64,
    /// RMS of dL/d(output) per sample: the 1/batch of the mean is divided out.
    #[serde(deserialize_with = "number_or_nan")]
    pub cotangent_rms: f64,
    /// The head's own operations (linear and what follows it), in forward order.
    pub joints: Vec<Joint>,
}

/// ln|dW| taken apart: dL/dW = sum over the batch of x_i d_i^T.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightGradient {
    /// The linear operation.
    pub name: String,
    /// ln of the L2 norm of the gradient (of the mean loss); `None` when it is zero or not finite.
    pub log_norm: Option<f64>,
    /// ln rms of the cotangent at the operation's output (1/batch divided out) plus 1/2 ln fan_out; `None` when that
    /// cotangent is zero or not finite.
    pub backward_signal: Option<f64>,
    /// ln rms of the operation's input plus 1/2 ln fan_in; `None` when that input is zero or not finite.
    pub input_size: Option<f64>,
    /// The rest, `log_norm - backward_signal - input_size`: 1/2 ln coherence, where
    /// coherence = |dW|^2 / (mean |d_i|^2 mean |x_i|^2). Below 0 the samples cancel each other. `None` when one of the
    /// three is.
    pub coherence: Option<f64>,
}

/// A cause and its part in the log-gain of several joints.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CauseShare {
    /// Which factor of the chain rule.
    pub cause: Cause,
    /// Its log-gain over the layers concerned, nepers.
    pub log_gain: f64,
    /// Its share of the sum of those log-gains that act in the total's direction, in [0, 1].
    pub share: f64,
}

// JSON has no NaN and no infinities and writes them as null; this reads that back.
fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
