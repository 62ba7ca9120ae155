//! Normalise inside the branches of a transformer, not on its way.

use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, NormPlacement, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "move-norm",
    summary: "normalise at the start of each branch of a transformer (pre-LN), not after each sum; then at both ends",
    page: include_str!("move-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    if network.kind != NetworkKind::Transformer || network.fixup {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    let name = match network.norm_placement {
        NormPlacement::Post => {
            treated.network.norm_placement = NormPlacement::Pre;
            "pre"
        }
        NormPlacement::Pre => {
            treated.network.norm_placement = NormPlacement::Sandwich;
            // Behind what it makes smaller stands a norm now.
            treated.network.residual_init = None;
            "sandwich"
        }
        _ => return Vec::new(),
    };
    vec![REMEDY.variant(format!("norm_placement = {name}"), treated)]
}
