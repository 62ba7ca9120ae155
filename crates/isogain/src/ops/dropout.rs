//! Inverted dropout (Srivastava et al. 2014): what is kept is scaled up, so that evaluation is the identity.

use burn::tensor::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::buffer::{Buffer, Real, by_type};
use super::site::Site;
use super::stock::mask;
use super::tape::{Pull, apply};

/// Sets each value to 0 with probability `fraction`, by a generator of this seed.
pub(crate) fn dropout(x: Tensor<2>, fraction: f64, seed: u64, site: Site) -> Tensor<2> {
    if site.is_stock() {
        let dropped = mask(dropped(x.dims().iter().product(), fraction, seed).collect(), &x);
        return site.shown(x.mask_fill(dropped, 0.0) * (1.0 / (1.0 - fraction)));
    }
    apply(x, site, move |x| by_type!(x, forward(x, fraction, seed)))
}

/// Which of so many values are dropped.
fn dropped(count: usize, fraction: f64, seed: u64) -> impl Iterator<Item = bool> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(move |_| generator.random::<f64>() < fraction)
}

fn forward<T: Real>(mut x: Buffer, fraction: f64, seed: u64) -> (Buffer, Pull) {
    let (zero, scale) = (T::default(), T::of(1.0 / (1.0 - fraction)));
    let values = T::write(&mut x);
    let dropped = dropped(values.len(), fraction, seed);
    let factors: Vec<T> = dropped.map(|is_dropped| if is_dropped { zero } else { scale }).collect();
    let apply = move |values: &mut [T]| {
        for (value, &factor) in values.iter_mut().zip(&factors) {
            // No product: what is dropped is 0, be it infinite.
            *value = if factor == zero { zero } else { *value * factor };
        }
    };
    apply(values);
    let pull = move |mut cotangent: Buffer, _| {
        apply(T::write(&mut cotangent));
        Some(cotangent)
    };
    (x, Box::new(pull))
}
