//! Replace a plain recurrence by gated cells.

use super::{Prescription, Remedy};
use crate::network::ForgetBias;
use crate::recipe::{NetworkKind, NetworkRecipe, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "gated-cell",
    summary: "LSTM or GRU in place of a plain recurrence: a state that is added to, behind gates that are learnt",
    page: include_str!("gated-cell.md"),
    prescribe,
};

/// Open from the start (Jozefowicz et al. 2015).
const FORGET_BIAS: f64 = 1.0;

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    if recipe.network.kind != NetworkKind::Rnn {
        return Vec::new();
    }
    let with = |kind: NetworkKind, name: &str| {
        let mut treated = recipe.clone();
        treated.network = NetworkRecipe {
            kind,
            activation: NetworkRecipe::of(kind).activation,
            forget_bias: Some(ForgetBias::Number(FORGET_BIAS)),
            vanishing_penalty: None,
            antisymmetric_step: None,
            diagonal: false,
            oscillator: None,
            ..recipe.network.clone()
        };
        REMEDY.variant(format!("kind = {name}, forget_bias = {FORGET_BIAS}"), treated)
    };
    vec![with(NetworkKind::Lstm, "lstm"), with(NetworkKind::Gru, "gru")]
}
