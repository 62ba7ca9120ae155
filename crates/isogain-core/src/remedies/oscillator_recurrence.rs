//! Replace a plain recurrence by oscillators that its weights couple.

use super::{Prescription, Remedy};
use crate::network::Oscillator;
use crate::recipe::{NetworkKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "oscillator-recurrence",
    summary: "let each unit swing, driven by the input and coupled by small weights: a step hardly changes a gradient's length",
    page: include_str!("oscillator-recurrence.md"),
    prescribe,
};

/// Sizes of a step: 0.1 learns most over a hundred time steps, see the page; longer samples want smaller ones.
const STEPS: [f64; 2] = [0.1, 0.05];

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    if network.kind != NetworkKind::Rnn || network.oscillator.is_some() || network.diagonal {
        return Vec::new();
    }
    let variant = |step: f64| {
        let mut treated = recipe.clone();
        treated.network.oscillator = Some(Oscillator { step, ..Oscillator::default() });
        // What keeps the length of gradients otherwise has no place beside it, and an identity would couple each to itself.
        treated.network.vanishing_penalty = None;
        treated.network.antisymmetric_step = None;
        treated.network.weight_norm = None;
        treated.network.hidden_init = network.hidden_init.filter(|init| init.name() != "identity");
        REMEDY.variant(format!("oscillator.step = {step}"), treated)
    };
    STEPS.map(variant).into()
}
