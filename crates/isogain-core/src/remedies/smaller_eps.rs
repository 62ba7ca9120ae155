//! Make Adam's eps smaller than the gradients it is added to.

use super::{Prescription, Remedy};
use crate::recipe::Recipe;
use crate::rules::Case;
use crate::step_size::StepSizes;

pub(super) static REMEDY: Remedy = Remedy {
    name: "smaller-eps",
    summary: "make Adam's eps smaller than the gradients it is added to",
    page: include_str!("smaller-eps.md"),
    prescribe,
};

/// Adam's step is lr m / (sqrt(v) + eps): from this ratio of eps to the gradient on, the step loses 1 %.
const NOTICEABLE: f64 = 0.01;

/// Far below every gradient whose square single precision can hold (1e-19), far above the smallest normal number.
const SMALLEST: f64 = 1e-30;

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let steps = StepSizes::new(&recipe.optimizer, case.network);
    let weights = case.start.parameters.iter().filter(|parameter| parameter.name.ends_with(".weight"));
    // Of Muon's weights some have none.
    let weights = weights.filter(|parameter| steps.eps(&parameter.name).is_some());
    // An exactly zero gradient is no matter of eps.
    let smallest =
        weights.filter_map(|parameter| parameter.gradient.rms()).filter(|rms| *rms > 0.0).min_by(f64::total_cmp);
    let is_hidden = smallest.is_some_and(|rms| recipe.optimizer.eps > NOTICEABLE * rms);
    if !is_hidden || recipe.optimizer.eps <= SMALLEST {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    treated.optimizer.eps = SMALLEST;
    vec![REMEDY.variant(format!("eps = {SMALLEST:e}"), treated)]
}
