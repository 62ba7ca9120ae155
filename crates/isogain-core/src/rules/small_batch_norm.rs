//! Batch normalisation over too few samples.

use super::finding::number;
use super::{Case, Finding, Rule};
use crate::network::{NormKind, OpKind};
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
    ],
    check,
};

/// Up to this batch the gradient is zero (2 samples normalise to -1 and 1 whatever they were) or has an infinite mean
/// square (3).
const FAILS: usize = 3;
/// Below this batch the error of a trained network rises (Wu & He 2018, figure 1).
const SUFFERS: usize = 16;

fn check(case: &Case<'_>) -> Option<Finding> {
    let norms: Vec<&str> = case
        .network
        .walk()
        .into_iter()
        .filter(|op| matches!(&op.kind, OpKind::Norm(norm) if norm.norm == NormKind::Batch))
        .map(|op| op.name.as_str())
        .collect();
    let (first, last) = (norms.first()?, norms.last()?);
    let batch = case.recipe.data.batch;
    if batch >= SUFFERS {
        return None;
    }
    let (level, why) = if batch <= FAILS {
        (Level::Deny, "two samples normalise to -1 and 1 whatever they were, three have no finite mean gradient")
    } else {
        (Level::Warn, "its mean and variance are mostly noise")
    };
    let message = format!("batch norm over {batch} samples in {} places: {why}", norms.len());
    Some(
        Finding::new(RULE.name, level, [first, last], message)
            .against("samples in a batch", batch as f64, SUFFERS as f64, "Wu & He 2018, figure 1")
            .with("samples up to which no usable gradient exists", FAILS as f64)
            .with("RMS of the first cotangent over the last", ratio(case).unwrap_or(f64::NAN))
            .remedies(&["insert-layer-norm", "change-learning-rate"]),
    )
    .map(|finding| Finding { theory: Some(theory(batch)), ..finding })
}

/// The cotangent at the input against that at the head.
fn ratio(case: &Case<'_>) -> Option<f64> {
    case.start.flow.total_log_gain.map(f64::exp)
}

fn theory(batch: usize) -> String {
    match batch {
        0..=2 => "2 samples: the gradient through batch norm is exactly 0".into(),
        3 => "3 samples: the mean squared gradient through batch norm is infinite".into(),
        _ => format!("{} samples: the variance has a relative error of {}", batch, number((2.0 / (batch as f64 - 1.0)).sqrt())),
    }
}
