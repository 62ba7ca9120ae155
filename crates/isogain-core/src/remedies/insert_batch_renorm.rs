//! Normalise over a small batch as if over many.

use super::{Prescription, Remedy};
use crate::network::{NormKind, OpKind};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::rules::small_batch_norm::rows;

pub(super) static REMEDY: Remedy = Remedy {
    name: "insert-batch-renorm",
    summary: "correct the statistics of a small batch towards the running averages: batch norm as evaluation computes it",
    page: include_str!("insert-batch-renorm.md"),
    prescribe,
};

/// Fewest values under one mean: of two nothing is left for the gradient.
const FEWEST: usize = 3;
/// From this number of values on batch norm does as well (Wu & He 2018, figure 1).
const ENOUGH: usize = 16;
/// Part of the run over which the bounds open, where that is less than the recipe's.
const PART: usize = 4;

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    let rows = case.network.walk().into_iter().filter_map(|op| match &op.kind {
        OpKind::Norm(norm) if norm.norm == NormKind::Batch => Some(rows(case, op, norm)),
        _ => None,
    });
    // Where none is there yet, a mean over positions may count more: insert-batch-norm is the one to try.
    let fewest = rows.min().unwrap_or(recipe.data.batch);
    let fits = (FEWEST..ENOUGH).contains(&fewest)
        && (edit::replace_batch_norm(&mut treated.network, NormKind::BatchRenorm)
            || edit::insert_norm(&mut treated.network, NormKind::BatchRenorm).is_ok());
    if !fits {
        return Vec::new();
    }
    treated.network.norm_ramp = treated.network.norm_ramp.min((recipe.run.steps / PART).max(1));
    vec![REMEDY.variant(format!("norm = batch-renorm, norm_ramp = {}", treated.network.norm_ramp), treated)]
}
