//! RMS norm of queries and keys, head by head, in front of their product (Dehghani et al. 2023); statistics in f64.
//!
//! With n = x / rms for one head's query or key, a = cotangent gamma and a mean over the features of a head:
//! dL/dx = (a - n mean(a n)) / rms; dL/dgamma sums cotangent n over rows and heads. Values pass.

use burn::tensor::Tensor;

use isogain_core::network::QkNorm;

use super::buffer::{Buffer, Real, by_type, narrowed, primitive};
use super::site::Site;
use super::stock::over_rms;
use super::tape::{Pull, apply};

/// Rows `[queries, keys, values]` of `3 x features` numbers each; gammas of queries and keys `[features of a head]`.
pub(crate) fn qk_norm(x: Tensor<2>, norm: &QkNorm, gammas: [Tensor<1>; 2], site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock(x, norm, gammas));
    }
    let (norm, gammas, here) = (norm.clone(), gammas.map(primitive), site.clone());
    apply(x, site, move |x| by_type!(x, forward(x, &norm, gammas, here)))
}

fn stock(x: Tensor<2>, norm: &QkNorm, gammas: [Tensor<1>; 2]) -> Tensor<2> {
    let [rows, columns] = x.dims();
    let parts = x.reshape([rows, 3, norm.heads, norm.head_width()]);
    let part = |index: usize| parts.clone().narrow(1, index, 1);
    let [queries, keys] = gammas.map(|gamma| gamma.unsqueeze::<4>());
    let normal = |index: usize, gamma: Tensor<4>| over_rms(part(index), 3, norm.eps) * gamma;
    Tensor::cat(vec![normal(0, queries), normal(1, keys), part(2)], 1).reshape([rows, columns])
}

fn forward<T: Real>(mut x: Buffer, norm: &QkNorm, gammas: [Buffer; 2], site: Site) -> (Buffer, Pull) {
    let (heads, width) = (norm.heads, norm.head_width());
    let mut factors = Vec::new();
    let mut normal: Vec<T> = Vec::new();
    for (index, x) in T::write(&mut x).chunks_exact_mut(width).enumerate() {
        let Some(gamma) = gammas.get(index / heads % 3) else { continue };
        let square = x.iter().map(|x| x.wide() * x.wide()).sum::<f64>() / width as f64;
        let factor = 1.0 / (square + norm.eps).sqrt();
        for (x, &gamma) in x.iter_mut().zip(T::read(gamma)) {
            let value = T::of(x.wide() * factor);
            normal.push(value);
            *x = value * gamma;
        }
        factors.push(factor);
    }
    let pull = move |mut cotangent: Buffer, _| {
        let mut sums = [vec![0.0; width], vec![0.0; width]];
        let mut divided = factors.iter().zip(normal.chunks_exact(width));
        for (index, slopes) in T::write(&mut cotangent).chunks_exact_mut(width).enumerate() {
            let part = index / heads % 3;
            let Some(gamma) = gammas.get(part) else { continue };
            let Some((factor, normal)) = divided.next() else { break };
            let mut along = 0.0;
            for (((slope, sum), normal), &gamma) in
                slopes.iter_mut().zip(&mut sums[part]).zip(normal).zip(T::read(gamma))
            {
                *sum += slope.wide() * normal.wide();
                *slope = *slope * gamma;
                along += slope.wide() * normal.wide() / width as f64;
            }
            for (slope, normal) in slopes.iter_mut().zip(normal) {
                *slope = T::of(factor * (slope.wide() - normal.wide() * along));
            }
        }
        site.vector_gradient("query_gamma", narrowed::<T>(&sums[0]));
        site.vector_gradient("key_gamma", narrowed::<T>(&sums[1]));
        Some(cotangent)
    };
    (x, Box::new(pull))
}
