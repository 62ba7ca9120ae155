//! Take mean and deviation out of each unit's weights.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "standardise-weights",
    summary: "compute each unit's weights with mean 0 and a variance of their own: every layer keeps the signal, also while it trains",
    page: include_str!("standardise-weights.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // A normalisation already takes the scale of the weights away.
    if edit::has_norm(&recipe.network) {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    match edit::set_weight_norm(&mut treated.network, WeightNorm::Standardised) {
        Ok(()) => vec![REMEDY.variant("weight_norm = standardised", treated)],
        Err(_) => Vec::new(),
    }
}
