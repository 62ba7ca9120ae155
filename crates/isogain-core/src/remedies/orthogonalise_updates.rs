//! Make the step of every hidden weight matrix orthogonal: as far in each direction that the gradient has (Muon).

use super::{Prescription, Remedy, uneven_steps};
use crate::recipe::{Optimizer, OptimizerName, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "orthogonalise-updates",
    summary: "make each hidden weight's step an orthogonal matrix: equally long in all directions of its momentum (Muon)",
    page: include_str!("orthogonalise-updates.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let before = &recipe.optimizer;
    let is_for_it = before.name != OptimizerName::Muon && !before.trust_ratio;
    if !is_for_it || case.network.hidden_weights().is_empty() || !uneven_steps::found(case, recipe) {
        return Vec::new();
    }
    let muon = Optimizer::named(OptimizerName::Muon);
    let optimizer = Optimizer {
        learning_rate: before.learning_rate,
        weight_decay: before.weight_decay,
        // What AdamW moves is moved as it was.
        betas: if before.name.has("betas") { before.betas } else { muon.betas },
        eps: if before.name.has("betas") { before.eps } else { muon.eps },
        ..muon
    };
    vec![REMEDY.variant("optimizer = muon", Recipe { optimizer, ..recipe.clone() })]
}
