//! Draw orthogonal weights, at the gain that fits the activation.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy};
use crate::recipe::Recipe;
use crate::rules::Case;
use crate::theory::edge_of_chaos::orthogonal_gain;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "orthogonal-init",
    summary: "draw orthogonal weights: every direction of signal and gradient keeps its length, not only their mean",
    page: include_str!("orthogonal-init.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(net) = PlainNet::of(case, recipe) else {
        return Vec::new();
    };
    let Ok(orthogonal) = Initializer::named("orthogonal") else {
        return Vec::new();
    };
    let Ok(init) = orthogonal.with_parameter("gain", gain(&net)) else {
        return Vec::new();
    };
    REMEDY.starting(recipe, init)
}

/// The gain of orthogonal weights in a network of this depth, [`orthogonal_gain`] at variance 1/L.
pub(super) fn gain(net: &PlainNet) -> f64 {
    let gain = orthogonal_gain(net.activation, 1.0 / net.depth.max(1) as f64);
    // Four digits are far below what finite width does, and stay readable in a recipe.
    (gain * 1e4).round() / 1e4
}
