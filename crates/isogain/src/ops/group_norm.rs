//! Group normalisation: each sample over all positions and a group of features (Wu & He 2018); statistics in f64.

use burn::tensor::Tensor;

use super::batch_norm::ParameterGradients;
use super::buffer::{Buffer, Real, by_type, extent, filled, narrowed, primitive, vectorised};
use super::site::Site;
use super::stock::{row, standardised};
use super::tape::{Pull, apply};

/// How values share statistics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    /// Rows of one sample.
    pub(crate) positions: usize,
    /// Groups of features.
    pub(crate) groups: usize,
    /// Added to the variance.
    pub(crate) eps: f64,
}

/// Each group of `x` `[batch x positions, features]` normalised, times gamma plus beta (`[features]` each).
pub(crate) fn group_norm(x: Tensor<2>, groups: Groups, gamma: Tensor<1>, beta: Tensor<1>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock(x, groups) * row(gamma) + row(beta));
    }
    let (gamma, beta) = (primitive(gamma), primitive(beta));
    let here = site.clone();
    apply(x, site, move |x| by_type!(x, forward(&x, groups, gamma, &beta, here)))
}

fn stock(x: Tensor<2>, Groups { positions, groups, eps }: Groups) -> Tensor<2> {
    let [rows, features] = x.dims();
    let (samples, width) = (rows / positions, features / groups);
    let apart = x.reshape([samples, positions, groups, width]).swap_dims(1, 2);
    let (normal, _) = standardised(apart.reshape([samples * groups, positions * width]), 1, eps);
    normal.reshape([samples, groups, positions, width]).swap_dims(1, 2).reshape([rows, features])
}

impl Groups {
    /// Calls a function for each group: its number, and its runs of values.
    fn each(
        self,
        rows: usize,
        features: usize,
        mut group: impl FnMut(usize, &mut dyn Iterator<Item = (usize, usize)>),
    ) {
        let width = features / self.groups;
        for sample in 0..rows / self.positions {
            for index in 0..self.groups {
                let first = sample * self.positions;
                let mut runs = (first..first + self.positions).map(|row| (row * features + index * width, width));
                group(sample * self.groups + index, &mut runs);
            }
        }
    }
}

fn forward<T: Real>(x: &Buffer, groups: Groups, gamma: Buffer, beta: &Buffer, site: Site) -> (Buffer, Pull) {
    let (rows, features) = extent(x);
    let values = T::read(x);
    let count = (groups.positions * features / groups.groups) as f64;
    let mut normal = vec![T::default(); values.len()];
    let mut factors = vec![0.0; rows / groups.positions * groups.groups];
    groups.each(rows, features, |group, runs| {
        let runs: Vec<(usize, usize)> = runs.collect();
        let all = || runs.iter().flat_map(|&(start, width)| &values[start..start + width]);
        let mean = all().map(|x| x.wide()).sum::<f64>() / count;
        let variance = all().map(|x| (x.wide() - mean).powi(2)).sum::<f64>() / count;
        let factor = 1.0 / (variance + groups.eps).sqrt();
        factors[group] = factor;
        for &(start, width) in &runs {
            for (normal, x) in normal[start..start + width].iter_mut().zip(&values[start..start + width]) {
                *normal = T::of((x.wide() - mean) * factor);
            }
        }
    });
    let (gammas, betas) = (T::read(&gamma), T::read(beta));
    let output: Vec<T> = normal
        .chunks_exact(features)
        .flat_map(|row| row.iter().zip(gammas).zip(betas).map(|((&normal, &gamma), &beta)| normal * gamma + beta))
        .collect();
    let pull = move |mut cotangent: Buffer, _| {
        let slopes = T::write(&mut cotangent);
        let [along, sum] = vectorised(ParameterGradients::<T>(slopes, &normal, features));
        for row in slopes.chunks_exact_mut(features) {
            row.iter_mut().zip(T::read(&gamma)).for_each(|(slope, &gamma)| *slope = *slope * gamma);
        }
        groups.each(rows, features, |group, runs| {
            let runs: Vec<(usize, usize)> = runs.collect();
            let pairs =
                || runs.iter().flat_map(|&(start, width)| start..start + width).map(|at| (slopes[at], normal[at]));
            let mean = pairs().map(|(slope, _)| slope.wide()).sum::<f64>() / count;
            let along = pairs().map(|(slope, normal)| slope.wide() * normal.wide()).sum::<f64>() / count;
            for &(start, width) in &runs {
                for at in start..start + width {
                    slopes[at] = T::of(factors[group] * (slopes[at].wide() - mean - normal[at].wide() * along));
                }
            }
        });
        site.vector_gradient("gamma", narrowed::<T>(&along));
        site.vector_gradient("beta", narrowed::<T>(&sum));
        Some(cotangent)
    };
    (filled(output, &[rows, features]), Box::new(pull))
}
