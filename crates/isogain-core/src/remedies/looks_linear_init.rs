//! Start ReLU units in pairs z and -z, so that the network begins as a product of orthogonal matrices.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, Recipe, edit};
use crate::rules::Case;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "looks-linear-init",
    summary: "start ReLU units in pairs of opposite sign: the network begins linear, an isometry of any depth",
    page: include_str!("looks-linear-init.md"),
    prescribe,
};

/// Where the activation has a kink at 0 and two slopes: only then a pair adds up to a line.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    let is_kinked = |net: &PlainNet| net.activation.slopes().is_some_and(|(below, above)| below != above);
    // Attention has no pairs.
    let has_pairs = network.kind != NetworkKind::Transformer && edit::has_even_layers(network);
    let (Some(_), true, Ok(init)) =
        (PlainNet::of(case, recipe).filter(is_kinked), has_pairs, Initializer::named("looks-linear"))
    else {
        return Vec::new();
    };
    if edit::is_recurrent(network) || edit::activations(network).len() != 1 {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    if edit::set_init(&mut treated.network, init).is_err() || treated == *recipe {
        return Vec::new();
    }
    vec![REMEDY.variant(format!("init = {}", init.name()), treated)]
}
