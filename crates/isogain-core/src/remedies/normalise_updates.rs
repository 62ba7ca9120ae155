//! Give each step a length of its own, whatever the gradient's: a part of the weights (LARS, LAMB), or one for every number
//! (sign descent).

use super::{Prescription, Remedy, uneven_steps};
use crate::recipe::{Optimizer, OptimizerName, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "normalise-updates",
    summary: "make each tensor's step as long as the learning rate times the tensor itself (LARS; with Adam LAMB), or follow signs",
    page: include_str!("normalise-updates.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let before = &recipe.optimizer;
    if before.trust_ratio || !before.name.has("trust_ratio") || !uneven_steps::found(case, recipe) {
        return Vec::new();
    }
    let with = |optimizer| Recipe { optimizer, ..recipe.clone() };
    let part = with(Optimizer { trust_ratio: true, ..before.clone() });
    // Of the same velocity. The others divide by the size of the gradient already.
    let momentum = match before.name {
        OptimizerName::Sgd => Some(0.0),
        OptimizerName::Momentum | OptimizerName::Nesterov => Some(before.momentum),
        _ => None,
    };
    let sign = momentum.map(|momentum| {
        let optimizer = Optimizer { name: OptimizerName::SignSgd, momentum, ..before.clone() };
        REMEDY.variant("optimizer = sign-sgd", with(optimizer))
    });
    std::iter::once(REMEDY.variant("trust_ratio = true", part)).chain(sign).collect()
}
