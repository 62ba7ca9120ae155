//! Start narrow ReLU layers with one positive number in each unit, so that a layer is seldom born dead.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::born_dead;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "asymmetric-init",
    summary: "start one number of each ReLU unit positive: a narrow deep network is then seldom born dead",
    page: include_str!("asymmetric-init.md"),
    prescribe,
};

/// Chance that a network of this shape is born dead from which on it is worth it; the same as where `born-dead` warns.
const NOTICEABLE: f64 = 0.05;

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(net) = PlainNet::of(case, recipe).filter(|net| net.activation.is_zero_below_zero()) else {
        return Vec::new();
    };
    let chance = born_dead::upper_bound(net.fan_out, net.depth);
    if chance < NOTICEABLE || edit::has_norm(&recipe.network) || edit::has_skip(&recipe.network) {
        return Vec::new();
    }
    let Ok(init) = Initializer::named("randomized-asymmetric") else {
        return Vec::new();
    };
    REMEDY.starting(recipe, init)
}
