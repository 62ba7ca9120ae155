//! What one batch before training says of a treated network: the prediction that is printed beside the verdict, and the
//! score that orders the arms of the trial.
//!
//! Flat gradients alone are not health: ReLU under Glorot has flat *weight* gradients and never trains, and a network that
//! has lost its signal has nothing to learn from. So the score multiplies separate questions, each between 0 and 1, and
//! keeps them apart for the reader.

use serde::{Deserialize, Serialize};

use super::potential::Potential;
use super::tangent_kernel::TangentKernel;
use crate::flow::Joint;
use crate::record::{JointRecord, ParameterRecord, Snapshot};

/// Deviation over layers of a log size, in nepers, at which half of the score is lost: a factor of 7 between typical
/// layers, the spread of a 30-layer batch-norm net that still trains (1.2 per layer).
const HALF_SPREAD: f64 = 2.0;

/// Share of the last activations that varies between samples at which half of the score is lost.
const HALF_SIGNAL: f64 = 0.01;

/// RMS of the outputs, in nepers above 1, at which half of the score is lost: there the head's cotangent no longer depends
/// on the size of the error, and the first step is as large as the weights.
const HALF_OUTPUT: f64 = 2.0;

/// Rise of the loss in the rehearsal at which half of the score is lost: networks that train rise by less than 0.25
/// (rule `learning-rate-too-high`).
const HALF_RISE: f64 = 0.3;

/// How far below the recipe's learning rate the trial searches.
const SEARCHED_BELOW: f64 = 25.0;

/// What is expected of a network from one batch before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Factor of the cotangent's RMS per layer, from the head back to the first layer; 1 is ideal. `None` when it is zero
    /// or not finite somewhere.
    pub factor_per_layer: Option<f64>,
    /// Factor of the cotangent's RMS per time step on the way back through time, see
    /// [`Flow::log_gain_per_time_step`](crate::flow::Flow::log_gain_per_time_step).
    /// `None` for what is not recurrent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub factor_per_time_step: Option<f64>,
    /// ln of the product of the factors over all layers, nepers.
    pub total_log_gain: Option<f64>,
    /// ln of the RMS of the last hidden output over that of the first, nepers.
    pub forward_log_gain: Option<f64>,
    /// Deviation over layers of ln RMS cotangent, nepers.
    pub cotangent_spread: Option<f64>,
    /// Deviation over weights of ln(|dW| / |W|), nepers; weights with exactly zero gradient (behind a zero-initialised
    /// skip), or that are zero themselves, left out.
    pub relative_gradient_spread: Option<f64>,
    /// Share of the last activation's mean square that varies between samples, in [0, 1]; `None` of a single sample.
    pub signal_fraction: Option<f64>,
    /// Largest learning rate that plain gradient descent stands, 2 over the largest curvature.
    pub learning_rate_ceiling: Option<f64>,
    /// Depth to which theory expects such a network to train.
    pub trainable_depth: Option<f64>,
    /// What one step of the optimizer can do; `None` where it was not measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub potential: Option<Potential>,
    /// How alike the gradients of single samples are; `None` where it was not measured. No question of the score: it takes
    /// longer than all the others together, and the first step orders as well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tangent_kernel: Option<TangentKernel>,
    /// In [0, 1], the product of `parts`; orders the arms of a trial.
    pub score: f64,
    /// The factors of the score, each in [0, 1].
    pub parts: Vec<ScorePart>,
}

/// One question behind a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScorePart {
    /// The question.
    pub question: String,
    /// 1 where nothing speaks against training, 0 where training is impossible.
    pub value: f64,
}

/// What else is known of the network the snapshot was taken of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expectation {
    /// The recipe's learning rate.
    pub learning_rate: f64,
    /// Largest learning rate by the curvature on the batch; `None` where it was not measured.
    pub learning_rate_ceiling: Option<f64>,
    /// Depth to which theory expects the network to train; `None` where theory does not cover it.
    pub trainable_depth: Option<f64>,
    /// Largest rise of the loss while the recipe's optimizer rehearses on one batch, in losses of knowing nothing; `None`
    /// where it was not rehearsed.
    pub rehearsal_rise: Option<f64>,
    /// What one step of the optimizer can do; `None` where it was not measured.
    pub potential: Option<Potential>,
}

impl Prediction {
    /// Reads the snapshot of a (treated) network before training.
    pub fn new(snapshot: &Snapshot, expected: &Expectation) -> Self {
        let flow = &snapshot.flow;
        let layers: Vec<&Joint> = flow.joints.iter().filter(|joint| joint.begins_layer()).collect();
        let depth = layers.len().max(1) as f64;
        let total_log_gain = flow.total_log_gain.filter(|_| is_finite(snapshot));
        let is_finite = total_log_gain.is_some();
        let cotangents = layers.iter().map(|joint| joint.cotangent_rms);
        let ends = (flow.joints.first(), flow.joints.last());
        let forward_log_gain = match ends {
            (Some(first), Some(last)) => finite((last.activation_rms / first.activation_rms).ln()),
            _ => None,
        };
        let mut prediction = Self {
            factor_per_layer: total_log_gain.map(|total| (total / depth).exp()),
            factor_per_time_step: flow.log_gain_per_time_step().filter(|_| is_finite).map(f64::exp),
            total_log_gain,
            forward_log_gain,
            cotangent_spread: spread_of_logs(cotangents),
            relative_gradient_spread: spread_of_logs(relative_gradients(&snapshot.parameters)),
            signal_fraction: snapshot.units.last().map(|unit| unit.signal_fraction).filter(|_| snapshot.batch > 1),
            learning_rate_ceiling: expected.learning_rate_ceiling.and_then(finite),
            trainable_depth: expected.trainable_depth,
            potential: expected.potential,
            tangent_kernel: None,
            score: 0.0,
            parts: Vec::new(),
        };
        prediction.parts = prediction.questions(snapshot, expected, is_finite, depth);
        prediction.score = prediction.parts.iter().map(|part| part.value).product();
        prediction
    }

    /// The factor of one step of the longest way: through time where a network is recurrent, else through its layers.
    pub fn factor(&self) -> Option<f64> {
        self.factor_per_time_step.or(self.factor_per_layer)
    }

    /// `x1.00 per layer`, `x0.98 per time step`, or that the signal is lost.
    pub fn headline(&self) -> String {
        let step = if self.factor_per_time_step.is_some() { "per time step" } else { "per layer" };
        match self.factor() {
            Some(factor) if (0.01..1000.0).contains(&factor) => format!("x{factor:.2} {step}"),
            Some(factor) => format!("x{factor:.1e} {step}"),
            None => "the signal is lost".to_owned(),
        }
    }

    fn questions(&self, snapshot: &Snapshot, expected: &Expectation, is_finite: bool, depth: f64) -> Vec<ScorePart> {
        let spread = |spread: Option<f64>| spread.map_or(0.0, |spread| falling(spread / HALF_SPREAD));
        let forward_spread = spread_of_logs(snapshot.flow.joints.iter().map(|joint| joint.activation_rms));
        let ceiling = self.learning_rate_ceiling.map(|ceiling| SEARCHED_BELOW * ceiling / expected.learning_rate);
        let through_time = snapshot.flow.joints.iter().filter(|joint| joint.states.len() > 1);
        let through_time = through_time.map(|joint| spread(spread_of_logs(joint.states.iter().copied())));
        let part = |question: &str, value: f64| ScorePart { question: question.to_owned(), value };
        let mut parts = vec![
            part("are all values finite", f64::from(u8::from(is_finite))),
            part("does the gradient keep its size from layer to layer", spread(self.cotangent_spread)),
            part("does the signal keep its size from layer to layer", spread(forward_spread)),
            part("are the outputs of moderate size", moderate_output(snapshot.flow.head.output_rms)),
            part("do all weights change at the same relative rate", spread(self.relative_gradient_spread)),
            part("what share of the units is alive", living_share(snapshot)),
        ];
        let optional = [
            ("does the gradient keep its size from time step to time step", through_time.reduce(f64::min)),
            ("do different samples look different at the end", self.signal_fraction.map(|s| s / (s + HALF_SIGNAL))),
            ("is a usable learning rate within the search", ceiling),
            (
                "does the loss stay down in the first steps at this rate",
                expected.rehearsal_rise.map(|rise| falling(rise / HALF_RISE)),
            ),
            ("does one step tell samples apart", self.potential.map(|potential| potential.value())),
            ("is the network within its trainable depth", self.trainable_depth.map(|limit| limit / depth)),
        ];
        let known = optional.into_iter().filter_map(|(question, value)| Some(part(question, value?.clamp(0.0, 1.0))));
        parts.extend(known);
        parts
    }
}

/// Positions that order predictions by score, best first; equals keep their order.
pub fn best_first(predictions: &[Prediction]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..predictions.len()).collect();
    order.sort_by(|a, b| predictions[*b].score.total_cmp(&predictions[*a].score));
    order
}

/// 1 at 0, 1/2 at 1, falling to 0.
fn falling(x: f64) -> f64 {
    1.0 / (1.0 + x * x)
}

/// 1 up to outputs of RMS 1, then falling with their logarithm; 0 where they are not finite.
fn moderate_output(output_rms: f64) -> f64 {
    if output_rms.is_finite() { falling(output_rms.ln().max(0.0) / HALF_OUTPUT) } else { 0.0 }
}

fn is_finite(snapshot: &Snapshot) -> bool {
    let joint = |joint: &JointRecord| joint.activation.non_finite == 0 && joint.cotangent.non_finite == 0;
    snapshot.flow.head.loss.is_finite() && snapshot.joints.iter().all(joint)
}

fn relative_gradients(parameters: &[ParameterRecord]) -> impl Iterator<Item = f64> {
    parameters
        .iter()
        .filter(|parameter| parameter.name.ends_with(".weight"))
        // What starts at zero goes as far as it likes relative to its size.
        .filter(|parameter| parameter.weight.rms() != Some(0.0))
        .filter_map(|parameter| Some(parameter.gradient.rms()? / parameter.weight.rms()?))
        .filter(|ratio| *ratio > 0.0)
}

/// Standard deviation of the logs; `None` without values, or when one of them is zero or not finite.
fn spread_of_logs(values: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    finite((logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / count).sqrt())
}

/// Units that are not dead, over all activations; 1 without activations.
fn living_share(snapshot: &Snapshot) -> f64 {
    let units: usize = snapshot.units.iter().map(|unit| unit.units).sum();
    let dead: usize = snapshot.units.iter().map(|unit| unit.dead).sum();
    1.0 - dead as f64 / units.max(1) as f64
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
