//! What several rules look at: how far a layer can travel in the planned run, how the signal changes through the
//! body, and whether the network learned.

use std::collections::{HashMap, HashSet};

use super::Case;
use crate::flow::profile::{Layer, Profile, causes};
use crate::flow::{CauseShare, Joint};
use crate::network::{Op, OpKind};
use crate::recipe::{ClipKind, Precision};
use crate::record::{JointRecord, ParameterRecord, Snapshot};
use crate::statistics::{Moments, NumberFormat};
use crate::step_size::StepSizes;
use crate::theory::numerics;

/// One weight matrix before training, and how fast the recipe's optimizer moves it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight<'a> {
    /// The linear operation.
    pub(super) op: &'a str,
    /// Statistics of its gradient.
    pub(super) gradient: &'a Moments,
    /// Size of one step relative to the matrix, |update| / |W|, if the gradient stays as it is; clipping included.
    /// `None` for a matrix that is all zero.
    pub(super) relative_step: Option<f64>,
    /// What its gradient is divided away by where it is smaller.
    pub(super) eps: Option<f64>,
    /// `relative_step` times the planned steps, at the rates of the schedule: the most that the run can move the matrix, relative to its size.
    pub(super) reach: Option<f64>,
}

impl Weight<'_> {
    /// Whether the gradient is exactly zero everywhere.
    pub(super) fn gradient_is_zero(&self) -> bool {
        is_zero(self.gradient)
    }
}

/// Whether a tensor is not empty and exactly zero everywhere.
pub(super) fn is_zero(moments: &Moments) -> bool {
    moments.count > 0 && moments.zeros == moments.count
}

/// Parameters by name. Whoever asks for more than one looks them up here: a search through the list for each of them
/// takes minutes at 10 000 layers.
pub(super) fn by_name(parameters: &[ParameterRecord]) -> HashMap<&str, &ParameterRecord> {
    parameters.iter().map(|parameter| (parameter.name.as_str(), parameter)).collect()
}

/// Joints by name, for the same reason.
pub(super) fn by_joint(joints: &[JointRecord]) -> HashMap<&str, &JointRecord> {
    joints.iter().map(|joint| (joint.name.as_str(), joint)).collect()
}

/// The weight matrices before training, in forward order.
pub(super) fn weights<'a>(case: &Case<'a>) -> Vec<Weight<'a>> {
    let shrink = clip_factor(case);
    let sizes = StepSizes::new(&case.recipe.optimizer, case.network);
    let travel = travel(case);
    let by_name = by_name(&case.start.parameters);
    case.network
        .linears()
        .filter_map(|(op, _)| Some((op, *by_name.get(format!("{}.weight", op.name).as_str())?)))
        .map(|(op, record)| {
            let relative_step = relative_step(case, record, shrink, &sizes);
            Weight {
                op: &op.name,
                gradient: &record.gradient,
                relative_step,
                eps: sizes.eps(&record.name),
                reach: relative_step.map(|step| step * travel),
            }
        })
        .collect()
}

/// Steps times |update| / |W| of any parameter, as in [`Weight::reach`].
pub(super) fn reach_of(case: &Case<'_>, record: &ParameterRecord) -> Option<f64> {
    let sizes = StepSizes::new(&case.recipe.optimizer, case.network);
    Some(relative_step(case, record, clip_factor(case), &sizes)? * travel(case))
}

/// Steps of the first one's size that the planned run amounts to, momentum and schedule counted.
fn travel(case: &Case<'_>) -> f64 {
    let steps = case.recipe.run.steps;
    case.recipe.optimizer.travel(steps as f64) * case.recipe.schedule.mean_factor(steps)
}

/// A trained weight of a layer that the chain of operations does not show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfollowed<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// How many numbers it has.
    pub(super) count: u64,
    /// RMS of its gradient, above 0 and finite.
    pub(super) gradient_rms: f64,
    /// As [`Weight::reach`].
    pub(super) reach: f64,
}

/// The weights of layers that the chain of operations does not show one by one: those of ways that run side by side
/// and meet in an operation which is measured as a whole.
pub(super) fn unfollowed<'a>(case: &Case<'a>) -> Vec<Unfollowed<'a>> {
    let is_followed = |op: &&Op| !matches!(op.kind, OpKind::Other(_) | OpKind::Residual(_));
    let ops = case.network.walk();
    if !ops.iter().any(|op| matches!(op.kind, OpKind::Other(_))) {
        return Vec::new();
    }
    let followed: HashSet<&str> = ops.iter().copied().filter(is_followed).map(|op| op.name.as_str()).collect();
    let around: HashSet<&str> = followed.iter().flat_map(|name| modules(name)).collect();
    let shrink = clip_factor(case);
    let sizes = StepSizes::new(&case.recipe.optimizer, case.network);
    let travel = travel(case);
    let hidden = case.start.parameters.iter().filter(|record| {
        let owner = record.name.rsplit_once('.').map_or("", |(owner, _)| owner);
        let is_inside = modules(owner).any(|module| followed.contains(module));
        record.name.ends_with("weight") && !(owner.is_empty() || is_inside || around.contains(owner))
    });
    let of = |record: &'a ParameterRecord| {
        let gradient_rms = record.gradient.rms().filter(|rms| *rms > 0.0 && rms.is_finite())?;
        let reach = relative_step(case, record, shrink, &sizes)? * travel;
        Some(Unfollowed { name: &record.name, count: record.weight.count, gradient_rms, reach })
    };
    hidden.filter_map(of).collect()
}

/// A dotted name and the modules that it is in: `a.b.c`, `a.b`, `a`.
fn modules(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.rsplit_once('.').map(|(module, _)| module))
}

/// |update| / |W| of one step from the gradient before training.
///
/// `shrink` is what clipping leaves of the gradient.
fn relative_step(case: &Case<'_>, record: &ParameterRecord, shrink: f64, sizes: &StepSizes<'_>) -> Option<f64> {
    let weight = record.weight.rms().filter(|&rms| rms > 0.0)?;
    let gradient = record.gradient.rms()? * shrink;
    let gradient = match case.recipe.clip.kind {
        ClipKind::Value => gradient.min(case.recipe.clip.threshold),
        ClipKind::Norm => gradient * fit(record.gradient.norm(), case.recipe.clip.threshold),
        // A unit's weights have about its tensor's RMS.
        ClipKind::Agc => gradient.min(case.recipe.clip.threshold * weight),
        // The others have no norm yet that they could compare with.
        ClipKind::None | ClipKind::GlobalNorm | ClipKind::AutoClip | ClipKind::ZClip | ClipKind::AdaGc => gradient,
    };
    Some(sizes.relative(&record.name, gradient, weight))
}

/// What clipping by global norm leaves of the gradient before training.
fn clip_factor(case: &Case<'_>) -> f64 {
    let clip = &case.recipe.clip;
    match clip.kind {
        ClipKind::GlobalNorm => fit(gradient_norm(case.start), clip.threshold),
        ClipKind::AdaGc => fit(gradient_norm(case.start), clip.start()),
        _ => 1.0,
    }
}

fn fit(norm: f64, threshold: f64) -> f64 {
    if norm > threshold { threshold / norm } else { 1.0 }
}

/// L2 norm of all gradients together.
pub(super) fn gradient_norm(snapshot: &Snapshot) -> f64 {
    snapshot.parameters.iter().map(|parameter| parameter.gradient.sum_of_squares).sum::<f64>().sqrt()
}

/// A change of scale through the body of the network, between two of its layers.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// The layer nearer to the input.
    pub(super) first: Layer,
    /// The layer nearer to the head.
    pub(super) last: Layer,
    /// Layers from one to the other.
    pub(super) layers: usize,
    /// ln of the ratio of the two sizes: of cotangents, first over last; of activations, last over first.
    pub(super) log_gain: f64,
    /// The operations in between, as indices into the flow's joints.
    joints: std::ops::Range<usize>,
}

impl Span {
    /// The factor of one layer.
    pub(super) fn per_layer(&self) -> f64 {
        (self.log_gain / self.layers as f64).exp()
    }

    /// The factors of the chain rule behind it, largest first.
    pub(super) fn causes(&self, joints: &[Joint]) -> Vec<CauseShare> {
        joints.get(self.joints.clone()).map(causes).unwrap_or_default()
    }

    /// Names of the two layers, in forward order.
    pub(super) fn names(&self) -> [&str; 2] {
        [&self.first.name, &self.last.name]
    }
}

/// How the cotangent changes from the body's last layer back to the layer where it is smallest (`largest` false) or
/// largest. `None` with fewer than two layers that have a cotangent.
///
/// Layers whose cotangent is exactly zero or not finite are left to other rules.
pub(super) fn backward(snapshot: &Snapshot, largest: bool) -> Option<Span> {
    let layers = Profile::of(&snapshot.flow).layers;
    let measured = |layer: &Layer| layer.cotangent_rms > 0.0 && layer.cotangent_rms.is_finite();
    let end = layers.iter().rposition(measured)?;
    let gain = |layer: &Layer| (layer.cotangent_rms / layers[end].cotangent_rms).ln();
    let signed = |index: &usize| {
        if largest { -gain(&layers[*index]) } else { gain(&layers[*index]) }
    };
    let first = (0..end).filter(|&index| measured(&layers[index])).min_by(|a, b| signed(a).total_cmp(&signed(b)))?;
    Some(Span {
        log_gain: gain(&layers[first]),
        layers: end - first,
        joints: layers[first].joints.start + 1..layers[end].joints.start + 1,
        first: layers[first].clone(),
        last: layers[end].clone(),
    })
}

/// How the activation changes from the body's first layer to its last one. `None` with fewer than two layers, or when
/// one of the two sizes is zero or not finite.
pub(super) fn forward(snapshot: &Snapshot) -> Option<Span> {
    let layers = Profile::of(&snapshot.flow).layers;
    let [first, .., last] = layers.as_slice() else {
        return None;
    };
    let log_gain = (last.activation_rms / first.activation_rms).ln();
    log_gain.is_finite().then(|| Span {
        log_gain,
        layers: layers.len() - 1,
        joints: first.joints.end..last.joints.end,
        first: first.clone(),
        last: last.clone(),
    })
}

/// The operations whose weights can be scaled without changing the network, because a norm follows them.
pub(super) fn scale_invariant(ops: &[Op]) -> HashSet<&str> {
    let normed = ops.windows(2).filter(|pair| matches!(pair[1].kind, OpKind::Norm(_)));
    let mut found: HashSet<&str> = normed.map(|pair| pair[0].name.as_str()).collect();
    for op in ops {
        if let OpKind::Residual(residual) = &op.kind {
            found.extend(scale_invariant(&residual.branch));
        }
    }
    found
}

/// Whether a name is that of an operation or of something inside of it (`block3`, `block3.fc`).
pub(super) fn belongs(name: &str, op: &str) -> bool {
    name.strip_prefix(op).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether the finished training removed at least half of the loss of a network that knows nothing. `None` before and
/// during training.
pub(super) fn learned(case: &Case<'_>) -> Option<bool> {
    let outcome = case.outcome?;
    Some(outcome.loss.is_some_and(|loss| loss < 0.5 * case.data.baseline_loss))
}

/// Half of the spacing between 1 and the next number: what rounding may do to a value from here on. What is measured in
/// 16 bits is rounded already, and goes into sums of 32.
pub(super) fn unit_roundoff(precision: Precision) -> f64 {
    match precision {
        Precision::F32 | Precision::Bf16 | Precision::Fp16 => f64::from(f32::EPSILON) / 2.0,
        Precision::F64 => f64::EPSILON / 2.0,
    }
}

/// Smallest magnitude with full precision.
pub(super) fn min_normal(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f64::from(f32::MIN_POSITIVE),
        Precision::F64 => f64::MIN_POSITIVE,
        Precision::Bf16 => NumberFormat::BF16.min_normal,
        Precision::Fp16 => NumberFormat::FP16.min_normal,
    }
}

/// Largest finite magnitude.
pub(super) fn largest_number(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f64::from(f32::MAX),
        Precision::F64 => f64::MAX,
        Precision::Bf16 => numerics::Precision::Bf16.largest(),
        Precision::Fp16 => numerics::Precision::F16.largest(),
    }
}

/// Name of a floating-point type.
pub(super) fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::F64 => "f64",
        Precision::Bf16 => "bf16",
        Precision::Fp16 => "fp16",
    }
}
