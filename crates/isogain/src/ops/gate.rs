//! y = (1 - T) x + T F(x) with T = sigmoid(z): a Highway network's block (Srivastava et al. 2015).

use burn::tensor::{Tensor, activation as burn_activation};

use super::buffer::{Buffer, Loop, Real, by_type, vectorised};
use super::residual::residual;
use super::site::Site;
use super::tape::{PullPair, apply_pair};

/// x + sigmoid(z) (branch - x), all `[rows, features]`: two sums, and what a gate lets through of the difference.
pub(crate) fn gated(x: Tensor<2>, branch: Tensor<2>, z: Tensor<2>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(x.clone() + burn_activation::sigmoid(z) * (branch - x));
    }
    let apart = residual(branch, x.clone(), -1.0, None, site.unwatched());
    let share = apply_pair(z, apart, site.unwatched(), |z, apart| by_type!(z, operation(z, apart)));
    residual(x, share, 1.0, None, site)
}

/// sigmoid(z) v.
fn operation<T: Real>(mut z: Buffer, value: Buffer) -> (Buffer, PullPair) {
    vectorised(Open::<T>(T::write(&mut z)));
    let open = z;
    let mut output = value.clone();
    vectorised(Times::<T>(T::write(&mut output), T::read(&open)));
    let pull = move |cotangent: Buffer| {
        let mut of_z = cotangent.clone();
        vectorised(Steered::<T>(T::write(&mut of_z), T::read(&open), T::read(&value)));
        let mut of_value = cotangent;
        vectorised(Times::<T>(T::write(&mut of_value), T::read(&open)));
        [of_z, of_value]
    };
    (output, Box::new(pull))
}

/// z becomes sigmoid(z).
struct Open<'a, T>(&'a mut [T]);

impl<T: Real> Loop for Open<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|z| *z = z.logistic());
    }
}

/// Values times what the gate lets through.
struct Times<'a, T>(&'a mut [T], &'a [T]);

impl<T: Real> Loop for Times<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(values, open) = self;
        values.iter_mut().zip(open).for_each(|(value, &open)| *value = *value * open);
    }
}

/// Cotangents of the product become those of z.
struct Steered<'a, T>(&'a mut [T], &'a [T], &'a [T]);

impl<T: Real> Loop for Steered<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(cotangents, open, values) = self;
        for ((cotangent, &open), &value) in cotangents.iter_mut().zip(open).zip(values) {
            *cotangent = *cotangent * value * (open * (T::of(1.0) - open));
        }
    }
}
