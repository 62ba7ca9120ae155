//! Give each step the length of a part of the weights, whatever the gradient's (LARS, LAMB).

use super::{Prescription, Remedy};
use crate::recipe::Recipe;
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "normalise-updates",
    summary: "make each tensor's step as long as the learning rate times the tensor itself (LARS; with Adam LAMB)",
    page: include_str!("normalise-updates.md"),
    prescribe,
};

/// Between the weights with the largest and the smallest |dW| / |W|, nepers, from which on one rate does not serve both:
/// what the rule on vanishing gradients calls shrinking, a factor of 30.
const SPREAD: f64 = 3.4;

/// Relative step below which all weights are too slow alike: a tenth of the usual 1e-3.
const SLOW: f64 = 1e-4;

/// Where sizes differ, or are too small alike, and the optimizer does not make up for it: a rule that follows the size of the
/// gradient, or one whose eps is larger than a gradient.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let optimizer = &recipe.optimizer;
    let weights = case.start.parameters.iter().filter(|parameter| parameter.name.ends_with(".weight"));
    let factors = optimizer.rate_factors(case.network);
    let sizes: Vec<(f64, f64, f64)> = weights
        .filter_map(|parameter| Some((factors.of(&parameter.name), parameter.gradient.rms()?, parameter.weight.rms()?)))
        .filter(|(_, gradient, weight)| *gradient > 0.0 && *weight > 0.0)
        .collect();
    let steps = sizes
        .iter()
        .map(|(factor, gradient, weight)| optimizer.learning_rate * factor * optimizer.gain(*gradient) / weight);
    let smallest = steps.clone().fold(f64::INFINITY, f64::min);
    let largest = steps.fold(0.0, f64::max);
    let is_uneven = (largest / smallest).ln() > SPREAD || largest < SLOW;
    if optimizer.trust_ratio || sizes.is_empty() || !is_uneven {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    treated.optimizer.trust_ratio = true;
    vec![REMEDY.variant("trust_ratio = true", treated)]
}
