//! Draw the weights at the scale that keeps signal and gradient.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "rescale-init",
    summary: "draw the weights at the scale that keeps signal and gradient from layer to layer",
    page: include_str!("rescale-init.md"),
    prescribe,
};

/// One of each scale; uniform and truncated forms have the same variance and so the same signal.
const SCALES: [&str; 5] = ["he-normal", "glorot-normal", "lecun-normal", "quadrature-gain", "edge-of-chaos"];

/// Those of a recurrent layer, whose sums go through gates or a tanh that is linear near 0: what Keras draws the input's
/// weights by, and PyTorch's bound with its biases.
const RECURRENT: [&str; 2] = ["glorot-normal", "pytorch-default"];

/// Two variances, or drifts in nepers, closer than this are the same (He, quadrature gain and edge of chaos for ReLU):
/// what quadrature is good for across a kink.
const SAME: f64 = 1e-6;

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    ranked(case, recipe)
        .into_iter()
        .filter_map(|init| {
            let mut treated = recipe.clone();
            edit::set_init(&mut treated.network, init).ok()?;
            Some(REMEDY.variant(format!("init = {init}"), treated))
        })
        .filter(|prescription| prescription.recipe != *recipe)
        .collect()
}

/// The scales that differ for this activation, the one with the least drift through this depth first.
pub(super) fn ranked(case: &Case<'_>, recipe: &Recipe) -> Vec<Initializer> {
    if recipe.network.kind.is_recurrent() {
        return RECURRENT.iter().filter_map(|name| Initializer::named(name).ok()).collect();
    }
    let Some(net) = PlainNet::of(case, recipe) else {
        return Vec::new();
    };
    let known = SCALES.iter().filter_map(|name| Initializer::named(name).ok());
    let mut distinct: Vec<(Initializer, (f64, f64))> = Vec::new();
    for init in known.filter(|init| init.supports(net.activation)) {
        let (sw2, sb2) = net.variances(init);
        let same = |other: &(f64, f64)| (other.0 - sw2).abs() <= SAME * sw2 && (other.1 - sb2).abs() <= SAME;
        if !distinct.iter().any(|(_, variances)| same(variances)) {
            distinct.push((init, (sw2, sb2)));
        }
    }
    let drift = |init| (net.drift(init) / SAME).round();
    let mut scales: Vec<(f64, Initializer)> = distinct.into_iter().map(|(init, _)| (drift(init), init)).collect();
    scales.sort_by(|a, b| a.0.total_cmp(&b.0));
    scales.into_iter().map(|(_, init)| init).collect()
}
