//! Scale each layer on a batch until a gradient keeps its length on the way through it.

use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, Recipe, edit};
use crate::rules::Case;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "unit-jacobian-init",
    summary: "orthogonal weights, then divide each layer by what it stretches a gradient on a batch (AutoInit)",
    page: include_str!("unit-jacobian-init.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // A normalisation takes the scale of the weights away; beside a skip, a branch that passes gradients on doubles them.
    if edit::has_norm(&recipe.network) || edit::has_skip(&recipe.network) {
        return Vec::new();
    }
    // Where slopes do not depend on the scale there is nothing to measure but for what pooling and strides do.
    if recipe.network.kind == NetworkKind::Mlp && recipe.network.activation.slopes().is_some() {
        return Vec::new();
    }
    let Ok(init) = Initializer::named("unit-jacobian") else {
        return Vec::new();
    };
    REMEDY.starting(recipe, init)
}
