//! Batch, layer, RMS and group normalisation and batch renormalisation, forward and backward.
//!
//! All of them normalise groups of values: a feature over the batch, or a sample over (a part of) its features. Within a group of m
//! values, x' = (x - mean) / sigma and dL/dx = (h - mean h - x' mean(h x')) / sigma with h = gamma dL/dy; RMS norm leaves
//! the two means of x and h out. Batch renormalisation goes on with x'' = x' r + d, and multiplies what comes back by r.

use std::ops::Range;

use super::{Parameters, ReferenceError, expect, parameter};
use crate::flow::Values;
use crate::flow::capture::OpCaptureKind;
use crate::ghost;
use crate::network::{Norm, NormKind, Op};
use crate::renorm::{Averages, Bounds, Correction};

pub(super) fn forward(
    op: &Op,
    norm: &Norm,
    parameters: &Parameters,
    input: &[f64],
    batch: usize,
) -> Result<Vec<f64>, ReferenceError> {
    expect(&format!("the input of {}", op.name), input.len(), batch * norm.features)?;
    let gamma = parameter(parameters, &op.name, "gamma", norm.features)?;
    let correction = correction(op, norm, parameters, input)?;
    let corrected = |feature: usize, x: f64| match &correction {
        Some(Correction { ratio, shift }) => x * ratio[feature] + shift[feature],
        None => x,
    };
    let mut output = vec![0.0; input.len()];
    for group in groups(norm, batch) {
        for (&index, normalised) in group.iter().zip(normalise(norm, input, &group).0) {
            let feature = index % norm.features;
            output[index] = corrected(feature, normalised) * gamma[feature];
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
    let correction = correction(op, norm, parameters, input)?;
    for group in groups(norm, batch) {
        let (normalised, sigma) = normalise(norm, input, &group);
        let count = group.len() as f64;
        let (mut mean, mut along) = (0.0, 0.0);
        for (&index, x) in group.iter().zip(&normalised) {
            let (feature, g) = (index % features, cotangent[index]);
            let (ratio, shift) = correction.as_ref().map_or((1.0, 0.0), |all| (all.ratio[feature], all.shift[feature]));
            gamma_gradient[feature] += g * (x * ratio + shift);
            beta_gradient[feature] += g;
            mean += gamma[feature] * g / count;
            along += gamma[feature] * g * x / count;
        }
        if norm.norm == NormKind::Rms {
            mean = 0.0;
        }
        for (&index, x) in group.iter().zip(&normalised) {
            let ratio = correction.as_ref().map_or(1.0, |all| all.ratio[index % features]);
            back[index] = ratio * (gamma[index % features] * cotangent[index] - mean - x * along) / sigma;
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
        groups: norm.groups_of(batch),
        samples: batch,
        ratio: correction.map(|correction| Values::from(correction.ratio)),
    };
    Ok((kind, back))
}

/// r and d of batch renormalisation. The running averages stand beside the parameters, and are those of a norm that has
/// seen no batch where they are not there.
fn correction(
    op: &Op,
    norm: &Norm,
    parameters: &Parameters,
    input: &[f64],
) -> Result<Option<Correction>, ReferenceError> {
    if norm.norm != NormKind::BatchRenorm {
        return Ok(None);
    }
    let running = |name: &str, length: usize, start: f64| match parameters.contains_key(&format!("{}.{name}", op.name))
    {
        true => parameter(parameters, &op.name, name, length).map(<[f64]>::to_vec),
        false => Ok(vec![start; length]),
    };
    let (mean, variance) =
        (running("running_mean", norm.features, 0.0)?, running("running_variance", norm.features, 1.0)?);
    let batches = running("running_batches", 1, 0.0)?[0] as usize;
    let bounds = Bounds::after(batches, norm.ramp);
    let batch = Averages::of_batch(input, norm.features);
    Ok(Some(Correction::new(&batch, &Averages::of(&mean, &variance), norm.eps, bounds)))
}

/// The indices of the values that share statistics.
fn groups(norm: &Norm, batch: usize) -> Vec<Vec<usize>> {
    let features = norm.features;
    match norm.norm {
        NormKind::Batch | NormKind::BatchRenorm => {
            let group = move |part: Range<usize>, feature: usize| part.map(|row| row * features + feature).collect();
            let parts = ghost::ranges(batch, norm.parts(batch));
            parts.flat_map(|part| (0..features).map(move |feature| group(part.clone(), feature))).collect()
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
        NormKind::Batch | NormKind::BatchRenorm | NormKind::Layer | NormKind::Group => {
            group.iter().map(|&index| input[index]).sum::<f64>() / count
        }
    };
    let variance = group.iter().map(|&index| (input[index] - mean).powi(2)).sum::<f64>() / count;
    let sigma = (variance + norm.eps).sqrt();
    (group.iter().map(|&index| (input[index] - mean) / sigma).collect(), sigma)
}
