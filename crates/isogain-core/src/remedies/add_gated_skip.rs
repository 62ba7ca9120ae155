//! Add skip connections with a gate: Highway networks.

use super::{Prescription, Remedy};
use crate::recipe::{NetworkKind, NetworkRecipe, Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "add-gated-skip",
    summary: "add skip connections with a trained gate: y = (1 - T) x + T F(x)",
    page: include_str!("add-gated-skip.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    let bias = bias(&recipe.network);
    match edit::add_gated_skip(&mut treated.network, bias) {
        Ok(()) => vec![REMEDY.variant(format!("gate_bias = {bias:?}"), treated)],
        Err(_) => Vec::new(),
    }
}

/// -ln of the number of layers, rounded: gates that open a share 1/L of L blocks keep 1/e of the signal.
fn bias(network: &NetworkRecipe) -> f64 {
    let layers = match network.kind {
        NetworkKind::Layers => {
            network.layers.iter().filter(|layer| layer.linear.or(layer.convolution).is_some()).count()
        }
        _ => network.depth,
    };
    -(layers.max(3) as f64).ln().round()
}
