//! Normalise inside the branches of a transformer, not on its way.

use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, NormPlacement, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "move-norm",
    summary: "normalise at the start of each branch (pre-LN) or scale the branches (DeepNorm), not after each sum",
    page: include_str!("move-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    if network.kind != NetworkKind::Transformer || network.norm_placement != NormPlacement::Post {
        return Vec::new();
    }
    let with = |(name, placement): (&str, NormPlacement)| {
        let mut treated = recipe.clone();
        treated.network.norm_placement = placement;
        REMEDY.variant(format!("norm_placement = {name}"), treated)
    };
    let deepnorm = network.init.scaled(1.0).is_some().then_some(("deepnorm", NormPlacement::Deepnorm));
    [("pre", NormPlacement::Pre)].into_iter().chain(deepnorm).map(with).collect()
}
