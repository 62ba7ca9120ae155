//! Take mean and deviation out of each unit's weights.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy, computed_weights};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::gains::Gains;
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "standardise-weights",
    summary: "compute each unit's weights with mean 0 and a variance of their own: every layer keeps the signal, also while it trains",
    page: include_str!("standardise-weights.md"),
    prescribe,
};

/// Growth of the gradient through a plain network, nepers, from which on it is another illness: of 30 ReLU layers (5.7) no
/// learning rate of the search gives a finite loss, 30 tanh layers (2.5) and 10 ReLU layers (1.9) train.
const EXPLODES: f64 = 3.4;

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    if !edit::has_skip(&recipe.network) && growth(case, recipe) > EXPLODES {
        return Vec::new();
    }
    computed_weights::prescribe(&REMEDY, recipe, WeightNorm::Standardised, "standardised")
}

/// ln of the factor on the RMS of the cotangent over all layers: 1/2 ln(E phi'^2 / Var phi) for each, as under batch norm
/// over an infinite batch. 0 without hidden activations.
fn growth(case: &Case<'_>, recipe: &Recipe) -> f64 {
    PlainNet::of(case, recipe)
        .map_or(0.0, |net| 0.5 * net.depth as f64 * Gains::at(net.activation, 1.0).batch_norm_factor().ln())
}
