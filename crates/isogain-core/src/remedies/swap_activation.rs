//! Put another activation in the place of the hidden ones, with the initialiser that fits it.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy, rescale_init};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::activations::Activation;
use crate::theory::tailored;

pub(super) static REMEDY: Remedy = Remedy {
    name: "swap-activation",
    summary: "use an activation that passes the gradient on, with the initialiser that fits it",
    page: include_str!("swap-activation.md"),
    prescribe,
};

/// From this depth on, zero-half activations lose the angle between inputs: the tailored slope comes first.
const DEEP: usize = 10;

/// For deep nets: what keeps the angle between two inputs through depth first.
const FOR_DEEP: [&str; 7] = ["tailored-relu", "tanh", "selu", "leaky-relu", "silu", "gelu", "relu"];

/// For shallow nets: the common ones first.
const FOR_SHALLOW: [&str; 7] = ["relu", "leaky-relu", "gelu", "silu", "tanh", "selu", "tailored-relu"];

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut variants = Vec::new();
    let mut bare = recipe.clone();
    if edit::remove_output_activation(&mut bare.network).is_ok() {
        variants.push(REMEDY.variant("output_activation = none", bare));
    }
    let Some(net) = PlainNet::of(case, recipe) else {
        return variants;
    };
    let order = if net.depth >= DEEP { FOR_DEEP } else { FOR_SHALLOW };
    for activation in order.iter().filter_map(|name| choice(name, net.depth)) {
        if activation.name() == net.activation.name() {
            continue;
        }
        let mut treated = recipe.clone();
        if edit::set_activation(&mut treated.network, activation).is_err() {
            continue;
        }
        let fitting = rescale_init::ranked(case, &treated).first().copied();
        let mut parameters = format!("activation = {activation}");
        if let Some(init) = fitting
            && edit::set_init(&mut treated.network, init).is_ok()
        {
            parameters += &format!(", init = {init}");
        }
        variants.push(REMEDY.variant(parameters, treated));
    }
    variants
}

/// The activation of that name; the tailored slope is the one for this depth.
fn choice(name: &str, depth: usize) -> Option<Activation> {
    if name == "tailored-relu" {
        // Five digits, as in a recipe people read. A shallow net needs no slope: it is the plain ReLU.
        let slope = (tailored::slope(depth, tailored::DEFAULT_OUTPUT_CORRELATION) * 1e5).round() / 1e5;
        return (slope > 0.0).then(|| Activation::tailored_relu(slope));
    }
    Activation::named(name).ok()
}
