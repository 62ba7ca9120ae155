//! Scale the branches of skip connections that are there.

use super::{Prescription, Remedy};
use crate::recipe::edit::{self, CannotApply};
use crate::recipe::{BranchScale, NamedScale, NetworkKind, NetworkRecipe, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "scale-branches",
    summary: "scale the branches of skip connections that are there: by 1/sqrt(L), from zero, or channel by channel",
    page: include_str!("scale-branches.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let small = small_start(&recipe.network);
    let set = |scale: BranchScale, learnable: bool| {
        move |network: &mut NetworkRecipe| edit::set_skip_scale(network, scale, learnable)
    };
    [
        variant(recipe, "branch_scale = depth".into(), set(BranchScale::Named(NamedScale::Depth), false)),
        variant(recipe, "branch_scale = 0.0, learnable_scale = true".into(), set(BranchScale::Number(0.0), true)),
        variant(
            recipe,
            format!("branch_scale = {small}, learnable_scale = true, scale_per_channel = true"),
            |network| edit::set_channel_scale(network, small),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn variant(
    recipe: &Recipe,
    parameters: String,
    change: impl FnOnce(&mut NetworkRecipe) -> Result<(), CannotApply>,
) -> Option<Prescription> {
    let mut treated = recipe.clone();
    let changed = change(&mut treated.network);
    (changed.is_ok() && treated != *recipe).then(|| REMEDY.variant(parameters, treated))
}

/// Where the factors of LayerScale start: 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6 beyond (Touvron et al. 2021, section
/// 2).
fn small_start(network: &NetworkRecipe) -> f64 {
    let blocks = match network.kind {
        NetworkKind::Resnet => network.depth.saturating_sub(2) / 2,
        NetworkKind::Layers => network.layers.iter().filter(|layer| layer.residual.is_some()).count(),
        _ => network.depth,
    };
    match blocks {
        0..=18 => 0.1,
        19..=24 => 1e-5,
        _ => 1e-6,
    }
}
