//! Move and scale a smooth activation until it suits the depth (DKS).

use super::plain_net::PlainNet;
use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::initializers::Initializer;
use crate::theory::kernel_shaping::{DEFAULT_GROWTH, slope};

pub(super) static REMEDY: Remedy = Remedy {
    name: "smooth-kernel-shaping",
    summary: "move and scale a smooth activation so that signals keep size and angles through this depth (DKS)",
    page: include_str!("smooth-kernel-shaping.md"),
    prescribe,
};

/// Hidden layers below which little is lost whatever the activation.
const DEEP: usize = 5;

/// The shaped form of the activation that is there, under weights of sw2 = 1, for which it is made. A norm sets the size of
/// signals itself, and beside a skip the branch is not all of them.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    if edit::has_norm(network) || edit::has_skip(network) || edit::is_recurrent(network) {
        return Vec::new();
    }
    let Some(net) = PlainNet::of(case, recipe).filter(|net| net.depth >= DEEP) else {
        return Vec::new();
    };
    // Six digits, as in a recipe that people read.
    let target = (slope(net.depth, DEFAULT_GROWTH) * 1e6).round() / 1e6;
    let Some(shaped) = net.activation.shaped(target) else {
        return Vec::new();
    };
    ["lecun-normal", "orthogonal"]
        .iter()
        .filter_map(|name| {
            let init = Initializer::named(name).ok()?;
            let mut treated = recipe.clone();
            edit::set_activation(&mut treated.network, shaped).ok()?;
            edit::set_init(&mut treated.network, init).ok()?;
            (treated != *recipe).then(|| REMEDY.variant(format!("activation = {shaped}, init = {init}"), treated))
        })
        .collect()
}
