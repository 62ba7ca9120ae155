//! Normalisation: the factor gamma / sigma, and what the statistics' own dependence on the input takes away.
//!
//! With r = gamma g / sigma, the cotangent at the input is r minus its components along the constant and along the
//! normalised values (RMS norm: along the normalised values only), so ln(rms g_in / rms g) = ln(rms r / rms g) +
//! ln(rms g_in / rms r). The second is a projection when gamma is constant: never above 0.

use super::attribute::{log_ratio, two_parts};
use super::capture::OpCapture;
use super::values::rms;
use super::{Cause, Part, Values};
use crate::network::NormKind;

/// Rescaling and projection.
pub(super) fn split(norm: NormKind, gamma: &Values, eps: f64, op: &OpCapture, rms_out: f64, gain: f64) -> Vec<Part> {
    let features = gamma.len();
    let gamma = gamma.to_f64();
    let input = op.input.to_f64();
    let deviations = deviations(norm, &input, features, eps);
    let rescaled: Vec<f64> = op
        .cotangent_out
        .to_f64()
        .iter()
        .enumerate()
        .map(|(index, g)| {
            let feature = index % features;
            let sigma = deviations[if norm == NormKind::Batch { feature } else { index / features }];
            g * gamma[feature] / sigma
        })
        .collect();
    let rescale = log_ratio(rms(&rescaled), rms_out).unwrap_or(f64::NAN);
    two_parts(Cause::Rescale, rescale, Cause::Projection, gain)
}

/// sqrt(variance + eps): one for each feature (batch norm) or each sample (layer and RMS norm).
fn deviations(norm: NormKind, input: &[f64], features: usize, eps: f64) -> Vec<f64> {
    match norm {
        NormKind::Batch => {
            let batch = (input.len() / features) as f64;
            let mut means = vec![0.0; features];
            for row in input.chunks_exact(features) {
                for (mean, x) in means.iter_mut().zip(row) {
                    *mean += x / batch;
                }
            }
            let mut variances = vec![0.0; features];
            for row in input.chunks_exact(features) {
                for ((variance, x), mean) in variances.iter_mut().zip(row).zip(&means) {
                    *variance += (x - mean) * (x - mean) / batch;
                }
            }
            variances.into_iter().map(|variance| (variance + eps).sqrt()).collect()
        }
        NormKind::Layer | NormKind::Rms => input
            .chunks_exact(features)
            .map(|row| {
                let count = features as f64;
                let mean = if norm == NormKind::Layer { row.iter().sum::<f64>() / count } else { 0.0 };
                let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
                (variance + eps).sqrt()
            })
            .collect(),
    }
}
