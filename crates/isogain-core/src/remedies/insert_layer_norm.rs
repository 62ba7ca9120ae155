//! Normalise every layer over its features.

use super::{Prescription, Remedy};
use crate::network::NormKind;
use crate::recipe::{LayerRecipe, NetworkRecipe, Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "insert-layer-norm",
    summary: "normalise each sample over its features before the activation, or in the place of batch norm",
    page: include_str!("insert-layer-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    if edit::insert_norm(&mut treated.network, NormKind::Layer).is_err() {
        replace_batch_norm(&mut treated.network);
    }
    if treated == *recipe { Vec::new() } else { vec![REMEDY.variant("norm = layer", treated)] }
}

/// Turns every batch norm into a layer norm: the same places, without the dependence on the batch.
fn replace_batch_norm(network: &mut NetworkRecipe) {
    fn replace(norm: &mut Option<NormKind>) {
        if *norm == Some(NormKind::Batch) {
            *norm = Some(NormKind::Layer);
        }
    }
    fn replace_in(list: &mut [LayerRecipe]) {
        for layer in list {
            replace(&mut layer.norm);
            replace_in(layer.residual.as_deref_mut().unwrap_or_default());
        }
    }
    replace(&mut network.norm);
    replace_in(&mut network.layers);
}
