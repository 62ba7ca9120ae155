//! Many positions become fewer: the largest value, the mean, or the last.

use burn::tensor::Tensor;

use isogain_core::network::{Pool, PoolKind, Window};

use super::buffer::{Buffer, Real, by_type, extent, filled};
use super::site::Site;
use super::tape::{Pull, apply};

/// `[batch x positions, features]` to fewer positions.
pub(crate) fn pool(x: Tensor<2>, pool: &Pool, site: Site) -> Tensor<2> {
    let pool = pool.clone();
    apply(x, site, move |x| by_type!(x, forward(&x, &pool)))
}

fn forward<T: Real>(x: &Buffer, pool: &Pool) -> (Buffer, Pull) {
    let (rows, features) = extent(x);
    let groups = groups(pool);
    let samples = rows / pool.positions;
    match pool.pool {
        PoolKind::Max => largest::<T>(x, samples, features, pool.positions, &groups),
        PoolKind::Average | PoolKind::Last => mean::<T>(x, samples, features, pool.positions, groups),
    }
}

/// For each output position, the input positions that it stands for.
fn groups(pool: &Pool) -> Vec<Vec<usize>> {
    let Some(window) = pool.window else {
        return vec![if pool.pool == PoolKind::Last {
            vec![pool.positions - 1]
        } else {
            (0..pool.positions).collect()
        }];
    };
    let Window { grid, size, stride, padding } = window;
    let along = |axis: usize, at: usize| {
        let start = at * stride[axis];
        let first = start.saturating_sub(padding[axis]);
        first..(start + size[axis]).saturating_sub(padding[axis]).min(grid[axis])
    };
    let [height, width] = window.output();
    let patch = |y: usize, x: usize| {
        along(0, y).flat_map(|row| along(1, x).map(move |column| row * grid[1] + column)).collect::<Vec<usize>>()
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(|(y, x)| patch(y, x)).collect()
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
    groups: &[Vec<usize>],
) -> (Buffer, Pull) {
    let size = groups.len() * features;
    let mut output = Vec::with_capacity(samples * size);
    // Where in the input each output was found.
    let mut found = Vec::with_capacity(samples * size);
    for (index, sample) in T::read(x).chunks_exact(positions * features).enumerate() {
        for group in groups {
            for feature in 0..features {
                let (mut best, mut at) = (T::of(f64::NEG_INFINITY), group[0] * features + feature);
                for &position in group {
                    let value = sample[position * features + feature];
                    // A NaN is the largest: it must not vanish.
                    if value > best || value.wide().is_nan() {
                        (best, at) = (value, position * features + feature);
                    }
                }
                output.push(best);
                found.push(index * positions * features + at);
            }
        }
    }
    let output = filled(output, &[samples * groups.len(), features]);
    let pull = move |cotangent: Buffer, _| {
        let mut returned = vec![T::default(); samples * positions * features];
        for (&at, &value) in found.iter().zip(T::read(&cotangent)) {
            returned[at] += value;
        }
        Some(filled(returned, &[samples * positions, features]))
    };
    (output, Box::new(pull))
}
