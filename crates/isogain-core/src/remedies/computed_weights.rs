//! What the remedies that compute weights from others have in common.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::weight_norm::WeightNorm;

/// The recipe with its hidden weights computed so, called `weight_norm = name`; nothing where the network normalises
/// already, which takes the scale of the weights away, or has no such weights.
pub(super) fn prescribe(remedy: &Remedy, recipe: &Recipe, norm: WeightNorm, name: &str) -> Vec<Prescription> {
    if edit::has_norm(&recipe.network) { Vec::new() } else { compute(remedy, recipe, norm, name) }
}

/// The same whether it normalises or not.
pub(super) fn compute(remedy: &Remedy, recipe: &Recipe, norm: WeightNorm, name: &str) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    match edit::set_weight_norm(&mut treated.network, norm) {
        Ok(()) => vec![remedy.variant(format!("weight_norm = {name}"), treated)],
        Err(_) => Vec::new(),
    }
}
