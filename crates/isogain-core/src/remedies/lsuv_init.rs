//! Scale each layer on a batch until its output has unit variance.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "lsuv-init",
    summary: "orthogonal weights, then divide each layer by the deviation of its output on a batch",
    page: include_str!("lsuv-init.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // A normalisation already gives each layer unit variance.
    if edit::has_norm(&recipe.network) {
        return Vec::new();
    }
    let Ok(init) = Initializer::named("lsuv") else {
        return Vec::new();
    };
    REMEDY.starting(recipe, init)
}
