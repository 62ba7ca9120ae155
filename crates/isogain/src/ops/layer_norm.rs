//! Layer and RMS normalisation, one pass forward and one back; statistics in f64.
//!
//! With n the normalised values, s = 1 / sqrt(variance + eps), a = cotangent gamma, and means over a sample's features
//! (Ba et al. 2016; without the first mean Zhang & Sennrich 2019): dL/dx = s (a - mean a - n mean(a n)).

use burn::tensor::Tensor;

use super::batch_norm::ParameterGradients;
use super::buffer::{Buffer, Loop, Real, by_type, extent, filled, narrowed, primitive, sum_of, vectorised};
use super::site::Site;
use super::stock::{over_rms, row, standardised};
use super::tape::{Pull, apply};
use super::threads::{for_each_share, share_of_values};

/// Each sample of `x` `[batch, features]` normalised over its features, times gamma plus beta (`[features]` each).
pub(crate) fn layer_norm(x: Tensor<2>, eps: f64, gamma: Tensor<1>, beta: Tensor<1>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(standardised(x, 1, eps).0 * row(gamma) + row(beta));
    }
    let (gamma, beta) = (primitive(gamma), Some(primitive(beta)));
    let here = site.clone();
    apply(x, site, move |x| by_type!(x, forward(&x, eps, gamma, beta.as_ref(), here)))
}

/// Each sample of `x` `[batch, features]` divided by its root mean square, times gamma `[features]`.
pub(crate) fn rms_norm(x: Tensor<2>, eps: f64, gamma: Tensor<1>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(over_rms(x, 1, eps) * row(gamma));
    }
    let gamma = primitive(gamma);
    let here = site.clone();
    apply(x, site, move |x| by_type!(x, forward(&x, eps, gamma, None, here)))
}

/// With a beta the mean is taken out, without it is not.
fn forward<T: Real>(x: &Buffer, eps: f64, gamma: Buffer, beta: Option<&Buffer>, site: Site) -> (Buffer, Pull) {
    let (batch, features) = extent(x);
    let is_centred = beta.is_some();
    let share = share_of_values(batch * features, features);
    let (mut normal, mut output) = (vec![T::default(); batch * features], vec![T::default(); batch * features]);
    let mut factors = vec![0.0; batch];
    let affine = (T::read(&gamma), beta.map(T::read));
    let written = normal.chunks_mut(share).zip(output.chunks_mut(share)).zip(factors.chunks_mut(share / features));
    for_each_share(T::read(x).chunks(share).zip(written).collect(), |(x, ((normal, output), factors))| {
        vectorised(Normalise::<T>(x, normal, factors, is_centred, eps));
        vectorised(Affine::<T>(normal, output, affine));
    });
    let pull = move |mut cotangent: Buffer, _| {
        let slopes = T::write(&mut cotangent);
        let [along, sum] = vectorised(ParameterGradients::<T>(slopes, &normal, features));
        let of_normal = normal.chunks(share).zip(factors.chunks(share / features));
        for_each_share(slopes.chunks_mut(share).zip(of_normal).collect(), |(slopes, (normal, factors))| {
            vectorised(PullBack::<T>(slopes, normal, T::read(&gamma), is_centred, factors));
        });
        site.vector_gradient("gamma", narrowed::<T>(&along));
        if is_centred {
            site.vector_gradient("beta", narrowed::<T>(&sum));
        }
        Some(cotangent)
    };
    (filled(output, &[batch, features]), Box::new(pull))
}

/// Normalised values, and the factor of each sample.
struct Normalise<'a, T>(&'a [T], &'a mut [T], &'a mut [f64], bool, f64);

impl<T: Real> Loop for Normalise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(x, normal, factors, is_centred, eps) = self;
        let features = x.len() / factors.len();
        let share = 1.0 / features as f64;
        let rows = x.chunks_exact(features).zip(normal.chunks_exact_mut(features));
        for ((x, normal), factor) in rows.zip(factors) {
            let mean = if is_centred { share * sum_of(x, x, |x, _| x.wide()) } else { 0.0 };
            let square = sum_of(x, x, |x, _| (x.wide() - mean) * (x.wide() - mean));
            *factor = 1.0 / (share * square + eps).sqrt();
            for (normal, x) in normal.iter_mut().zip(x) {
                *normal = T::of((x.wide() - mean) * *factor);
            }
        }
    }
}

/// normal gamma + beta.
struct Affine<'a, T>(&'a [T], &'a mut [T], (&'a [T], Option<&'a [T]>));

impl<T: Real> Loop for Affine<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(normal, output, (gamma, beta)) = self;
        for (output, normal) in output.chunks_exact_mut(gamma.len()).zip(normal.chunks_exact(gamma.len())) {
            for ((output, &normal), &gamma) in output.iter_mut().zip(normal).zip(gamma) {
                *output = normal * gamma;
            }
            for (output, &beta) in output.iter_mut().zip(beta.unwrap_or_default()) {
                *output += beta;
            }
        }
    }
}

/// The cotangent, in place.
struct PullBack<'a, T>(&'a mut [T], &'a [T], &'a [T], bool, &'a [f64]);

impl<T: Real> Loop for PullBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(slopes, normal, gamma, is_centred, factors) = self;
        let features = gamma.len();
        let share = 1.0 / features as f64;
        for ((slopes, normal), factor) in
            slopes.chunks_exact_mut(features).zip(normal.chunks_exact(features)).zip(factors)
        {
            for (slope, &gamma) in slopes.iter_mut().zip(gamma) {
                *slope = *slope * gamma;
            }
            let mean = if is_centred { share * sum_of(slopes, normal, |slope, _| slope.wide()) } else { 0.0 };
            let along = share * sum_of(slopes, normal, |slope, normal| slope.wide() * normal.wide());
            for (slope, normal) in slopes.iter_mut().zip(normal) {
                *slope = T::of(factor * (slope.wide() - mean - normal.wide() * along));
            }
        }
    }
}
