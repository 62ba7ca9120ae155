//! Normalise inside the branches of a transformer, not on its way.

use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, NormPlacement, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "move-norm",
    summary: "normalise at the start of each branch of a transformer (pre-LN), not after each sum",
    page: include_str!("move-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    if network.kind != NetworkKind::Transformer || network.norm_placement != NormPlacement::Post {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    treated.network.norm_placement = NormPlacement::Pre;
    vec![REMEDY.variant("norm_placement = pre", treated)]
}
