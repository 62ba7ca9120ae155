//! The penalty on gradients that vanish or explode through time (Pascanu, Mikolov & Bengio 2013, section 3.3):
//! Omega = sum over steps of (|dE/dh_t dh_t/dh_(t-1)| / |dE/dh_t| - 1)^2, averaged over samples. As there, its gradient is that
//! of the weights from state to state alone, with states and dE/dh_t as constants; so it needs no second derivative.

use super::super::buffer::Real;
use super::super::matmul::{Matrix, add_product};
use super::Sizes;

/// The gradient of the penalty on one layer.
pub(super) struct Penalty<T> {
    /// Its weight, over the number of samples.
    weight: f64,
    sizes: Sizes,
    /// `[units, units]`.
    gradient: Vec<T>,
    /// One step's cotangents as they left the weights, each sample times its factor, `[batch, units]`.
    scaled: Vec<T>,
}

impl<T: Real> Penalty<T> {
    /// `weight` times the scale of the loss.
    pub(super) fn new(weight: f64, sizes: Sizes) -> Self {
        let gradient = vec![T::default(); sizes.units * sizes.width];
        let scaled = vec![T::default(); sizes.state()];
        Self { weight: weight / sizes.batch.max(1) as f64, sizes, gradient, scaled }
    }

    /// One step: the cotangents of its state, of the state before it, and of what is summed in between `[batch, units]`.
    ///
    /// With v = U p for the cotangent p of the sum: dOmega/dU = 2 (|v| / |s| - 1) / (|s| |v|) v p^T. Where a sample has no
    /// cotangent there is nothing to keep.
    pub(super) fn add(&mut self, state: &[T], before: &[T], summed: Matrix<'_, T>) {
        let units = self.sizes.units;
        let rows = state.chunks_exact(units).zip(before.chunks_exact(units));
        for (scaled, (state, before)) in self.scaled.chunks_exact_mut(units).zip(rows) {
            let (long, short) = (norm(state), norm(before));
            let factor = 2.0 * self.weight * (short / long - 1.0) / (long * short);
            let factor = if factor.is_finite() { factor } else { 0.0 };
            scaled.iter_mut().zip(before).for_each(|(scaled, value)| *scaled = T::of(factor * value.wide()));
        }
        let before = Matrix::new(&self.scaled, self.sizes.batch, units);
        add_product(&mut self.gradient, before.transposed(), summed);
    }

    /// Adds the gradient to that of the weights from state to state.
    pub(super) fn add_to(self, hidden_gradient: &mut [T]) {
        hidden_gradient.iter_mut().zip(self.gradient).for_each(|(sum, value)| *sum += value);
    }
}

fn norm<T: Real>(values: &[T]) -> f64 {
    values.iter().map(|value| value.wide() * value.wide()).sum::<f64>().sqrt()
}
