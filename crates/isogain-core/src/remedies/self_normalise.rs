//! SELU with the weights it was made for: activations that find back to mean 0 and variance 1.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "self-normalise",
    summary: "SELU with LeCun weights: mean 0 and variance 1 are a fixed point of each layer, without a normalisation",
    page: include_str!("self-normalise.md"),
    prescribe,
};

/// For plain networks: a normalisation does the same, and a skip adds what was not foreseen.
fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let network = &recipe.network;
    let is_plain = !edit::has_norm(network) && !edit::has_skip(network) && !edit::is_recurrent(network);
    let (true, Ok(selu), Ok(init)) = (is_plain, Activation::named("selu"), Initializer::named("lecun-normal")) else {
        return Vec::new();
    };
    let mut treated = recipe.clone();
    let changed =
        edit::set_activation(&mut treated.network, selu).and_then(|()| edit::set_init(&mut treated.network, init));
    if changed.is_err() || treated == *recipe {
        return Vec::new();
    }
    vec![REMEDY.variant(format!("activation = {selu}, init = {init}"), treated)]
}
