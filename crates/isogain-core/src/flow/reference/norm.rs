//! Batch, layer, RMS and group normalisation, forward and backward.
//!
//! All of them normalise groups of values: a feature over the batch, or a sample over (a part of) its features. Within a group of m
//! values, x' = (x - mean) / sigma and dL/dx = (h - mean h - x' mean(h x')) / sigma with h = gamma dL/dy; RMS norm leaves
//! the two means of x and h out.

use super::{Parameters, ReferenceError, expect, parameter};
use crate::flow::Values;
use crate::flow::capture::OpCaptureKind;
use crate::network::{Norm, NormKind, Op};

pub(super) fn forward(
    op: &Op,
    norm: &Norm,
    parameters: &Parameters,
    input: &[f64],
    batch: usize,
) -> Result<Vec<f64>, ReferenceError> {
    expect(&format!("the input of {}", op.name), input.len(), batch * norm.features)?;
    let gamma = parameter(parameters, &op.name, "gamma", norm.features)?;
    let mut output = vec![0.0; input.len()];
    for group in groups(norm, batch) {
        for (&index, normalised) in group.iter().zip(normalise(norm, input, &group).0) {
            output[index] = normalised * gamma[index % norm.features];
        }
    }
    if norm.norm != NormKind::Rms {
        let beta = parameter(parameters, &op.name, "beta", norm.features)?;
        for (index, y) in output.iter_mut().enumerate() {
            *y += beta[index % norm.features];
        }
    }
    Ok(output)
}

pub(super) fn backward(
    op: &Op,
    norm: &Norm,
    parameters: &Parameters,
    input: &[f64],
    cotangent: &[f64],
    batch: usize,
    gradients: &mut Parameters,
) -> Result<(OpCaptureKind, Vec<f64>), ReferenceError> {
    let features = norm.features;
    let gamma = parameter(parameters, &op.name, "gamma", features)?;
    let mut gamma_gradient = vec![0.0; features];
    let mut beta_gradient = vec![0.0; features];
    let mut back = vec![0.0; input.len()];
    for group in groups(norm, batch) {
        let (normalised, sigma) = normalise(norm, input, &group);
        let count = group.len() as f64;
        let (mut mean, mut along) = (0.0, 0.0);
        for (&index, x) in group.iter().zip(&normalised) {
            let (feature, g) = (index % features, cotangent[index]);
            gamma_gradient[feature] += g * x;
            beta_gradient[feature] += g;
            mean += gamma[feature] * g / count;
            along += gamma[feature] * g * x / count;
        }
        if norm.norm == NormKind::Rms {
            mean = 0.0;
        }
        for (&index, x) in group.iter().zip(&normalised) {
            back[index] = (gamma[index % features] * cotangent[index] - mean - x * along) / sigma;
        }
    }
    gradients.insert(format!("{}.gamma", op.name), gamma_gradient);
    if norm.norm != NormKind::Rms {
        gradients.insert(format!("{}.beta", op.name), beta_gradient);
    }
    let kind = OpCaptureKind::Norm {
        norm: norm.norm,
        gamma: Values::from(gamma.to_vec()),
        eps: norm.eps,
        groups: norm.groups,
        samples: batch,
    };
    Ok((kind, back))
}

/// The indices of the values that share statistics.
fn groups(norm: &Norm, batch: usize) -> Vec<Vec<usize>> {
    let features = norm.features;
    match norm.norm {
        NormKind::Batch => {
            (0..features).map(|feature| (0..batch).map(|row| row * features + feature).collect()).collect()
        }
        NormKind::Layer | NormKind::Rms => {
            (0..batch).map(|row| (row * features..(row + 1) * features).collect()).collect()
        }
        NormKind::Group => {
            let width = features / norm.groups;
            (0..batch * norm.groups).map(|group| (group * width..(group + 1) * width).collect()).collect()
        }
    }
}

/// The normalised values of a group, and sigma = sqrt(variance + eps).
fn normalise(norm: &Norm, input: &[f64], group: &[usize]) -> (Vec<f64>, f64) {
    let count = group.len() as f64;
    let mean = match norm.norm {
        NormKind::Rms => 0.0,
        NormKind::Batch | NormKind::Layer | NormKind::Group => {
            group.iter().map(|&index| input[index]).sum::<f64>() / count
        }
    };
    let variance = group.iter().map(|&index| (input[index] - mean).powi(2)).sum::<f64>() / count;
    let sigma = (variance + norm.eps).sqrt();
    (group.iter().map(|&index| (input[index] - mean) / sigma).collect(), sigma)
}
