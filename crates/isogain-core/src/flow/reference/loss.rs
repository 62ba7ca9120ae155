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
        (Loss::CrossEntropy, Targets::Outputs(_)) => Err(ReferenceError::Targets { loss: "cross-entropy" }),
        (Loss::Other, _) => Err(ReferenceError::Targets { loss: "another loss" }),
        (kind, targets) => {
            let targets = numbers(targets, batch, outputs)?;
            expect("the targets", targets.len(), output.len())?;
            let one = if kind == Loss::BinaryCrossEntropy { binary_cross_entropy } else { squared_error };
            let count = output.len() as f64;
            let each = || output.iter().zip(&targets).map(|(&y, &t)| one(y, t));
            let loss = each().map(|(loss, _)| loss).sum::<f64>() / count;
            Ok((loss, each().map(|(_, slope)| slope / count).collect()))
        }
    }
}

/// Loss of one output, and its slope.
fn squared_error(output: f64, target: f64) -> (f64, f64) {
    ((output - target).powi(2), 2.0 * (output - target))
}

/// ln(1 + e^z) - t z without a large exponential, and sigmoid z - t.
fn binary_cross_entropy(logit: f64, target: f64) -> (f64, f64) {
    let loss = logit.max(0.0) - target * logit + (-logit.abs()).exp().ln_1p();
    (loss, 1.0 / (1.0 + (-logit).exp()) - target)
}

/// Targets as numbers `[batch, outputs]`.
fn numbers(targets: &Targets, batch: usize, outputs: usize) -> Result<Vec<f64>, ReferenceError> {
    let classes = match targets {
        Targets::Outputs(values) | Targets::Cotangent(values) => return Ok(values.clone()),
        Targets::Classes(classes) => classes,
    };
    expect("the targets", classes.len(), batch)?;
    let known = outputs.max(2);
    if let Some((sample, &class)) = classes.iter().enumerate().find(|(_, class)| **class >= known) {
        return Err(ReferenceError::Class { sample, class, outputs });
    }
    let one = |class: usize| {
        (0..outputs).map(move |at| f64::from(u8::from(if outputs == 1 { class == 1 } else { at == class })))
    };
    Ok(classes.iter().flat_map(|&class| one(class)).collect())
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
