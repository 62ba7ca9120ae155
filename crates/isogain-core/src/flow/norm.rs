//! Normalisation: the factor gamma / sigma, and what the statistics' own dependence on the input takes away.
//!
//! With r = gamma g / sigma, the cotangent at the input is r minus its components along the constant and along the
//! normalised values (RMS norm: along the normalised values only), so ln(rms g_in / rms g) = ln(rms r / rms g) +
//! ln(rms g_in / rms r). The second is a projection when gamma is constant: never above 0. Batch renormalisation's own factor
//! (also called r, [`crate::renorm`]) stands beside gamma.

use std::ops::Range;

use super::attribute::{log_ratio, two_parts};
use super::capture::{Capture, OpCapture, OpCaptureKind};
use super::map::{Map, map};
use super::values::{dot, rms};
use super::ways::scaled;
use super::{Cause, Part, Values};
use crate::ghost;
use crate::network::NormKind;
use crate::renorm::Averages;

/// Over what a normalisation takes its statistics.
pub(super) struct Statistics {
    pub(super) norm: NormKind,
    pub(super) eps: f64,
    /// Groups of features (group norm), or parts of the batch (batch norm; 0 as 1).
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

/// The normalisation as it was, as a linear map. A cotangent comes back as, with h = gamma g and the normalised values x', over
/// each group of values that share statistics, (h - mean h - x' mean(h x')) / sigma; RMS norm leaves the mean of h out.
pub(super) struct Normalisation {
    statistics: Statistics,
    gamma: Vec<f64>,
    /// x', as the input.
    normal: Vec<f64>,
    /// sigma of each group, and how many values it has.
    deviations: Vec<f64>,
    counts: Vec<f64>,
    rows: usize,
}

impl Normalisation {
    pub(super) fn of(statistics: Statistics, gamma: &Values, op: &OpCapture) -> Self {
        let mut normal = op.input.to_f64().into_owned();
        let deviations = statistics.deviations(&normal, gamma.len());
        let counts = statistics.counts(op.rows, gamma.len(), deviations.len());
        let gamma = gamma.to_f64().into_owned();
        let mut map = Self { statistics, gamma, normal: Vec::new(), deviations, counts, rows: op.rows };
        let means = map.means(&normal, |_, x| x);
        map.each(&mut normal, |group, _, x| *x = (*x - means[group]) / map.deviations[group]);
        map.normal = normal;
        map
    }

    /// For each value of a buffer its group, its index and itself.
    fn each(&self, values: &mut [f64], mut visit: impl FnMut(usize, usize, &mut f64)) {
        let features = self.gamma.len();
        let place = self.statistics.place(self.rows, features);
        for (row, values) in values.chunks_exact_mut(features.max(1)).enumerate() {
            for (feature, value) in values.iter_mut().enumerate() {
                visit(place(row, feature), row * features + feature, value);
            }
        }
    }

    /// Mean of something over each group; of RMS norm, which has none, zeros.
    fn means(&self, values: &[f64], of: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        if self.statistics.norm == NormKind::Rms {
            return vec![0.0; self.deviations.len()];
        }
        self.sums(values, of)
    }

    fn sums(&self, values: &[f64], of: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let (features, mut sums) = (self.gamma.len(), vec![0.0; self.deviations.len()]);
        let place = self.statistics.place(self.rows, features);
        for (row, values) in values.chunks_exact(features.max(1)).enumerate() {
            for (feature, &value) in values.iter().enumerate() {
                sums[place(row, feature)] += of(row * features + feature, value);
            }
        }
        sums.iter_mut().zip(&self.counts).for_each(|(sum, count)| *sum /= count);
        sums
    }

    /// A cotangent behind gamma.
    fn projected(&self, mut h: Vec<f64>) -> Vec<f64> {
        let mean = self.means(&h, |_, h| h);
        let along = self.sums(&h, |index, h| h * self.normal[index]);
        self.each(&mut h, |group, index, h| {
            *h = (*h - mean[group] - self.normal[index] * along[group]) / self.deviations[group];
        });
        match &self.statistics.ratio {
            Some(ratio) => scaled(&h, ratio),
            None => h,
        }
    }
}

impl Map for Normalisation {
    /// Without gamma the map is symmetric: what is taken out is a projection, and sigma is one number for each group.
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        scaled(&self.projected(u.to_vec()), &self.gamma)
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        self.projected(scaled(g, &self.gamma))
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

    /// The rows of each part of the batch; none but for batch norm.
    fn parts(&self, rows: usize) -> Vec<Range<usize>> {
        if !self.norm.is_over_batch() {
            return Vec::new();
        }
        let of_sample = rows / self.batch.max(1);
        // Samples are whole, unless rows are something else.
        let (samples, each) = if self.batch * of_sample == rows { (self.batch, of_sample) } else { (rows, 1) };
        ghost::ranges(samples, self.groups).map(|part| part.start * each..part.end * each).collect()
    }

    /// Values of each group that shares statistics, in the order of [`Self::deviations`].
    fn counts(&self, rows: usize, features: usize, groups: usize) -> Vec<f64> {
        let parts = self.parts(rows);
        if parts.is_empty() {
            return vec![(rows * features) as f64 / groups.max(1) as f64; groups];
        }
        parts.iter().flat_map(|part| std::iter::repeat_n(part.len() as f64, features)).collect()
    }

    /// Index into [`Self::deviations`] of what a row's feature is divided by.
    fn place(&self, rows: usize, features: usize) -> impl Fn(usize, usize) -> usize {
        let (norm, groups) = (self.norm, self.groups);
        let rows_of_sample = (rows / self.batch.max(1)).max(1);
        let parts = self.parts(rows);
        move |row, feature| match norm {
            NormKind::Batch | NormKind::BatchRenorm => {
                parts.partition_point(|part| part.end <= row) * features + feature
            }
            NormKind::Layer | NormKind::Rms => row,
            NormKind::Group => row / rows_of_sample * groups + feature * groups / features,
        }
    }

    /// sqrt(variance + eps): one for each feature of each part of the batch (batch norm), each row (layer and RMS norm), or
    /// each sample's groups.
    fn deviations(&self, input: &[f64], features: usize) -> Vec<f64> {
        let (norm, eps) = (self.norm, self.eps);
        match norm {
            NormKind::Batch | NormKind::BatchRenorm => {
                let rows = |part: Range<usize>| &input[part.start * features..part.end * features];
                let parts = self.parts(input.len() / features).into_iter().map(rows);
                let variances = parts.flat_map(|part| Averages::of_batch(part, features).variance.into_owned());
                variances.map(|variance| (variance + eps).sqrt()).collect()
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
