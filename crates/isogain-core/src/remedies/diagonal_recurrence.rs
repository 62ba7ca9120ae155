//! Replace a recurrence by units of which each keeps a share of its own state.

use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, NetworkRecipe, Recipe};
use crate::rules::Case;
use crate::theory::activations::Activation;

pub(super) static REMEDY: Remedy = Remedy {
    name: "diagonal-recurrence",
    summary: "let each unit keep a share of its own state, learnt and spread over the sequence: no matrix from state to state",
    page: include_str!("diagonal-recurrence.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    if !network.kind.is_recurrent() || network.diagonal {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    treated.network = NetworkRecipe {
        kind: NetworkKind::Rnn,
        // The one nonlinearity that is left: with tanh the page's recipe stays at chance.
        activation: Activation::relu(),
        diagonal: true,
        hidden_init: None,
        forget_bias: None,
        vanishing_penalty: None,
        antisymmetric_step: None,
        oscillator: None,
        weight_norm: None,
        ..network.clone()
    };
    vec![REMEDY.variant("diagonal = true, activation = relu", treated)]
}
