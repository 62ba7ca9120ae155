//! Leave most branches of skip connections out in training.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "drop-branches",
    summary: "leave the branches of skip connections out for most samples in training (stochastic depth)",
    page: include_str!("drop-branches.md"),
    prescribe,
};

/// Branches of full size that a sample goes through on average. One leaves the sum as large as a factor of 1/sqrt(L) on
/// all of them does; four learn more in each step where weights are small.
const BRANCHES: [f64; 2] = [1.0, 4.0];

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // What comes out of a normalised branch does not grow with the sum it reads.
    if edit::has_norm(&recipe.network) {
        return Vec::new();
    }
    let energy: f64 = edit::branch_factors(&recipe.network).iter().map(|factor| factor.powi(2)).sum();
    let variant = |branches: f64| {
        let share = 1.0 - branches / energy;
        // A rounded number reads better, and none of its digits matters.
        let share = (1e3 * share).round() / 1e3;
        let mut treated = recipe.clone();
        let changed = (share > 0.0 && share < 1.0).then(|| edit::drop_branches(&mut treated.network, share));
        matches!(changed, Some(Ok(()))).then(|| REMEDY.variant(format!("stochastic_depth = {share}"), treated))
    };
    BRANCHES.into_iter().filter_map(variant).collect()
}
