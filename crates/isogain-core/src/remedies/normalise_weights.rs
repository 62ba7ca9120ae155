//! Train direction and length of each unit's weights apart.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "normalise-weights",
    summary: "train direction and length of each unit's weights apart: steps are small against weights that are large",
    page: include_str!("normalise-weights.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // A normalisation already takes the scale of the weights away.
    if edit::has_norm(&recipe.network) {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    match edit::set_weight_norm(&mut treated.network, WeightNorm::Norm) {
        Ok(()) => vec![REMEDY.variant("weight_norm = norm", treated)],
        Err(_) => Vec::new(),
    }
}
