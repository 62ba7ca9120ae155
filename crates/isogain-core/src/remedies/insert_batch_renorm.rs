//! Normalise over a small batch as if over many.

use super::{Prescription, Remedy};
use crate::network::{NormKind, OpKind};
use crate::recipe::{NetworkKind, Recipe, edit};
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
    // Where none is there yet, its means would be over positions as well, but in these.
    let is_dense = matches!(recipe.network.kind, NetworkKind::Mlp | NetworkKind::Residual);
    let fewest = rows.min().or_else(|| is_dense.then_some(recipe.data.batch));
    let fits = fewest.is_some_and(|fewest| (FEWEST..ENOUGH).contains(&fewest))
        && (edit::replace_batch_norm(&mut treated.network, NormKind::BatchRenorm)
            || edit::insert_norm(&mut treated.network, NormKind::BatchRenorm).is_ok());
    if !fits {
        return Vec::new();
    }
    treated.network.norm_ramp = treated.network.norm_ramp.min((recipe.run.steps / PART).max(1));
    vec![REMEDY.variant(format!("norm = batch-renorm, norm_ramp = {}", treated.network.norm_ramp), treated)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn ask(text: &str, positions: u64) -> Option<String> {
        let mut bench = Bench::new(text);
        for joint in &mut bench.start.joints {
            joint.activation.count *= positions;
        }
        prescribe(&bench.case(), &bench.recipe).pop().map(|prescription| prescription.parameters)
    }

    #[test]
    fn for_means_over_few_values_and_not_for_two() {
        let with = |batch: usize, norm: &str| {
            ask(&format!("[data]\nbatch = {batch}\n[network]\ndepth = 2\nwidth = 16\n{norm}\n[run]\nsteps = 1000\n"), 1)
        };
        let found = Some("norm = batch-renorm, norm_ramp = 100".to_owned());
        assert_eq!(with(3, "norm = \"batch\""), found);
        assert_eq!(with(15, "norm = \"batch\""), found);
        assert_eq!(with(4, ""), found);
        for (batch, norm) in [(2, "norm = \"batch\""), (16, "norm = \"batch\""), (4, "norm = \"layer\""), (32, "")] {
            assert_eq!(with(batch, norm), None, "{batch} {norm}");
        }
        let convolution = "[data]\nbatch = 4\n[network]\ndepth = 2\nwidth = 16\nnorm = \"batch\"\n";
        assert_eq!(ask(convolution, 64), None);
        assert!(ask(convolution, 2).is_some());
    }

    #[test]
    fn the_bounds_are_open_for_most_of_a_short_run() {
        let short = "[data]\nbatch = 4\n[network]\ndepth = 2\nwidth = 16\nnorm = \"batch\"\n[run]\nsteps = 40\n";
        assert_eq!(ask(short, 1).unwrap(), "norm = batch-renorm, norm_ramp = 10");
    }
}
