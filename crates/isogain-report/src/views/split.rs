//! The chain rule at each weight: how much of |dW| is the signal from behind, how much the input, how much agreement
//! within the batch.

use std::f64::consts::LN_10;

use super::by_layer::{ByLayer, Line};
use crate::digest::Digest;

/// The chart, of the last snapshot; `None` without one.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    let snapshot = run.last_snapshot()?;
    let weights = &snapshot.flow.weights;
    if weights.iter().all(|weight| weight.log_norm.is_none()) {
        return None;
    }
    let names: Vec<String> = weights.iter().map(|weight| weight.name.clone()).collect();
    let line = |class, name: &str, tell: fn(&isogain_core::flow::WeightGradient) -> Option<f64>| Line {
        class,
        name: name.to_owned(),
        values: weights.iter().map(|weight| tell(weight).map(|nepers| nepers / LN_10)).collect(),
    };
    let lines = [
        line("c1", "signal from behind", |weight| weight.backward_signal),
        line("c2", "size of the input", |weight| weight.input_size),
        line("c3", "agreement of the samples", |weight| weight.coherence),
        line("alone", "|dW|, the sum of the three", |weight| weight.log_norm),
    ];
    let chart = ByLayer {
        id: "split",
        title: "The chain rule at each weight",
        summary: format!(
            "Powers of ten that the signal from behind, the input and the agreement of the samples give to |dW|, at step {}.",
            snapshot.step
        ),
        quantity: "powers of ten",
        is_log: false,
        layers: &names,
        lines: &lines,
        bands: &[],
    };
    Some(chart.figure())
}
