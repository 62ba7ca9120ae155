//! Normalise inside the branches of a transformer, not on its way.

use super::{Prescription, Remedy};
use crate::recipe::NormPlacement::{self, Post, Pre, Sandwich};
use crate::recipe::{NetworkKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "move-norm",
    summary: "normalise at the start of each branch of a transformer (pre-LN), or at both ends, not after each sum",
    page: include_str!("move-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    let placements: &[(NormPlacement, &str)] = match network.norm_placement {
        _ if network.kind != NetworkKind::Transformer || network.fixup => &[],
        Post => &[(Pre, "pre"), (Sandwich, "sandwich")],
        Pre => &[(Sandwich, "sandwich")],
        _ => &[],
    };
    let placed = |(placement, name): &(NormPlacement, &str)| {
        let mut treated = recipe.clone();
        treated.network.norm_placement = *placement;
        if *placement == Sandwich {
            // Behind what it makes smaller stands a norm now.
            treated.network.residual_init = None;
        }
        REMEDY.variant(format!("norm_placement = {name}"), treated)
    };
    placements.iter().map(placed).collect()
}
