//! Take batch norm's statistics over parts of a large batch.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "ghost-batch-norm",
    summary: "take batch norm's mean and variance over parts of a large batch, which evaluation follows sooner",
    page: include_str!("ghost-batch-norm.md"),
    prescribe,
};

/// Samples of a part: enough for a mean that is no noise.
const SIZES: [usize; 2] = [64, 32];
/// Parts below which the running averages are hardly sooner there.
const FEWEST: usize = 2;

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let is_whole = recipe.network.ghost_batch.is_none() && edit::has_batch_norm(&recipe.network);
    let sizes = SIZES.into_iter().filter(|size| is_whole && recipe.data.batch >= FEWEST * size);
    let variant = |size: usize| {
        let mut treated = recipe.clone();
        treated.network.ghost_batch = Some(size);
        REMEDY.variant(format!("ghost_batch = {size}"), treated)
    };
    sizes.map(variant).collect()
}
