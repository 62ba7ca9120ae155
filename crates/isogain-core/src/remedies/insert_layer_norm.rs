//! Normalise every layer over its features.

use super::{Prescription, Remedy};
use crate::network::NormKind;
use crate::recipe::{Recipe, edit};
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
        // The same places, without the dependence on the batch.
        edit::replace_batch_norm(&mut treated.network, NormKind::Layer);
    }
    if treated == *recipe { Vec::new() } else { vec![REMEDY.variant("norm = layer", treated)] }
}
