//! Batch, layer and RMS normalisation, each in one pass forward and one back; statistics in f64.
//!
//! With n the normalised values, s the factor 1 / sqrt(variance + eps) and a = cotangent * gamma, each mean taken over
//! the values that share a statistic (Ioffe & Szegedy 2015; Ba et al. 2016; Zhang & Sennrich 2019 without the first):
//! dL/dx = s (a - mean a - n mean(a n)).

use burn::tensor::Tensor;

use super::buffer::{Buffer, Real, by_type, extent, filled, primitive, vectorised};
use super::site::Site;
use super::tape::{Pull, apply};

/// Mean and biased variance of each feature over a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchStatistics {
    /// Per feature.
    pub(crate) mean: Vec<f64>,
    /// Per feature, divisor the batch size.
    pub(crate) variance: Vec<f64>,
}

/// Each feature of `x` `[batch, features]` normalised over the batch, times gamma plus beta (`[features]` each). The
/// statistics leave through the site.
pub(crate) fn batch_norm(x: Tensor<2>, eps: f64, gamma: Tensor<1>, beta: Tensor<1>, site: Site) -> Tensor<2> {
    let (gamma, beta) = (primitive(gamma), primitive(beta));
    let here = site.clone();
    apply(x, site, move |x| by_type!(x, over_batch(&x, eps, gamma, &beta, here)))
}

/// Each sample of `x` `[batch, features]` normalised over its features, times gamma plus beta (`[features]` each).
pub(crate) fn layer_norm(x: Tensor<2>, eps: f64, gamma: Tensor<1>, beta: Tensor<1>, site: Site) -> Tensor<2> {
    let (gamma, beta) = (primitive(gamma), Some(primitive(beta)));
    let here = site.clone();
    apply(x, site, move |x| by_type!(x, over_features(&x, eps, gamma, beta.as_ref(), here)))
}

/// Each sample of `x` `[batch, features]` divided by its root mean square, times gamma `[features]`.
pub(crate) fn rms_norm(x: Tensor<2>, eps: f64, gamma: Tensor<1>, site: Site) -> Tensor<2> {
    let gamma = primitive(gamma);
    let here = site.clone();
    apply(x, site, move |x| by_type!(x, over_features(&x, eps, gamma, None, here)))
}

fn over_batch<T: Real>(x: &Buffer, eps: f64, gamma: Buffer, beta: &Buffer, site: Site) -> (Buffer, Pull) {
    let (batch, features) = extent(x);
    let share = 1.0 / batch as f64;
    let mut normal = vec![T::default(); batch * features];
    let mut output = vec![T::default(); batch * features];
    let (mut mean, mut variance) = (vec![0.0; features], vec![0.0; features]);
    let mut factor = vec![0.0; features];
    vectorised(|| {
        for row in T::read(x).chunks_exact(features) {
            for (sum, x) in mean.iter_mut().zip(row) {
                *sum += x.wide();
            }
        }
        mean.iter_mut().for_each(|sum| *sum *= share);
        for row in T::read(x).chunks_exact(features) {
            for ((sum, x), mean) in variance.iter_mut().zip(row).zip(&mean) {
                let distance = x.wide() - mean;
                *sum += distance * distance;
            }
        }
        for (factor, sum) in factor.iter_mut().zip(&mut variance) {
            *sum *= share;
            *factor = 1.0 / (*sum + eps).sqrt();
        }
        let (gamma, beta) = (T::read(&gamma), T::read(beta));
        let rows = T::read(x).chunks_exact(features);
        for ((row, normal), output) in
            rows.zip(normal.chunks_exact_mut(features)).zip(output.chunks_exact_mut(features))
        {
            for feature in 0..features {
                normal[feature] = T::of((row[feature].wide() - mean[feature]) * factor[feature]);
                output[feature] = normal[feature] * gamma[feature] + beta[feature];
            }
        }
    });
    site.statistics(BatchStatistics { mean, variance });
    let pull = move |mut cotangent: Buffer, _| {
        let (mut gamma_gradient, mut beta_gradient) = (vec![0.0; features], vec![0.0; features]);
        let slopes = T::write(&mut cotangent);
        vectorised(|| {
            for (slopes, normal) in slopes.chunks_exact(features).zip(normal.chunks_exact(features)) {
                for feature in 0..features {
                    gamma_gradient[feature] += slopes[feature].wide() * normal[feature].wide();
                    beta_gradient[feature] += slopes[feature].wide();
                }
            }
            let gamma = T::read(&gamma);
            for (slopes, normal) in slopes.chunks_exact_mut(features).zip(normal.chunks_exact(features)) {
                for feature in 0..features {
                    let rest = slopes[feature].wide()
                        - share * (beta_gradient[feature] + normal[feature].wide() * gamma_gradient[feature]);
                    slopes[feature] = T::of(factor[feature] * gamma[feature].wide() * rest);
                }
            }
        });
        site.vector_gradient("gamma", narrowed::<T>(&gamma_gradient));
        site.vector_gradient("beta", narrowed::<T>(&beta_gradient));
        Some(cotangent)
    };
    (filled(output, &[batch, features]), Box::new(pull))
}

/// Layer normalisation with a beta, RMS normalisation without: only the former takes the mean out.
fn over_features<T: Real>(x: &Buffer, eps: f64, gamma: Buffer, beta: Option<&Buffer>, site: Site) -> (Buffer, Pull) {
    let (batch, features) = extent(x);
    let share = 1.0 / features as f64;
    let centred = beta.is_some();
    let mut normal = vec![T::default(); batch * features];
    let mut output = vec![T::default(); batch * features];
    let mut factors = vec![0.0; batch];
    vectorised(|| {
        let zeros = vec![T::default(); features];
        let (gamma, beta) = (T::read(&gamma), beta.map_or(zeros.as_slice(), T::read));
        let rows = T::read(x).chunks_exact(features).zip(&mut factors);
        for (((row, factor), normal), output) in
            rows.zip(normal.chunks_exact_mut(features)).zip(output.chunks_exact_mut(features))
        {
            let mean = if centred { share * sum_over(features, |k| row[k].wide()) } else { 0.0 };
            let square = |k: usize| {
                let distance = row[k].wide() - mean;
                distance * distance
            };
            *factor = 1.0 / (share * sum_over(features, square) + eps).sqrt();
            for k in 0..features {
                normal[k] = T::of((row[k].wide() - mean) * *factor);
                output[k] = normal[k] * gamma[k] + beta[k];
            }
        }
    });
    let pull = move |mut cotangent: Buffer, _| {
        let (mut gamma_gradient, mut beta_gradient) = (vec![0.0; features], vec![0.0; features]);
        let slopes = T::write(&mut cotangent);
        vectorised(|| {
            let gamma = T::read(&gamma);
            let rows = slopes.chunks_exact_mut(features).zip(normal.chunks_exact(features));
            for ((slopes, normal), factor) in rows.zip(&factors) {
                for k in 0..features {
                    gamma_gradient[k] += slopes[k].wide() * normal[k].wide();
                    beta_gradient[k] += slopes[k].wide();
                }
                let a = |k: usize| slopes[k].wide() * gamma[k].wide();
                let mean = if centred { share * sum_over(features, a) } else { 0.0 };
                let along = share * sum_over(features, |k| a(k) * normal[k].wide());
                for k in 0..features {
                    let a = slopes[k].wide() * gamma[k].wide();
                    slopes[k] = T::of(factor * (a - mean - normal[k].wide() * along));
                }
            }
        });
        site.vector_gradient("gamma", narrowed::<T>(&gamma_gradient));
        if centred {
            site.vector_gradient("beta", narrowed::<T>(&beta_gradient));
        }
        Some(cotangent)
    };
    (filled(output, &[batch, features]), Box::new(pull))
}

fn narrowed<T: Real>(sums: &[f64]) -> Buffer {
    filled(sums.iter().map(|&sum| T::of(sum)).collect::<Vec<T>>(), &[sums.len()])
}

/// Partial sums kept apart, so that the additions need not wait for each other.
const LANES: usize = 16;

/// term(0) + ... + term(count - 1), in [`LANES`] interleaved parts.
#[inline(always)]
fn sum_over(count: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let whole = count / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    sums.iter().sum::<f64>() + (whole..count).map(term).sum::<f64>()
}
