//! Divide each weight by its largest singular value.

use super::{Prescription, Remedy, computed_weights, sigma_reparam};
use crate::recipe::Recipe;
use crate::rules::Case;
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "spectral-norm",
    summary: "divide each weight by its largest singular value: no layer makes anything longer than its gain says",
    page: include_str!("spectral-norm.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // Around an attention that is sigma-Reparam, which has a page of its own.
    if sigma_reparam::has_attention(case, recipe) {
        return Vec::new();
    }
    computed_weights::prescribe(&REMEDY, recipe, WeightNorm::Spectral, "spectral")
}
