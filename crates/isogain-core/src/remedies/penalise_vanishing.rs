//! Penalise recurrences that change the length of a gradient from step to step.

use super::{Prescription, Remedy};
use crate::recipe::{Device, NetworkKind, Precision, Recipe};
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
    let network = &recipe.network;
    // Orthogonal and antisymmetric matrices change no length, fp16 with its loss scale does not hold a gradient of this
    // size, and other devices than the processor do not compute it.
    let keeps_length = network.weight_norm.is_some() || network.antisymmetric_step.is_some();
    let cannot = recipe.run.precision == Precision::Fp16 || recipe.run.device != Device::Cpu;
    let is_idle = keeps_length || network.diagonal || network.oscillator.is_some() || cannot;
    if network.kind != NetworkKind::Rnn || network.vanishing_penalty.is_some() || is_idle {
        return Vec::new();
    }
    let variant = |weight: f64| {
        let mut treated = recipe.clone();
        treated.network.vanishing_penalty = Some(weight);
        REMEDY.variant(format!("vanishing_penalty = {weight}"), treated)
    };
    WEIGHTS.map(variant).into()
}
