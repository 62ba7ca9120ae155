//! Draw orthogonal weights, at the gain that fits the activation.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::edge_of_chaos::critical_at;
use crate::theory::gains::Gains;
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
    let mut treated = recipe.clone();
    if edit::set_init(&mut treated.network, init).is_err() || treated == *recipe {
        return Vec::new();
    }
    vec![REMEDY.variant(format!("init = {init}"), treated)]
}

/// For activations that are linear near 0 (tanh and its kin) the critical gain at pre-activation variance 1/L, which
/// keeps the spread of the Jacobian's singular values independent of depth (Pennington et al. 2017; Xiao et al. 2018).
/// For all others the gain that holds a unit-variance signal, sqrt 2 for ReLU.
pub(super) fn gain(net: &PlainNet) -> f64 {
    let variance = 1.0 / net.depth.max(1) as f64;
    let (sw2, sb2) = critical_at(net.activation, variance);
    let linear_near_zero = !net.activation.is_homogeneous() && net.activation.value(0.0) == 0.0 && sb2 >= 0.0;
    let gain = if linear_near_zero { sw2.sqrt() } else { Gains::at(net.activation, 1.0).forward() };
    // Four digits are far below what finite width does, and stay readable in a recipe.
    (gain * 1e4).round() / 1e4
}
