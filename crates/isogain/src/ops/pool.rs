//! Many positions become fewer: the largest value, the mean, or the last.

use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};

use isogain_core::network::{Pool, PoolKind, Window};

use super::buffer::{Buffer, Loop, Real, by_type, extent, filled, vectorised};
use super::site::Site;
use super::stock::{channels_first, channels_last};
use super::tape::{Pull, apply};
use super::threads::{VALUE, for_each_share, share};

/// `[batch x positions, features]` to fewer positions.
pub(crate) fn pool(x: Tensor<2>, pool: &Pool, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock(x, pool));
    }
    let pool = pool.clone();
    apply(x, site, move |x| by_type!(x, forward(&x, &pool)))
}

fn stock(x: Tensor<2>, pool: &Pool) -> Tensor<2> {
    let [rows, features] = x.dims();
    let samples = rows / pool.positions;
    let Some(Window { grid, size, stride, padding, dilation }) = pool.window else {
        let x = x.reshape([samples, pool.positions, features]);
        let one = match pool.pool {
            PoolKind::Max => x.max_dim(1),
            PoolKind::Average => x.mean_dim(1),
            PoolKind::Last => x.narrow(1, pool.positions - 1, 1),
        };
        return one.reshape([samples, features]);
    };
    let x = channels_first(x, grid);
    channels_last(match pool.pool {
        PoolKind::Max => {
            let options = MaxPoolOptions::new(size).with_stride(stride).with_padding(padding);
            max_pool2d(x, options.with_dilation(dilation))
        }
        PoolKind::Average | PoolKind::Last => {
            let options = AvgPoolOptions::new(size).with_stride(stride).with_padding(padding);
            avg_pool2d(x, options.with_count_include_pad(false))
        }
    })
}

fn forward<T: Real>(x: &Buffer, pool: &Pool) -> (Buffer, Pull) {
    let (rows, features) = extent(x);
    let groups = pool.groups();
    let samples = rows / pool.positions;
    match pool.pool {
        PoolKind::Max => largest::<T>(x, samples, features, pool.positions, groups),
        PoolKind::Average | PoolKind::Last => mean::<T>(x, samples, features, pool.positions, groups),
    }
}

fn mean<T: Real>(
    x: &Buffer,
    samples: usize,
    features: usize,
    positions: usize,
    groups: Vec<Vec<usize>>,
) -> (Buffer, Pull) {
    let mut output = vec![T::default(); samples * groups.len() * features];
    let parts = output.chunks_exact_mut(groups.len() * features);
    for (sample, output) in T::read(x).chunks_exact(positions * features).zip(parts) {
        for (group, output) in groups.iter().zip(output.chunks_exact_mut(features)) {
            let share = T::of(1.0 / group.len() as f64);
            for &position in group {
                for (sum, &value) in output.iter_mut().zip(&sample[position * features..][..features]) {
                    *sum += share * value;
                }
            }
        }
    }
    let output = filled(output, &[samples * groups.len(), features]);
    let pull = move |cotangent: Buffer, _| {
        let mut returned = vec![T::default(); samples * positions * features];
        let parts = T::read(&cotangent).chunks_exact(groups.len() * features);
        for (sample, cotangent) in returned.chunks_exact_mut(positions * features).zip(parts) {
            for (group, cotangent) in groups.iter().zip(cotangent.chunks_exact(features)) {
                let share = T::of(1.0 / group.len() as f64);
                for &position in group {
                    for (sum, &value) in sample[position * features..][..features].iter_mut().zip(cotangent) {
                        *sum += share * value;
                    }
                }
            }
        }
        Some(filled(returned, &[samples * positions, features]))
    };
    (output, Box::new(pull))
}

fn largest<T: Real>(
    x: &Buffer,
    samples: usize,
    features: usize,
    positions: usize,
    groups: Vec<Vec<usize>>,
) -> (Buffer, Pull) {
    let size = groups.len() * features;
    let mut output = vec![T::of(f64::NEG_INFINITY); samples * size];
    // Which of the group's positions each output was found at.
    let mut found = vec![0_u32; samples * size];
    let (values, share) = (positions * features, share(samples, VALUE * positions * features));
    let parts = output.chunks_mut(share * size).zip(found.chunks_mut(share * size));
    for_each_share(T::read(x).chunks(share * values).zip(parts).collect(), |(samples, (output, found))| {
        let parts = output.chunks_exact_mut(size).zip(found.chunks_exact_mut(size));
        for (sample, (output, found)) in samples.chunks_exact(values).zip(parts) {
            vectorised(Find { sample, groups: &groups, features, output, found });
        }
    });
    let output = filled(output, &[samples * groups.len(), features]);
    let pull = move |cotangent: Buffer, _| {
        let mut returned = vec![T::default(); samples * values];
        let parts = T::read(&cotangent).chunks(share * size).zip(found.chunks(share * size));
        let shares = returned.chunks_mut(share * values).zip(parts);
        for_each_share(shares.collect(), |(returned, (cotangent, found))| {
            let parts = cotangent.chunks_exact(size).zip(found.chunks_exact(size));
            for (sample, (cotangent, found)) in returned.chunks_exact_mut(values).zip(parts) {
                vectorised(Return { sample, groups: &groups, features, cotangent, found });
            }
        });
        Some(filled(returned, &[samples * positions, features]))
    };
    (output, Box::new(pull))
}

/// Finds the largest values of one sample, all features of a position at once. `output` starts at -infinity.
struct Find<'a, T> {
    sample: &'a [T],
    groups: &'a [Vec<usize>],
    features: usize,
    output: &'a mut [T],
    found: &'a mut [u32],
}

impl<T: Real> Loop for Find<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { sample, groups, features, output, found } = self;
        let parts = output.chunks_exact_mut(features).zip(found.chunks_exact_mut(features));
        for (group, (output, found)) in groups.iter().zip(parts) {
            for (place, position) in (0_u32..).zip(group) {
                let values = &sample[position * features..][..features];
                for ((best, found), &value) in output.iter_mut().zip(&mut *found).zip(values) {
                    // A NaN is the largest: it must not vanish.
                    let is_better = value > *best || value.wide().is_nan();
                    *best = if is_better { value } else { *best };
                    *found = if is_better { place } else { *found };
                }
            }
        }
    }
}

/// Brings cotangents back to where the largest values were found. `sample` starts at 0.
struct Return<'a, T> {
    sample: &'a mut [T],
    groups: &'a [Vec<usize>],
    features: usize,
    cotangent: &'a [T],
    found: &'a [u32],
}

impl<T: Real> Loop for Return<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { sample, groups, features, cotangent, found } = self;
        let parts = cotangent.chunks_exact(features).zip(found.chunks_exact(features));
        for (group, (cotangent, found)) in groups.iter().zip(parts) {
            for (place, position) in (0_u32..).zip(group) {
                let sums = &mut sample[position * features..][..features];
                for ((sum, &value), &found) in sums.iter_mut().zip(cotangent).zip(found) {
                    *sum += if found == place { value } else { T::default() };
                }
            }
        }
    }
}
