//! Batch normalisation over too few samples.

use super::{Case, Finding, Rule};
use crate::network::{Norm, NormKind, Op, OpKind};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "small-batch-norm",
    code: "G006",
    summary: "batch norm over too few samples",
    page: include_str!("small-batch-norm.md"),
    explains: &[
        "exploding-gradient",
        "vanishing-gradient",
        "gradient-underflow",
        "gradient-below-eps",
        "exactly-zero-gradient",
        "learning-rate-too-high",
        "learning-rate-too-low",
        "clipping-dominates",
        "frozen-layer",
        "diverging-loss",
        "stale-statistics",
        "loss-at-chance",
        "shattered-gradient",
    ],
    check,
};

/// Up to this batch the gradient is zero (2 samples normalise to -1 and 1 whatever they were) or has an infinite mean
/// square (3).
const FAILS: usize = 3;
/// Below this batch the error of a trained network rises (Wu & He 2018, figure 1).
const SUFFERS: usize = 16;
/// Up to this batch nothing is left of a gradient that loses its mean and its part along the values, whatever they are
/// divided by: batch renormalisation fails too.
const NOTHING_LEFT: usize = 2;

fn check(case: &Case<'_>) -> Option<Finding> {
    let few: Vec<(&str, usize, NormKind, usize)> = case
        .network
        .walk()
        .into_iter()
        .filter_map(|op| match &op.kind {
            OpKind::Norm(norm) if norm.norm.is_over_batch() => {
                Some((op.name.as_str(), rows(case, op, norm), norm.norm, norm.ghost))
            }
            _ => None,
        })
        .filter(|(_, rows, kind, _)| match kind {
            NormKind::BatchRenorm => *rows <= NOTHING_LEFT,
            _ => *rows < SUFFERS,
        })
        .collect();
    let ((first, ..), (last, ..)) = (few.first()?, few.last()?);
    let (_, batch, kind, _) = few.iter().min_by_key(|(_, rows, ..)| *rows)?;
    let (level, what, why) = match kind {
        NormKind::BatchRenorm => (
            Level::Deny,
            "batch renormalisation",
            "nothing is left of a gradient of two samples without its mean and its part along them",
        ),
        _ if few.iter().any(|(.., ghost)| *ghost > 0) => {
            let level = if *batch <= FAILS { Level::Deny } else { Level::Warn };
            (level, "batch norm by parts", "a larger ghost_batch has more to take its mean and variance over")
        }
        _ if *batch <= FAILS => {
            let why = "two samples normalise to -1 and 1 whatever they were, three have no finite mean gradient";
            (Level::Deny, "batch norm", why)
        }
        _ => (Level::Warn, "batch norm", "its mean and variance are mostly noise"),
    };
    let (limit, fails, source) = match kind {
        NormKind::BatchRenorm => (NOTHING_LEFT + 1, NOTHING_LEFT, "of two samples nothing is left"),
        _ => (SUFFERS, FAILS, "Wu & He 2018, figure 1"),
    };
    let places = if few.len() == 1 { "1 place".to_owned() } else { format!("{} places", few.len()) };
    let message = format!("{what} over {batch} samples in {places}: {why}");
    let mut finding = Finding::new(RULE.name, level, [first, last], message)
        .against("samples in a batch", *batch as f64, limit as f64, source)
        .with("samples up to which no usable gradient exists", fails as f64)
        .with("RMS of the first cotangent over the last", case.start.flow.total_log_gain.map_or(f64::NAN, f64::exp))
        .remedies(&["insert-layer-norm", "insert-batch-renorm", "change-learning-rate"]);
    finding.theory = super::expectation::line(case);
    Some(finding)
}

/// Values that one mean and variance are taken over: the samples that share them, times the positions of each where there are
/// several.
pub(crate) fn rows(case: &Case<'_>, op: &Op, norm: &Norm) -> usize {
    let batch = case.recipe.data.batch;
    let measured = case.start.joints.iter().find(|joint| joint.name == op.name);
    let positions =
        measured.map_or(1, |joint| joint.activation.count as usize / (norm.features.max(1) * case.start.batch.max(1)));
    batch / norm.parts(batch) * positions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    #[test]
    fn only_batch_norm_over_few_samples() {
        let ask = |batch: usize, norm: &str| {
            let recipe = format!("[data]\nbatch = {batch}\n[network]\ndepth = 2\nwidth = 16\nnorm = \"{norm}\"\n");
            Bench::new(&recipe).ask("small-batch-norm").map(|finding| finding.level)
        };
        assert_eq!(ask(2, "batch"), Some(Level::Deny));
        assert_eq!(ask(8, "batch"), Some(Level::Warn));
        assert_eq!(ask(16, "batch"), None);
        assert_eq!(ask(2, "layer"), None);
        // Which divides by what many batches had.
        assert_eq!(ask(2, "batch-renorm"), Some(Level::Deny));
        assert_eq!(ask(3, "batch-renorm"), None);
    }

    /// Over the positions of an image a batch of four is many values.
    #[test]
    fn positions_count_as_samples() {
        let mut bench = Bench::new("[data]\nbatch = 4\n[network]\ndepth = 2\nwidth = 16\nnorm = \"batch\"\n");
        assert!(bench.ask("small-batch-norm").unwrap().message.contains("over 4 samples in 2 places"));
        bench.joint("norm1").activation.count *= 64;
        assert!(bench.ask("small-batch-norm").unwrap().message.contains("over 4 samples in 1 place:"));
        bench.joint("norm2").activation.count *= 64;
        assert_eq!(bench.ask("small-batch-norm"), None);
    }
}
