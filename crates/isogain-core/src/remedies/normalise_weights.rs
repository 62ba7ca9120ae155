//! Train direction and length of each unit's weights apart, with a length at first that keeps the signal.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "normalise-weights",
    summary: "train direction and length of each unit's weights apart, the length at first one that keeps the signal",
    page: include_str!("normalise-weights.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // A normalisation already takes the scale of the weights away.
    if edit::has_norm(&recipe.network) {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    match edit::set_weight_norm(&mut treated.network, WeightNorm::Normalised) {
        Ok(()) => vec![REMEDY.variant("weight_norm = normalised", treated)],
        Err(_) => Vec::new(),
    }
}
