//! The depth beyond which a net is predicted not to train: five ceilings, of which the lowest binds; and for recurrent
//! layers the time steps beyond which they do not remember.
//!
//! Each ceiling is a depth in layers (in blocks for a residual net) if every layer were like the one described. They
//! are predictions for an untrained net; the six of the correlation ceiling is empirical (4 to 8 in published phase
//! diagrams), and a ceiling says nothing about the learning rate, which must fall with depth even at criticality.

use serde::{Deserialize, Serialize};

use super::activations::Activation;
use super::batch_norm;
use super::born_dead;
use super::finite_width::{self, LogSquaredGain};
use super::gains::Gains;
use super::mean_field::{FixedPoint, MeanField, Propagation};
use super::numerics::{Precision, depth_to_fall, depth_to_rise};
use super::recurrent::Carry;
use super::residual;
use super::supervision::Supervision;

/// Depth scales of correlation that a signal survives (Schoenholz et al. 2017, figure 5).
pub const CORRELATION_DEPTHS: f64 = 6.0;

/// Deviation of ln|gradient|^2 between seeds at which the seed decides: a factor e^2.
const TOLERATED_DEVIATION: f64 = 2.0;

/// Probability of a dead net that still counts as safe.
const TOLERATED_DEATHS: f64 = 0.05;

/// Ceilings beyond this depth are no ceilings.
const UNLIMITED: f64 = 1e6;

/// A net as far as its depth limits depend on it: plain data, so that recipes, records and other frameworks can fill it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitsInput {
    /// The hidden activation.
    pub activation: Activation,
    /// sw2 = fan_in Var W.
    pub weight_variance: f64,
    /// sb2 = Var b.
    pub bias_variance: f64,
    /// Pre-activation variance of the first hidden layer, measured or sw2 E x^2 + sb2; of blocks that do not add that of the stream.
    pub first_variance: f64,
    /// Units of each hidden layer, receptive field not counted.
    pub widths: Vec<usize>,
    /// What zero padding leaves of the signal's energy per layer, see [`super::padding`]; 1 without.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub padding_factor: f64,
    /// By how much dropout multiplies the mean square of a signal per layer, see [`super::dropout`]; 1 without.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub dropout_noise: f64,
    /// Normalisation of the pre-activations.
    pub norm: Norm,
    /// Scale alpha of the branch where every layer is x + alpha F(x), of a gate the root of E T^2; absent in a plain net.
    pub branch_scale: Option<f64>,
    /// Its auxiliary heads, if it has any; absent in a residual net.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervision: Option<Supervision>,
    /// Features that each layer puts beside those it reads, over those of the first one, where it is [x, F(x)].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widening: Option<f64>,
    /// By how much the mean squared gradient is multiplied past the branch: 1 by a skip, less by one that a gate closes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub past: f64,
    /// RMS of the gradient that the head hands to the last hidden layer, as the float format sees it (with 1/batch,
    /// times the loss scale).
    pub head_gradient_rms: f64,
    /// Format of activations and gradients.
    pub precision: Precision,
    /// Adam's epsilon where Adam is used.
    pub adam_epsilon: Option<f64>,
    /// By how much the gradient's RMS may differ between first and last layer: 1e4 unless there is reason.
    pub tolerated_gradient_ratio: f64,
    /// Its recurrent layers, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
}

impl LimitsInput {
    /// Whether more goes past the layers than is let through them: what gates that stand open hand on is the layers' own.
    fn has_way_past(&self) -> bool {
        self.branch_scale.is_some_and(|scale| is_one(&self.past) || self.past > scale * scale)
    }
}

fn one() -> f64 {
    1.0
}

fn is_one(number: &f64) -> bool {
    *number == 1.0
}

/// A recurrent layer as far as its memory depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recurrence {
    /// Time steps of a sample.
    pub steps: usize,
    /// What carries the state.
    pub carry: Carry,
}

/// Normalisation of the pre-activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Norm {
    /// None.
    None,
    /// Over the batch.
    Batch {
        /// Values that share a mean: samples, times positions in a convolution.
        batch: usize,
    },
    /// Over the units of a sample: layer norm or RMS norm.
    Layer,
}

/// What can limit the depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ceiling {
    /// All inputs become one, or all similarity is lost.
    Correlation,
    /// The gradient spans too many orders of magnitude.
    GradientScale,
    /// Gradients differ too much from seed to seed.
    Fluctuation,
    /// The gradient under- or overflows the float format, or falls below Adam's epsilon.
    Numerics,
    /// ReLU nets that are constant from the start.
    Death,
    /// The gradient of a recurrent state spans too many orders of magnitude; in time steps, not in layers.
    Memory,
}

impl Ceiling {
    /// What is so in a deeper network, to follow "beyond which".
    pub fn beyond(self) -> &'static str {
        match self {
            Self::Correlation => "like and unlike inputs can no longer be told apart",
            Self::GradientScale => "the gradient spans too many orders of magnitude",
            Self::Fluctuation => "gradients differ too much from seed to seed",
            Self::Numerics => "the gradient leaves the floating-point range, or falls below Adam's eps",
            Self::Death => "the network is constant from the start",
            Self::Memory => "the gradient of a time step is not felt",
        }
    }
}

/// One ceiling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CeilingEstimate {
    /// Which one.
    pub ceiling: Ceiling,
    /// Its depth, of a memory in time steps; `None` where it does not limit this net.
    pub depth: Option<f64>,
    /// The numbers behind it, in a sentence.
    pub why: String,
}

/// All ceilings of a net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The lowest ceiling of depth; `None` where nothing limits it.
    pub trainable_depth: Option<f64>,
    /// Which one that is. Where there are recurrent layers: the one that leaves least, of the net's own layers or time
    /// steps.
    pub binding: Option<Ceiling>,
    /// The five of depth, and with recurrent layers that of memory.
    pub ceilings: Vec<CeilingEstimate>,
    /// Predicted factor of the gradient's RMS per layer, with auxiliary heads the mean over the net's own layers; `None` where
    /// its mean is infinite (batch norm over three).
    pub gradient_rms_per_layer: Option<f64>,
}

impl Limits {
    /// The ceilings of `net`.
    pub fn of(net: &LimitsInput) -> Self {
        let layer = Layer::of(net);
        let mut ceilings = vec![
            correlation(net, &layer),
            gradient_scale(net, &layer),
            fluctuation(net, &layer),
            numerics(net, &layer),
            death(net),
        ];
        if net.widths.is_empty() {
            let void = |known: CeilingEstimate| estimate(known.ceiling, None, "no hidden layers".to_owned());
            ceilings = ceilings.into_iter().map(void).collect();
        }
        let lowest = ceilings
            .iter()
            .filter_map(|estimate| Some((estimate.depth?, estimate.ceiling)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let mut binding = lowest.map(|(_, ceiling)| ceiling);
        if let Some(recurrence) = &net.recurrence {
            let memory = memory(net, recurrence);
            let left = |limit: f64, own: usize| limit / own.max(1) as f64;
            let in_layers = lowest.map_or(f64::INFINITY, |(depth, _)| left(depth, net.widths.len()));
            if memory.depth.is_some_and(|steps| left(steps, recurrence.steps) < in_layers) {
                binding = Some(Ceiling::Memory);
            }
            ceilings.push(memory);
        }
        Self {
            trainable_depth: lowest.map(|(depth, _)| depth),
            binding,
            ceilings,
            gradient_rms_per_layer: layer.factor.is_finite().then(|| layer.factor.sqrt()),
        }
    }

    /// Time steps over which recurrent layers remember; `None` where there are none, or no limit.
    pub fn memory_steps(&self) -> Option<f64> {
        self.ceilings.iter().find(|estimate| estimate.ceiling == Ceiling::Memory)?.depth
    }
}

/// A layer of the net at depth.
struct Layer {
    /// Mean-field answer for the plain layer; with layer norm, for the layer that norm makes of it.
    propagation: Propagation,
    /// Pre-activation variance the activation sees.
    q: f64,
    /// Factor of the mean squared gradient through the layer, or through the branch of a residual block.
    chi: f64,
    /// Both together, or the mean with auxiliary heads.
    factor: f64,
}

impl Layer {
    fn of(net: &LimitsInput) -> Self {
        let unit = Gains::at(net.activation, 1.0);
        // Layer norm hands variance 1 to the activation whatever the weights; their scale drops out.
        let noise = if net.norm == Norm::None { net.dropout_noise } else { 1.0 };
        let field = match net.norm {
            Norm::Layer => {
                MeanField { activation: net.activation, weight_variance: unit.forward().powi(2), bias_variance: 0.0 }
            }
            Norm::None | Norm::Batch { .. } => MeanField {
                activation: net.activation,
                weight_variance: net.weight_variance * net.padding_factor * noise,
                bias_variance: net.bias_variance,
            },
        };
        let start = if net.norm == Norm::Layer { 1.0 } else { net.first_variance.max(f64::MIN_POSITIVE) };
        let propagation = match net.norm {
            Norm::Layer => normalised_propagation(field, unit),
            Norm::None | Norm::Batch { .. } => field.propagation(start),
        };
        let (q, chi) = match (net.norm, propagation.fixed_point) {
            (Norm::Batch { batch }, _) => (1.0, batch_norm::gradient_factor(net.activation, batch)),
            (Norm::Layer, _) => (1.0, propagation.chi),
            // A stream that nothing is added to does not go where the layers alone would take it.
            (Norm::None, _) if !is_one(&net.past) || net.widening.is_some() => (start, field.chi(start)),
            (Norm::None, FixedPoint::Stable { q } | FixedPoint::Marginal { q }) if q > 0.0 => (q, propagation.chi),
            (Norm::None, _) => (start, propagation.chi),
        };
        let mut propagation = propagation;
        if noise > 1.0 {
            // What two inputs share goes through the weights alone.
            let shared = field.weight_variance / noise;
            let found = super::dropout::correlation(net.activation, q, shared, field.bias_variance);
            propagation.correlation = found.map(|(correlation, _)| correlation);
            propagation.correlation_depth = found.and_then(|(_, slope)| super::mean_field::e_folding_depth(slope));
        }
        let factor = match (net.branch_scale, net.supervision) {
            (Some(scale), _) => net.past + scale * scale * chi,
            (None, Some(supervision)) => supervision.factor(chi, net.widths.len()),
            (None, None) => chi,
        };
        Self { propagation, q, chi, factor }
    }
}

/// Layer norm holds q = 1 even where the length map alone would not, so correlations always have their own map.
fn normalised_propagation(field: MeanField, unit: Gains) -> Propagation {
    let mut propagation = field.propagation(1.0);
    let chi = field.weight_variance * unit.slope_second_moment;
    let (correlation, slope) =
        super::correlation::fixed_point(field.activation, 1.0, field.weight_variance, field.bias_variance, chi);
    propagation.chi = chi;
    propagation.fixed_point = FixedPoint::Stable { q: 1.0 };
    propagation.correlation = Some(correlation);
    propagation.correlation_depth = super::mean_field::e_folding_depth(slope);
    propagation
}

fn estimate(ceiling: Ceiling, depth: Option<f64>, why: String) -> CeilingEstimate {
    CeilingEstimate { ceiling, depth: depth.filter(|depth| *depth < UNLIMITED), why }
}

fn correlation(net: &LimitsInput, layer: &Layer) -> CeilingEstimate {
    let none = |why: &str| estimate(Ceiling::Correlation, None, why.to_owned());
    if net.has_way_past() {
        return none("a skip carries the difference between inputs past every layer");
    }
    if let Norm::Batch { .. } = net.norm {
        return none("batch norm keeps the samples of a batch apart");
    }
    match (layer.propagation.correlation_depth, layer.propagation.correlation) {
        (Some(depth), Some(correlation)) => estimate(
            Ceiling::Correlation,
            Some(CORRELATION_DEPTHS * depth),
            format!(
                "any two inputs approach correlation {correlation:.3} with a depth scale of {depth:.2} layers; \
                 {CORRELATION_DEPTHS} of them are trainable"
            ),
        ),
        _ => none("correlations do not converge exponentially"),
    }
}

fn gradient_scale(net: &LimitsInput, layer: &Layer) -> CeilingEstimate {
    let tolerated = net.tolerated_gradient_ratio;
    let depth = match (net.branch_scale, net.supervision) {
        // (1 + L k / n)^chi: a power of the width, however many layers it is made of.
        _ if net.widening.is_some() => {
            net.widening.map(|widening| (2.0 * tolerated.ln() / layer.chi).exp_m1() / widening)
        }
        (Some(scale), _) if net.norm != Norm::None && is_one(&net.past) => {
            normalised_blocks_until(scale, layer.chi, 2.0 * tolerated.ln())
        }
        (None, Some(supervision)) => supervision
            .layers_until(layer.chi, UNLIMITED, |smallest, largest| (largest / smallest).ln() >= 2.0 * tolerated.ln()),
        _ => {
            let per_layer = layer.factor.ln().abs();
            (per_layer > 1e-12).then(|| 2.0 * tolerated.ln() / per_layer)
        }
    };
    let mut why =
        format!("the gradient's RMS changes by x{:.4} per layer; x{tolerated:.0e} is tolerated", layer.factor.sqrt());
    if net.padding_factor < 1.0 && net.norm == Norm::None {
        let lost = net.padding_factor;
        why += &format!("; zero padding counts as x{lost:.4} on the weight variance, its slowest mode on this grid");
    }
    if net.dropout_noise > 1.0 && net.norm == Norm::None {
        why += &format!("; dropout counts as x{:.4} on the weight variance", net.dropout_noise);
    }
    if let Some(Supervision { every, strength }) = net.supervision {
        let (chain, sent) = (layer.chi.sqrt(), strength.sqrt());
        why += &format!(
            "; x{chain:.4} between auxiliary heads, which send x{sent:.2} of the last one's after every {every}"
        );
    }
    estimate(Ceiling::GradientScale, depth, why)
}

/// Blocks until ln of the squared-gradient factor reaches `target`; with a norm in each branch it grows ever slower.
fn normalised_blocks_until(scale: f64, chi: f64, target: f64) -> Option<f64> {
    let grown = |blocks: usize| residual::ln_normalised_gradient_factor(scale, chi, blocks);
    if chi.is_infinite() && scale != 0.0 {
        return Some(1.0);
    }
    let mut blocks = 1;
    while grown(blocks) < target {
        blocks *= 2;
        if blocks as f64 > UNLIMITED {
            return None;
        }
    }
    let (mut low, mut high) = (blocks / 2, blocks);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if grown(middle) < target { low = middle } else { high = middle }
    }
    Some(high as f64)
}

fn fluctuation(net: &LimitsInput, layer: &Layer) -> CeilingEstimate {
    let Some(mean_variance) = mean_over_widths(net, |width| {
        let LogSquaredGain { variance, .. } = finite_width::layer(net.activation, layer.q, width);
        net.branch_scale.map_or(variance, |scale| block_variance(scale * scale * layer.chi / net.past, variance, width))
    }) else {
        return estimate(Ceiling::Fluctuation, None, "no hidden layers".to_owned());
    };
    let depth = TOLERATED_DEVIATION.powi(2) / mean_variance;
    let why = format!(
        "each layer adds {mean_variance:.4} to the variance of ln|gradient|^2 between seeds; a deviation of \
         {TOLERATED_DEVIATION} is tolerated"
    );
    estimate(Ceiling::Fluctuation, Some(depth), why)
}

/// Variance of ln|g + b|^2 - ln|g|^2 to first order, where the branch's |b|^2 has mean `share` |g|^2 and log variance
/// `variance`, and the product of g with an independent direction b has variance `share` / `width`.
fn block_variance(share: f64, variance: f64, width: usize) -> f64 {
    (share * share * variance + 4.0 * share / width as f64) / (1.0 + share).powi(2)
}

fn mean_over_widths(net: &LimitsInput, f: impl Fn(usize) -> f64) -> Option<f64> {
    let mut total = 0.0;
    let mut known: Option<(usize, f64)> = None;
    for width in &net.widths {
        let value = match known {
            Some((last, value)) if last == *width => value,
            _ => f(*width),
        };
        known = Some((*width, value));
        total += value;
    }
    (!net.widths.is_empty()).then(|| total / net.widths.len() as f64)
}

fn numerics(net: &LimitsInput, layer: &Layer) -> CeilingEstimate {
    let start = net.head_gradient_rms;
    let flush = net.precision.flush_threshold();
    let (floor, what) = match net.adam_epsilon {
        Some(epsilon) if epsilon > flush => (epsilon, "Adam's epsilon"),
        _ => (flush, "what the float format flushes to zero"),
    };
    if !(start > 0.0 && start.is_finite()) {
        return estimate(Ceiling::Numerics, Some(0.0), format!("the head's gradient has RMS {start}"));
    }
    let highest = net.precision.largest();
    let (fall, rise) = match net.supervision.filter(|_| net.branch_scale.is_none()) {
        Some(supervision) => (
            supervision.layers_until(layer.chi, UNLIMITED, |smallest, _| start * smallest.sqrt() <= floor),
            supervision.layers_until(layer.chi, UNLIMITED, |_, largest| start * largest.sqrt() >= highest),
        ),
        None => (depth_to_fall(start, floor, layer.factor), depth_to_rise(start, highest, layer.factor)),
    };
    let why = match (fall, rise) {
        (Some(_), _) => format!("from RMS {start:.1e} at the head the gradient falls to {floor:.1e}, {what}"),
        (None, Some(_)) => {
            format!("from RMS {start:.1e} at the head the gradient overflows {highest:.1e}")
        }
        (None, None) => format!("the gradient stays near its RMS of {start:.1e} at the head"),
    };
    estimate(Ceiling::Numerics, fall.or(rise), why)
}

fn memory(net: &LimitsInput, recurrence: &Recurrence) -> CeilingEstimate {
    let tolerated = net.tolerated_gradient_ratio;
    let half_life = recurrence.carry.half_life().map(|steps| format!("{steps:.2} time steps"));
    let why = match (recurrence.carry, half_life) {
        (Carry::State { chi }, _) => format!("a state's gradient changes by x{:.4} per time step", chi.sqrt()),
        (Carry::Gate { bias }, Some(half)) => format!("gates of bias {bias} keep half of a state for {half}"),
        (Carry::Diagonal { .. }, Some(half)) => {
            format!("decays spread over the sample keep half of a state's gradient for {half}")
        }
        (_, Some(half)) => format!("chrono gates keep half of a state for {half}"),
        (_, None) => "gates lose nothing".to_owned(),
    };
    let why = format!("{why}; x{tolerated:.0e} is tolerated over the {} of a sample", recurrence.steps);
    estimate(Ceiling::Memory, recurrence.carry.steps_until(tolerated), why)
}

fn death(net: &LimitsInput) -> CeilingEstimate {
    let none = |why: &str| estimate(Ceiling::Death, None, why.to_owned());
    if !net.activation.is_zero_below_zero() {
        return none("no unit is exactly zero under this activation");
    }
    if net.has_way_past() || net.norm != Norm::None {
        return none("a skip or a norm keeps some units alive in every layer");
    }
    let Some(ln_alive) = mean_over_widths(net, |width| (-born_dead::single_input_probability(&[width])).ln_1p()) else {
        return none("no hidden layers");
    };
    let depth = (-TOLERATED_DEATHS).ln_1p() / ln_alive;
    let why =
        format!("an input is zeroed by a layer with probability {:.1e}; 5 % of nets is tolerated", -ln_alive.exp_m1());
    estimate(Ceiling::Death, Some(depth), why)
}

#[cfg(test)]
mod tests;
