//! Penalise recurrences that change the length of a gradient from step to step.

use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "penalise-vanishing",
    summary: "add to the loss what a recurrence changes the length of gradients by, so that training opens its memory",
    page: include_str!("penalise-vanishing.md"),
    prescribe,
};

/// Weights of the penalty: Pascanu et al. 2013 take 0.5 to 4.
const WEIGHTS: [f64; 2] = [2.0, 0.5];

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    if recipe.network.kind != NetworkKind::Rnn || recipe.network.vanishing_penalty.is_some() {
        return Vec::new();
    }
    let variant = |weight: f64| {
        let mut treated = recipe.clone();
        treated.network.vanishing_penalty = Some(weight);
        REMEDY.variant(format!("vanishing_penalty = {weight}"), treated)
    };
    WEIGHTS.map(variant).into()
}
