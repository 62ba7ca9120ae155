//! Stochastic depth (Huang et al. 2016), sample by sample: a residual branch gives nothing for some, and more for the others,
//! so that evaluation is the identity.

use burn::tensor::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::buffer::{Buffer, Real, by_type, extent};
use super::site::Site;
use super::tape::{Pull, apply};

/// Sets all `positions` rows of a sample to 0 with probability `fraction`, by a generator of this seed; divides the others
/// by the probability that they stay.
pub(crate) fn stochastic_depth(x: Tensor<2>, positions: usize, fraction: f64, seed: u64, site: Site) -> Tensor<2> {
    apply(x, site, move |x| by_type!(x, forward(x, positions, fraction, seed)))
}

fn forward<T: Real>(mut x: Buffer, positions: usize, fraction: f64, seed: u64) -> (Buffer, Pull) {
    let (rows, features) = extent(&x);
    let sample = (positions * features).max(1);
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let factors: Vec<Option<T>> = (0..rows / positions.max(1))
        .map(|_| (generator.random::<f64>() >= fraction).then(|| T::of(1.0 / (1.0 - fraction))))
        .collect();
    let apply = move |values: &mut [T]| {
        for (values, factor) in values.chunks_exact_mut(sample).zip(&factors) {
            match factor {
                Some(factor) => values.iter_mut().for_each(|value| *value = *value * *factor),
                // No product: what is left out is 0, be it infinite.
                None => values.fill(T::default()),
            }
        }
    };
    apply(T::write(&mut x));
    let pull = move |mut cotangent: Buffer, _| {
        apply(T::write(&mut cotangent));
        Some(cotangent)
    };
    (x, Box::new(pull))
}
