//! Whether the optimizer's steps are of very different sizes, or all too small: what remedies look for that give every step a
//! size of its own.

use crate::recipe::Recipe;
use crate::rules::Case;
use crate::step_size::StepSizes;

/// Between the weights with the largest and the smallest |dW| / |W|, nepers, from which on one rate does not serve both:
/// what the rule on vanishing gradients calls shrinking, a factor of 30.
const SPREAD: f64 = 3.4;

/// Relative step below which all weights are too slow alike: a tenth of the usual 1e-3.
const SLOW: f64 = 1e-4;

/// Where sizes differ, or are too small alike, and the optimizer does not make up for it: a rule that follows the size of the
/// gradient, or one whose eps is larger than a gradient.
pub(super) fn found(case: &Case<'_>, recipe: &Recipe) -> bool {
    let sizes = StepSizes::new(&recipe.optimizer, case.network);
    let weights = case.start.parameters.iter().filter(|parameter| parameter.name.ends_with(".weight"));
    let steps: Vec<f64> = weights
        .filter_map(|parameter| Some((&parameter.name, parameter.gradient.rms()?, parameter.weight.rms()?)))
        .filter(|(_, gradient, weight)| *gradient > 0.0 && *weight > 0.0)
        .map(|(name, gradient, weight)| sizes.relative(name, gradient, weight))
        .collect();
    let smallest = steps.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = steps.iter().copied().fold(0.0, f64::max);
    !steps.is_empty() && ((largest / smallest).ln() > SPREAD || largest < SLOW)
}
