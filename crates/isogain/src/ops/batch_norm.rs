//! Batch normalisation, one pass forward and one back; statistics in f64.
//!
//! With n the normalised values, s = 1 / sqrt(variance + eps), and means over the batch (Ioffe & Szegedy 2015):
//! dL/dx = s gamma (g - mean g - n mean(g n)) for the cotangent g; the two sums are the gradients of beta and gamma.

use std::ops::Range;

use burn::tensor::Tensor;

use super::buffer::{Buffer, Loop, Real, by_type, extent, filled, narrowed, primitive, vectorised};
use super::site::Site;
use super::stock::{row, standardised};
use super::tape::{Pull, apply};
use super::threads::{for_each_share, share_of_values};

use isogain_core::renorm::Correction;

/// Mean and biased variance of each feature over a batch, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchStatistics {
    /// Values of each feature.
    pub(crate) count: usize,
    /// Per feature.
    pub(crate) mean: Vec<f64>,
    /// Per feature, divisor the batch size.
    pub(crate) variance: Vec<f64>,
}

/// Each feature of `x` `[batch, features]` normalised over each of these parts of the rows, which follow one another, times
/// gamma plus beta (`[features]` each): batch norm over one part, [`isogain_core::ghost`] over several. The statistics of each
/// part leave through the site.
pub(crate) fn batch_norm(
    x: Tensor<2>,
    eps: f64,
    parts: Vec<Range<usize>>,
    [gamma, beta]: [Tensor<1>; 2],
    site: Site,
) -> Tensor<2> {
    if site.is_stock() {
        let normal = parts.into_iter().map(|rows| {
            let (normal, statistics) = standardised(x.clone().narrow(0, rows.start, rows.len()), 0, eps);
            site.statistics_of(rows.len(), statistics);
            normal
        });
        return site.shown(Tensor::cat(normal.collect(), 0) * row(gamma) + row(beta));
    }
    let (affine, here) = ([primitive(gamma), primitive(beta)], site.clone());
    apply(x, site, move |x| by_type!(x, forward(&x, eps, &parts, affine, |_| None, here)))
}

/// The normalised values n become gamma (n r + d) + beta where `correct` has an r and a d for a part's statistics, both
/// constant on the way back; `affine` is gamma and beta.
pub(super) fn forward<T: Real>(
    x: &Buffer,
    eps: f64,
    parts: &[Range<usize>],
    affine: [Buffer; 2],
    correct: impl Fn(&BatchStatistics) -> Option<Correction>,
    site: Site,
) -> (Buffer, Pull) {
    let (batch, features) = extent(x);
    let values = T::read(x);
    let (mut normal, mut output) = (vec![T::default(); values.len()], vec![T::default(); values.len()]);
    let mut seen: Vec<Part<T>> = Vec::with_capacity(parts.len());
    for rows in parts {
        let range = rows.start * features..rows.end * features;
        let statistics = vectorised(FeatureStatistics::<T>(&values[range.clone()], features));
        let correction = correct(&statistics);
        let [gamma, beta] = corrected::<T>(&affine, correction.as_ref());
        let factor: Vec<f64> = statistics.variance.iter().map(|variance| 1.0 / (variance + eps).sqrt()).collect();
        let share = share_of_values(range.len(), features);
        let written = normal[range.clone()].chunks_mut(share).zip(output[range.clone()].chunks_mut(share));
        for_each_share(values[range].chunks(share).zip(written).collect(), |(values, (normal, output))| {
            vectorised(Normalise::<T>(values, &statistics.mean, &factor, [&gamma, &beta], [normal, output]));
        });
        site.statistics(statistics);
        seen.push(Part { rows: rows.clone(), factor, gamma, correction });
    }
    let pull = move |mut cotangent: Buffer, _| {
        let slopes = T::write(&mut cotangent);
        let mut gradients = [vec![0.0; features], vec![0.0; features]];
        for Part { rows, factor, gamma, correction } in &seen {
            let range = rows.start * features..rows.end * features;
            let (slopes, normal) = (&mut slopes[range.clone()], &normal[range]);
            let [along, sum] = vectorised(ParameterGradients::<T>(slopes, normal, features));
            let factor = factor.iter().zip(gamma).map(|(factor, gamma)| factor * gamma.wide());
            let factor: Vec<f64> = factor.collect();
            let each = 1.0 / rows.len() as f64;
            let share = share_of_values(slopes.len(), features);
            for_each_share(slopes.chunks_mut(share).zip(normal.chunks(share)).collect(), |(slopes, normal)| {
                vectorised(PullBack::<T>(slopes, normal, &factor, [&along, &sum], each));
            });
            let of_gamma: Vec<f64> = match correction {
                Some(Correction { ratio, shift }) => {
                    let parts = along.iter().zip(ratio).zip(sum.iter().zip(shift));
                    parts.map(|((along, ratio), (sum, shift))| along * ratio + sum * shift).collect()
                }
                None => along,
            };
            for (all, part) in gradients.iter_mut().zip([of_gamma, sum]) {
                all.iter_mut().zip(part).for_each(|(all, part)| *all += part);
            }
        }
        for (name, gradient) in ["gamma", "beta"].into_iter().zip(&gradients) {
            site.vector_gradient(name, narrowed::<T>(gradient));
        }
        Some(cotangent)
    };
    (filled(output, &[batch, features]), Box::new(pull))
}

/// What the way back needs of one part of a batch.
struct Part<T> {
    rows: Range<usize>,
    /// 1 / sqrt(variance + eps) of each feature.
    factor: Vec<f64>,
    /// With the correction's factor.
    gamma: Vec<T>,
    correction: Option<Correction>,
}

/// What the normalised values are multiplied with, and what is added then: gamma r, and gamma d + beta.
fn corrected<T: Real>([gamma, beta]: &[Buffer; 2], correction: Option<&Correction>) -> [Vec<T>; 2] {
    let (gamma, beta) = (T::read(gamma), T::read(beta));
    let Some(Correction { ratio, shift }) = correction else { return [gamma.to_vec(), beta.to_vec()] };
    [
        gamma.iter().zip(ratio).map(|(gamma, ratio)| T::of(gamma.wide() * ratio)).collect(),
        gamma.iter().zip(beta).zip(shift).map(|((gamma, beta), d)| T::of(gamma.wide() * d + beta.wide())).collect(),
    ]
}

struct FeatureStatistics<'a, T>(&'a [T], usize);

impl<T: Real> Loop for FeatureStatistics<'_, T> {
    type Output = BatchStatistics;

    #[inline(always)]
    fn run(self) -> BatchStatistics {
        let Self(x, features) = self;
        let (mut mean, mut variance) = (vec![0.0; features], vec![0.0; features]);
        let share = features as f64 / x.len() as f64;
        for row in x.chunks_exact(features) {
            for (sum, x) in mean.iter_mut().zip(row) {
                *sum += x.wide();
            }
        }
        mean.iter_mut().for_each(|sum| *sum *= share);
        for row in x.chunks_exact(features) {
            for ((sum, x), mean) in variance.iter_mut().zip(row).zip(&mean) {
                let distance = x.wide() - mean;
                *sum += distance * distance;
            }
        }
        variance.iter_mut().for_each(|sum| *sum *= share);
        BatchStatistics { count: x.len() / features, mean, variance }
    }
}

/// Writes normalised values, and the output: those times gamma plus beta.
struct Normalise<'a, T>(&'a [T], &'a [f64], &'a [f64], [&'a [T]; 2], [&'a mut [T]; 2]);

impl<T: Real> Loop for Normalise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(x, mean, factor, [gamma, beta], [normal, output]) = self;
        let features = mean.len();
        let rows = x.chunks_exact(features).zip(normal.chunks_exact_mut(features));
        for ((x, normal), output) in rows.zip(output.chunks_exact_mut(features)) {
            for (((normal, x), mean), factor) in normal.iter_mut().zip(x).zip(mean).zip(factor) {
                *normal = T::of((x.wide() - mean) * factor);
            }
            for (((output, &normal), &gamma), &beta) in output.iter_mut().zip(&*normal).zip(gamma).zip(beta) {
                *output = normal * gamma + beta;
            }
        }
    }
}

/// Gradients of gamma and beta, which layer normalisation has in common.
pub(super) struct ParameterGradients<'a, T>(pub(super) &'a [T], pub(super) &'a [T], pub(super) usize);

impl<T: Real> Loop for ParameterGradients<'_, T> {
    type Output = [Vec<f64>; 2];

    #[inline(always)]
    fn run(self) -> [Vec<f64>; 2] {
        let Self(slopes, normal, features) = self;
        let (mut along, mut sum) = (vec![0.0; features], vec![0.0; features]);
        for (slopes, normal) in slopes.chunks_exact(features).zip(normal.chunks_exact(features)) {
            for (((along, sum), slope), normal) in along.iter_mut().zip(&mut sum).zip(slopes).zip(normal) {
                *along += slope.wide() * normal.wide();
                *sum += slope.wide();
            }
        }
        [along, sum]
    }
}

/// The cotangent, in place; the factor includes gamma, and each row has such a part in the sums.
struct PullBack<'a, T>(&'a mut [T], &'a [T], &'a [f64], [&'a [f64]; 2], f64);

impl<T: Real> Loop for PullBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(slopes, normal, factor, [along, sum], share) = self;
        let features = factor.len();
        for (slopes, normal) in slopes.chunks_exact_mut(features).zip(normal.chunks_exact(features)) {
            let sums = along.iter().zip(sum);
            for (((slope, normal), factor), (along, sum)) in slopes.iter_mut().zip(normal).zip(factor).zip(sums) {
                *slope = T::of(factor * (slope.wide() - share * (sum + normal.wide() * along)));
            }
        }
    }
}
