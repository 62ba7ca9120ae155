//! Stochastic depth (Huang et al. 2016), sample by sample: in training a residual branch gives nothing for some samples, in
//! evaluation less for all. As in that paper the others are not given more in training: a sum of branches that are made
//! larger grows faster for being left out, and one of branches that are not grows less.

use burn::tensor::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::buffer::{self, Buffer, Real, by_type, extent};
use super::site::Site;
use super::stock::mask;
use super::tape::{Pull, apply};

/// In training: sets all `positions` rows of a sample to 0 with probability `fraction`, by a generator of this seed.
pub(crate) fn stochastic_depth(x: Tensor<2>, positions: usize, fraction: f64, seed: u64, site: Site) -> Tensor<2> {
    if site.is_stock() {
        let [rows, features] = x.dims();
        let samples = left_out(rows / positions.max(1), fraction, seed);
        let chosen = samples.into_iter().flat_map(|is_left_out| std::iter::repeat_n(is_left_out, positions * features));
        let chosen = mask(chosen.collect(), &x);
        return site.shown(x.mask_fill(chosen, 0.0));
    }
    apply(x, site, move |x| by_type!(x, forward(x, positions, fraction, seed)))
}

/// Which of so many samples are left out.
fn left_out(samples: usize, fraction: f64, seed: u64) -> Vec<bool> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    (0..samples).map(|_| generator.random::<f64>() < fraction).collect()
}

/// In evaluation: multiplies by the probability that a sample stays, so that the mean is that of training.
pub(crate) fn expected_depth(x: Tensor<2>, fraction: f64, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(x * (1.0 - fraction));
    }
    apply(x, site, move |x| by_type!(x, expected(x, fraction)))
}

fn forward<T: Real>(mut x: Buffer, positions: usize, fraction: f64, seed: u64) -> (Buffer, Pull) {
    let (rows, features) = extent(&x);
    let sample = (positions * features).max(1);
    let left_out = left_out(rows / positions.max(1), fraction, seed);
    let leave_out = move |values: &mut [T]| {
        // No product: what is left out is 0, be it infinite.
        let samples = values.chunks_exact_mut(sample).zip(&left_out);
        samples.filter(|(_, left_out)| **left_out).for_each(|(values, _)| values.fill(T::default()));
    };
    leave_out(T::write(&mut x));
    let pull = move |mut cotangent: Buffer, _| {
        leave_out(T::write(&mut cotangent));
        Some(cotangent)
    };
    (x, Box::new(pull))
}

fn expected<T: Real>(mut x: Buffer, fraction: f64) -> (Buffer, Pull) {
    let kept = T::of(1.0 - fraction);
    buffer::scale(&mut x, kept);
    let pull = move |mut cotangent: Buffer, _| {
        buffer::scale(&mut cotangent, kept);
        Some(cotangent)
    };
    (x, Box::new(pull))
}
