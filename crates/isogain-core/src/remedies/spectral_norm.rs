//! Divide each weight by its largest singular value.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "spectral-norm",
    summary: "divide each weight by its largest singular value: no layer makes anything longer than its gain says",
    page: include_str!("spectral-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // A normalisation already takes the scale of the weights away.
    if edit::has_norm(&recipe.network) {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    match edit::set_weight_norm(&mut treated.network, WeightNorm::Spectral) {
        Ok(()) => vec![REMEDY.variant("weight_norm = spectral", treated)],
        Err(_) => Vec::new(),
    }
}
