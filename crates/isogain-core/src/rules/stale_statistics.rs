//! Evaluation by running averages of batch norm that are not those of the network that was trained.

use super::finding::{number, steps};
use super::{Case, Finding, Rule};
use crate::network::{NormKind, OpKind};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "stale-statistics",
    code: "G038",
    summary: "batch norm's running averages lag behind, so that evaluation is far worse than training",
    page: include_str!("stale-statistics.md"),
    explains: &["loss-at-chance"],
    check,
};

/// Loss of the training samples in evaluation over that of the last batches in training.
const RATIO: f64 = 2.0;
/// The difference, in losses of knowing nothing.
const EXCESS: f64 = 0.1;
/// Part of the loss of knowing nothing below which a loss shows that training has learned.
const LEARNED: f64 = 0.5;
/// Samples of a batch that can be taken in parts.
const LARGE: usize = 64;
/// Fewest losses to judge.
const ENOUGH: usize = 10;

fn check(case: &Case<'_>) -> Option<Finding> {
    let outcome = case.outcome?;
    let is_over_batch = |kind: &OpKind| matches!(kind, OpKind::Norm(norm) if norm.norm.is_over_batch());
    let norms: Vec<&str> =
        case.network.walk().into_iter().filter(|op| is_over_batch(&op.kind)).map(|op| op.name.as_str()).collect();
    let (first, last) = (norms.first()?, norms.last()?);
    let losses: Option<Vec<f64>> = outcome.losses.iter().copied().collect();
    let losses = losses.filter(|losses| losses.len() >= ENOUGH)?;
    // The loss falls meanwhile: the mean of the last ones is above what training has arrived at.
    let lately = &losses[losses.len() - losses.len() / 5..];
    let trained = lately.iter().sum::<f64>() / lately.len() as f64;
    let (evaluated, baseline) = (outcome.loss?, case.data.baseline_loss);
    if trained > LEARNED * baseline || evaluated < RATIO * trained || evaluated - trained < EXCESS * baseline {
        return None;
    }
    let level = if evaluated >= baseline { Level::Deny } else { Level::Warn };
    let message = format!(
        "after {} training has a loss of {}, evaluation of the same samples one of {}: the running averages of {} are not \
         those of the weights",
        steps(outcome.steps),
        number(trained),
        number(evaluated),
        if norms.len() == 1 { "the batch norm".to_owned() } else { format!("{} batch norms", norms.len()) },
    );
    Some(
        Finding::new(RULE.name, level, [first, last], message)
            .at(outcome.steps)
            .against(
                "loss in evaluation over that of the last fifth of the batches",
                evaluated / trained,
                RATIO,
                "about 1 where the averages have arrived; above it also, for a while, where weights move fast",
            )
            .against(
                "the difference over the loss of knowing nothing",
                (evaluated - trained) / baseline,
                EXCESS,
                "what little training has left is no illness",
            )
            .with("batches that the averages have followed", outcome.steps as f64)
            .remedies(match may_be_split(case) {
                true => &["ghost-batch-norm", "insert-layer-norm", "change-learning-rate"],
                false => &["insert-layer-norm", "change-learning-rate"],
            }),
    )
}

/// Whether there is a batch norm over the whole of a batch that is large enough for parts of it.
fn may_be_split(case: &Case<'_>) -> bool {
    let is_whole =
        |kind: &OpKind| matches!(kind, OpKind::Norm(norm) if norm.norm == NormKind::Batch && norm.ghost == 0);
    case.recipe.data.batch >= LARGE && case.network.walk().iter().any(|op| is_whole(&op.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn found(batch: usize, norm: &str, trained: f64, evaluated: f64) -> Option<Finding> {
        let recipe = format!("[data]\nbatch = {batch}\n[network]\ndepth = 2\nwidth = 8\nnorm = \"{norm}\"\n");
        let mut bench = Bench::new(&recipe);
        bench.finish((0..20).map(|step| trained + 2.0 * f64::exp(-f64::from(step))));
        if let Some(outcome) = &mut bench.outcome {
            outcome.loss = Some(evaluated);
        }
        bench.ask("stale-statistics")
    }

    fn ask(norm: &str, trained: f64, evaluated: f64) -> Option<Level> {
        found(64, norm, trained, evaluated).map(|finding| finding.level)
    }

    #[test]
    fn parts_are_named_where_a_batch_can_be_taken_in_parts() {
        let first = |batch: usize, norm: &str| found(batch, norm, 0.1, 20.0).unwrap().remedies[0].clone();
        assert_eq!(first(64, "batch"), "ghost-batch-norm");
        assert_eq!(first(32, "batch"), "insert-layer-norm");
        assert_eq!(first(64, "batch-renorm"), "insert-layer-norm");
    }

    #[test]
    fn evaluation_that_is_worse_than_training() {
        for norm in ["batch", "batch-renorm"] {
            assert_eq!(ask(norm, 0.1, 0.5), Some(Level::Warn), "{norm}");
            assert_eq!(ask(norm, 0.1, 20.0), Some(Level::Deny), "{norm}");
            // The same, hardly more, and of a network that has learned little in training too.
            assert_eq!(ask(norm, 0.1, 0.1), None, "{norm}");
            assert_eq!(ask(norm, 0.02, 0.1), None, "{norm}");
            assert_eq!(ask(norm, 2.0, 20.0), None, "{norm}");
        }
        assert_eq!(ask("layer", 0.1, 20.0), None);
    }
}
