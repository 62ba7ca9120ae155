//! Divide a transformer's weights by their largest singular value.

use super::{Prescription, Remedy, computed_weights};
use crate::network::OpKind;
use crate::recipe::{NetworkKind, Recipe};
use crate::rules::Case;
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "sigma-reparam",
    summary: "divide a transformer's weights by their largest singular value: attention starts wide, and sharpens by a gain",
    page: include_str!("sigma-reparam.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    if !has_attention(case, recipe) {
        return Vec::new();
    }
    // Beside a norm too: what goes through the softmax are products of two weights that no norm stands between.
    computed_weights::compute(&REMEDY, recipe, WeightNorm::Spectral, "spectral")
}

/// Whether the network compares positions, which is where large weights do harm that no norm takes away.
pub(super) fn has_attention(case: &Case<'_>, recipe: &Recipe) -> bool {
    recipe.network.kind == NetworkKind::Transformer
        || case.network.walk().iter().any(|op| matches!(op.kind, OpKind::Attention(_)))
}
