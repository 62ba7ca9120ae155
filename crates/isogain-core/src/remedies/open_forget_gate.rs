//! Start gated cells with open forget gates.

use super::{Prescription, Remedy};
use crate::network::{ForgetBias, NamedBias};
use crate::recipe::{NetworkKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "open-forget-gate",
    summary: "start forget gates open: biases spread over the length of the sequence (chrono), or 1",
    page: include_str!("open-forget-gate.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    if !matches!(recipe.network.kind, NetworkKind::Lstm | NetworkKind::Gru) {
        return Vec::new();
    }
    let biases = [("chrono", ForgetBias::Named(NamedBias::Chrono)), ("1", ForgetBias::Number(1.0))];
    let variant = |(name, bias): (&str, ForgetBias)| {
        let mut treated = recipe.clone();
        treated.network.forget_bias = Some(bias);
        (treated != *recipe).then(|| REMEDY.variant(format!("forget_bias = {name}"), treated))
    };
    biases.into_iter().filter_map(variant).collect()
}
