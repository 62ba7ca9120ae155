//! The value of the loss and dL/d(output), both of the mean over the batch.

use super::{ReferenceError, Targets, expect};
use crate::network::{Loss, Network};

pub(super) fn loss(
    network: &Network,
    output: &[f64],
    targets: &Targets,
    batch: usize,
) -> Result<(f64, Vec<f64>), ReferenceError> {
    let outputs = network.outputs;
    match (network.loss, targets) {
        (_, Targets::Cotangent(cotangent)) => {
            expect("the cotangent", cotangent.len(), output.len())?;
            let loss = cotangent.iter().zip(output).map(|(c, y)| c * y).sum::<f64>() / batch as f64;
            Ok((loss, cotangent.iter().map(|c| c / batch as f64).collect()))
        }
        (Loss::CrossEntropy, Targets::Classes(classes)) => cross_entropy(output, classes, batch, outputs),
        (Loss::MeanSquaredError, Targets::Outputs(targets)) => {
            expect("the targets", targets.len(), output.len())?;
            let count = output.len() as f64;
            let loss = output.iter().zip(targets).map(|(y, t)| (y - t).powi(2)).sum::<f64>() / count;
            Ok((loss, output.iter().zip(targets).map(|(y, t)| 2.0 * (y - t) / count).collect()))
        }
        (Loss::CrossEntropy, Targets::Outputs(_)) => Err(ReferenceError::Targets { loss: "cross-entropy" }),
        (Loss::Other, _) => Err(ReferenceError::Targets { loss: "another loss" }),
        (Loss::MeanSquaredError, Targets::Classes(_)) => Err(ReferenceError::Targets { loss: "mean squared error" }),
    }
}

fn cross_entropy(
    logits: &[f64],
    classes: &[usize],
    batch: usize,
    outputs: usize,
) -> Result<(f64, Vec<f64>), ReferenceError> {
    expect("the targets", classes.len(), batch)?;
    let mut loss = 0.0;
    let mut cotangent = Vec::with_capacity(logits.len());
    for (sample, (row, &class)) in logits.chunks_exact(outputs).zip(classes).enumerate() {
        if class >= outputs {
            return Err(ReferenceError::Class { sample, class, outputs });
        }
        // Shifted by the largest logit, so that no exponential overflows.
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = row.iter().map(|z| (z - largest).exp()).sum();
        loss += (total.ln() + largest - row[class]) / batch as f64;
        for (index, z) in row.iter().enumerate() {
            let target = if index == class { 1.0 } else { 0.0 };
            cotangent.push(((z - largest).exp() / total - target) / batch as f64);
        }
    }
    Ok((loss, cotangent))
}
