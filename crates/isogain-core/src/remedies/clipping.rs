//! The thresholds that the kinds of clipping derive from what was measured.

use std::collections::HashSet;

use super::{Prescription, Remedy};
use crate::recipe::{Clip, ClipKind, Recipe};
use crate::record::ParameterRecord;
use crate::rules::Case;
use crate::statistics::median;

/// Largest change of the weights in one step that is no accident, relative to the weights: ten times the usual 1e-3.
const LARGEST_RELATIVE_STEP: f64 = 0.01;

/// How far above the usual norm a step's norm must be for clipping to have something to do.
const SPIKE: f64 = 3.0;

/// Sizes of the gradient over what was watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    /// L2 norm of all gradients that is not exceeded by more than an accident.
    pub global_norm: f64,
    /// Numbers in the gradient.
    pub elements: f64,
    /// Parameter tensors.
    pub tensors: f64,
}

/// The global norm to clip at: the median over the watched steps (Pascanu et al. 2013 use 0.5 to 10 times the mean; the
/// median is not moved by the spikes), or less, where a step of that norm would already change the weights by more than
/// 1 %. `None` when no step exceeds it, so that clipping would do nothing, or when no finite gradient was seen: clipping
/// cannot repair a value that is not finite.
pub(super) fn measured(case: &Case<'_>, recipe: &Recipe) -> Option<Measured> {
    let steps = case.history.iter().map(|step| step.parameters.as_slice());
    let seen: Vec<&[ParameterRecord]> = std::iter::once(case.start.parameters.as_slice()).chain(steps).collect();
    let is_finite = |parameters: &&[ParameterRecord]| parameters.iter().all(|p| p.gradient.non_finite == 0);
    let finite = seen.into_iter().filter(is_finite);
    let mut norms: Vec<f64> = finite.map(|parameters| norm(parameters, |p| p.gradient.norm())).collect();
    norms.retain(|norm| *norm > 0.0);
    let largest = norms.iter().copied().fold(0.0, f64::max);
    let median = median(norms)?;
    let weights = norm(&case.start.parameters, |p| p.weight.norm());
    let harmless = LARGEST_RELATIVE_STEP * weights / recipe.optimizer.learning_rate;
    let global_norm = if harmless > 0.0 { median.min(harmless) } else { median };
    let has_work = largest > SPIKE * median || largest > harmless;
    has_work.then(|| Measured {
        global_norm,
        elements: case.start.parameters.iter().map(|p| p.gradient.count as f64).sum::<f64>().max(1.0),
        tensors: (case.start.parameters.len() as f64).max(1.0),
    })
}

/// The ratio of a unit's gradient to its weights from which on a step would change them by more than 1 %; `None` where no
/// tensor but those of heads exceeds it.
pub(super) fn ratio(case: &Case<'_>, recipe: &Recipe) -> Option<f64> {
    let harmless = LARGEST_RELATIVE_STEP / recipe.optimizer.learning_rate;
    let steps = case.history.iter().map(|step| step.parameters.as_slice());
    let heads: HashSet<&str> = case.network.heads().into_iter().map(|head| head.name.as_str()).collect();
    let is_hidden = |name: &str| name.rsplit_once('.').is_none_or(|(op, _)| !heads.contains(op));
    let seen = std::iter::once(case.start.parameters.as_slice()).chain(steps).flatten();
    let hidden = seen.filter(|parameter| is_hidden(&parameter.name));
    let ratios = hidden.filter(|parameter| parameter.gradient.non_finite == 0).filter_map(|parameter| {
        let weight = parameter.weight.norm();
        (weight > 0.0).then(|| parameter.gradient.norm() / weight)
    });
    let largest = ratios.fold(0.0, f64::max);
    (largest > harmless).then_some(harmless)
}

/// Two significant digits: a threshold is a size, not a measurement.
pub(super) fn rounded(threshold: f64) -> f64 {
    format!("{threshold:.1e}").parse::<f64>().unwrap_or(threshold)
}

/// The remedy's prescription with this clipping, unless the recipe already clips like that.
pub(super) fn with(remedy: &Remedy, recipe: &Recipe, clip: Clip, parameters: String) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    treated.clip = clip;
    if treated == *recipe { Vec::new() } else { vec![remedy.variant(parameters, treated)] }
}

/// The remedy's prescription with this kind and threshold, unless the recipe already clips like that.
pub(super) fn clipped(remedy: &Remedy, recipe: &Recipe, kind: ClipKind, threshold: f64) -> Vec<Prescription> {
    let threshold = rounded(threshold);
    with(remedy, recipe, Clip::at(kind, threshold), format!("threshold = {threshold}"))
}

fn norm(parameters: &[ParameterRecord], of: impl Fn(&ParameterRecord) -> f64) -> f64 {
    parameters.iter().map(|parameter| of(parameter).powi(2)).sum::<f64>().sqrt()
}
