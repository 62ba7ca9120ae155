//! Normalise every layer over the batch.

use super::{Prescription, Remedy};
use crate::network::NormKind;
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "insert-batch-norm",
    summary: "normalise each feature over the batch before the activation",
    page: include_str!("insert-batch-norm.md"),
    prescribe,
};

/// Below this batch size its gradient factor per ReLU layer is above 1.79 in mean square and its variance is large (at 3
/// infinite, and at 2 the gradient is exactly zero): layer norm is the one to use.
const SMALLEST_BATCH: usize = 8;

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    if recipe.data.batch < SMALLEST_BATCH || edit::insert_norm(&mut treated.network, NormKind::Batch).is_err() {
        return Vec::new();
    }
    vec![REMEDY.variant("norm = batch", treated)]
}
