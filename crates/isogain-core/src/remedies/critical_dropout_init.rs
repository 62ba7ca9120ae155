//! Draw the weights smaller by what dropout makes the signal larger.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy, rescale_init};
use crate::recipe::{NetworkKind, NetworkRecipe, Recipe, edit};
use crate::rules::Case;
use crate::theory::dropout;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "critical-dropout-init",
    summary: "draw the weights at the scale that keeps the signal under the noise of dropout",
    page: include_str!("critical-dropout-init.md"),
    prescribe,
};

/// The scale that fits the activation, its weight variance divided by mu2 = 1/p. A norm takes the noise's length out again,
/// and beside a skip the branch is not all of the signal.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(fraction) = fraction(&recipe.network).filter(|fraction| *fraction > 0.0) else {
        return Vec::new();
    };
    if edit::has_norm(&recipe.network) || edit::has_skip(&recipe.network) {
        return Vec::new();
    }
    let (Some(net), Some(init)) = (PlainNet::of(case, recipe), rescale_init::ranked(case, recipe).first().copied())
    else {
        return Vec::new();
    };
    let (weight_variance, bias_variance) = net.variances(init);
    // Five digits, as in a recipe that people read.
    let rounded = |value: f64| (value * 1e5).round() / 1e5;
    let numbers = [
        ("weight_variance", rounded(weight_variance / dropout::noise(fraction))),
        ("bias_variance", rounded(bias_variance)),
    ];
    let critical = numbers
        .into_iter()
        .try_fold(Initializer::named("normal"), |init, (key, value)| Some(init.ok()?.with_parameter(key, value)));
    let Some(Ok(critical)) = critical else { return Vec::new() };
    let mut treated = recipe.clone();
    if edit::set_init(&mut treated.network, critical).is_err() || treated == *recipe {
        return Vec::new();
    }
    vec![REMEDY.variant(format!("init = {critical}"), treated)]
}

/// The share of values that is set to 0 before each hidden layer; `None` where layers differ, or where dropout stands
/// elsewhere.
fn fraction(network: &NetworkRecipe) -> Option<f64> {
    match network.kind {
        NetworkKind::Mlp | NetworkKind::Convnet | NetworkKind::Resnet => Some(network.dropout),
        NetworkKind::Layers => {
            let found: Vec<f64> = network.layers.iter().filter_map(|layer| layer.dropout).collect();
            let activations = network.layers.iter().filter(|layer| layer.activation.is_some()).count();
            let first = *found.first()?;
            (found.len() == activations && found.iter().all(|other| *other == first)).then_some(first)
        }
        _ => None,
    }
}
