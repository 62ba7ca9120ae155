//! Draw weights smaller by what dropout makes larger.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy};
use crate::network::OpKind;
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::gains::Gains;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "dropout-init",
    summary: "draw weights smaller where dropout makes the signal larger: sw2 = 2 p for ReLU that keeps a part p",
    page: include_str!("dropout-init.md"),
    prescribe,
};

/// A kept value is divided by p, so that the mean square grows by 1/p with each layer.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let dropped = case.network.walk().into_iter().find_map(|op| match &op.kind {
        OpKind::Dropout(dropout) => Some(dropout.fraction),
        _ => None,
    });
    let network = &recipe.network;
    let is_plain = !edit::has_norm(network) && !edit::has_skip(network) && !edit::is_recurrent(network);
    let (Some(dropped), Some(net), true) = (dropped, PlainNet::of(case, recipe), is_plain) else {
        return Vec::new();
    };
    let gain = if net.activation.is_homogeneous() {
        Gains::at(net.activation, 1.0).forward()
    } else {
        // At any other activation the criticality that dropout destroys has no scale that would bring it back.
        return Vec::new();
    };
    // Four digits are far below what finite width does, and stay readable in a recipe.
    let variance = ((1.0 - dropped) * gain * gain * 1e4).round() / 1e4;
    let Ok(init) = Initializer::named("normal").and_then(|init| init.with_parameter("weight_variance", variance))
    else {
        return Vec::new();
    };
    let mut treated = recipe.clone();
    if edit::set_init(&mut treated.network, init).is_err() || treated == *recipe {
        return Vec::new();
    }
    vec![REMEDY.variant(format!("init = {init}"), treated)]
}
