//! Normalisation: the factor gamma / sigma, and what the statistics' own dependence on the input takes away.
//!
//! With r = gamma g / sigma, the cotangent at the input is r minus its components along the constant and along the
//! normalised values (RMS norm: along the normalised values only), so ln(rms g_in / rms g) = ln(rms r / rms g) +
//! ln(rms g_in / rms r). The second is a projection when gamma is constant: never above 0. Batch renormalisation's own factor
//! (also called r, [`crate::renorm`]) stands beside gamma.

use super::attribute::{log_ratio, two_parts};
use super::capture::{Capture, OpCapture, OpCaptureKind};
use super::map::{Map, map};
use super::values::{dot, rms};
use super::ways::scaled;
use super::{Cause, Part, Values};
use crate::network::NormKind;
use crate::renorm::Averages;

/// Over what a normalisation takes its statistics.
pub(super) struct Statistics {
    pub(super) norm: NormKind,
    pub(super) eps: f64,
    /// Groups of features; 0 unless group norm.
    pub(super) groups: usize,
    /// Samples in the batch.
    pub(super) batch: usize,
    /// What each feature is multiplied with beside gamma; nothing unless batch renormalisation.
    pub(super) ratio: Option<Vec<f64>>,
}

/// Rescaling and projection.
pub(super) fn split(statistics: &Statistics, gamma: &Values, op: &OpCapture, rms_out: f64, gain: f64) -> Vec<Part> {
    let features = gamma.len();
    let gamma = gamma.to_f64();
    let input = op.input.to_f64();
    let deviations = statistics.deviations(&input, features);
    let place = statistics.place(op.rows, features);
    let rescaled: Vec<f64> = op
        .cotangent_out
        .to_f64()
        .iter()
        .enumerate()
        .map(|(index, g)| {
            let (row, feature) = (index / features, index % features);
            g * gamma[feature] * statistics.ratio(feature) / deviations[place(row, feature)]
        })
        .collect();
    let rescale = log_ratio(rms(&rescaled), rms_out).unwrap_or(f64::NAN);
    two_parts(Cause::Rescale, rescale, Cause::Projection, gain)
}

/// Any cotangent sent back through the normalisation as it was: with h = gamma g and the normalised values x', over each
/// group of values that share statistics, (h - mean h - x' mean(h x')) / sigma; RMS norm leaves the mean of h out.
fn back(statistics: &Statistics, gamma: &Values, op: &OpCapture, cotangent: &[f64]) -> Vec<f64> {
    let features = gamma.len();
    let (gamma, input) = (gamma.to_f64(), op.input.to_f64());
    let deviations = statistics.deviations(&input, features);
    let place = statistics.place(op.rows, features);
    let centres = statistics.norm != NormKind::Rms;
    let groups = deviations.len();
    let mut count = vec![0.0; groups];
    let [mut mean_x, mut mean_h, mut along] = [0; 3].map(|_| vec![0.0; groups]);
    for (index, (x, g)) in input.iter().zip(cotangent).enumerate() {
        let group = place(index / features, index % features);
        count[group] += 1.0;
        mean_x[group] += x;
        mean_h[group] += gamma[index % features] * g;
    }
    for group in 0..groups {
        mean_x[group] = if centres { mean_x[group] / count[group] } else { 0.0 };
        mean_h[group] = if centres { mean_h[group] / count[group] } else { 0.0 };
    }
    let normalised = |index: usize, group: usize| (input[index] - mean_x[group]) / deviations[group];
    for (index, g) in cotangent.iter().enumerate() {
        let group = place(index / features, index % features);
        along[group] += gamma[index % features] * g * normalised(index, group) / count[group];
    }
    let one = |(index, g): (usize, &f64)| {
        let group = place(index / features, index % features);
        let h = gamma[index % features] * g;
        let kept = (h - mean_h[group] - normalised(index, group) * along[group]) / deviations[group];
        kept * statistics.ratio(index % features)
    };
    cotangent.iter().enumerate().map(one).collect()
}

/// The map whose transpose [`back`] is.
pub(super) struct Normalisation<'a> {
    pub(super) statistics: Statistics,
    pub(super) gamma: &'a Values,
    pub(super) op: &'a OpCapture,
}

impl Map for Normalisation<'_> {
    /// Without gamma the map is symmetric: what is taken out is a projection, and sigma is one number for each group.
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        let ones = Values::from(vec![1.0; self.gamma.len()]);
        scaled(&back(&self.statistics, &ones, self.op, u), &self.gamma.to_f64())
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        back(&self.statistics, self.gamma, self.op, g)
    }
}

impl Capture {
    /// <x, dL/dx> in front of a norm as its statistics give it: what its eps leaves of the scale, and 0 without eps. `None`
    /// for what is no norm.
    pub fn radial(&self, norm: &str) -> Option<f64> {
        let op = self.walk().into_iter().find(|op| op.name == norm)?;
        matches!(op.kind, OpCaptureKind::Norm { .. }).then_some(())?;
        let came = map(op)?.back(&op.cotangent_out.to_f64());
        Some(dot(&op.input.to_f64(), &came))
    }
}

impl Statistics {
    pub(super) fn new(norm: NormKind, eps: f64, groups: usize, batch: usize, ratio: Option<&Values>) -> Self {
        Self { norm, eps, groups, batch, ratio: ratio.map(|ratio| ratio.to_f64().into_owned()) }
    }

    fn ratio(&self, feature: usize) -> f64 {
        self.ratio.as_ref().map_or(1.0, |ratio| ratio[feature])
    }

    /// Index into [`Self::deviations`] of what a row's feature is divided by.
    fn place(&self, rows: usize, features: usize) -> impl Fn(usize, usize) -> usize {
        let (norm, groups) = (self.norm, self.groups);
        let rows_of_sample = (rows / self.batch.max(1)).max(1);
        move |row, feature| match norm {
            NormKind::Batch | NormKind::BatchRenorm => feature,
            NormKind::Layer | NormKind::Rms => row,
            NormKind::Group => row / rows_of_sample * groups + feature * groups / features,
        }
    }

    /// sqrt(variance + eps): one for each feature (batch norm), each row (layer and RMS norm), or each sample's groups.
    fn deviations(&self, input: &[f64], features: usize) -> Vec<f64> {
        let (norm, eps) = (self.norm, self.eps);
        match norm {
            NormKind::Batch | NormKind::BatchRenorm => {
                let averages = Averages::of_batch(input, features);
                averages.variance.iter().map(|variance| (variance + eps).sqrt()).collect()
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
            NormKind::Group => {
                let width = features / self.groups;
                let groups = input.chunks_exact(input.len() / self.batch).flat_map(|sample| {
                    (0..self.groups).map(move |group| {
                        let values =
                            || sample.chunks_exact(features).flat_map(move |row| &row[group * width..][..width]);
                        let count = (sample.len() / self.groups) as f64;
                        let mean = values().sum::<f64>() / count;
                        (values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count + eps).sqrt()
                    })
                });
                groups.collect()
            }
        }
    }
}
