//! Add skip connections.

use super::{Prescription, Remedy};
use crate::recipe::{BranchScale, NamedScale, Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "add-skip",
    summary: "add skip connections y = x + a F(x) around the layers",
    page: include_str!("add-skip.md"),
    prescribe,
};

/// 1/sqrt(L) and zero keep the signal at any depth; the plain sum grows with depth and comes last.
fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let variants = [
        ("branch_scale = depth", BranchScale::Named(NamedScale::Depth), false),
        ("branch_scale = 0.0, learnable_scale = true", BranchScale::Number(0.0), true),
        ("branch_scale = 1.0", BranchScale::Number(1.0), false),
    ];
    variants
        .into_iter()
        .filter_map(|(parameters, scale, learnable)| {
            let mut treated = recipe.clone();
            let changed = edit::add_skip(&mut treated.network, scale, learnable);
            (changed.is_ok() && treated != *recipe).then(|| REMEDY.variant(parameters, treated))
        })
        .collect()
}
