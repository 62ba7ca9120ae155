//! Replace a plain recurrence by small steps along a flow that keeps lengths.

use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "antisymmetric-recurrence",
    summary: "add to the state instead of replacing it, small steps through antisymmetric weights: gradients keep their length",
    page: include_str!("antisymmetric-recurrence.md"),
    prescribe,
};

/// Sizes of a step: 0.1 learns most over thirty to a hundred time steps, see the page; longer samples want smaller ones.
const STEPS: [f64; 2] = [0.1, 0.05];

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    if network.kind != NetworkKind::Rnn || network.antisymmetric_step.is_some() || network.diagonal {
        return Vec::new();
    }
    let variant = |step: f64| {
        let mut treated = recipe.clone();
        treated.network.antisymmetric_step = Some(step);
        // What keeps the length of gradients otherwise has no place beside it, and of a symmetric start nothing is left.
        treated.network.vanishing_penalty = None;
        treated.network.oscillator = None;
        treated.network.weight_norm = None;
        treated.network.hidden_init = network.hidden_init.filter(|init| init.name() != "identity");
        REMEDY.variant(format!("antisymmetric_step = {step}"), treated)
    };
    STEPS.map(variant).into()
}
