//! The penalty on gradients that vanish or explode through time (Pascanu, Mikolov & Bengio 2013, section 3.3):
//! Omega = sum over steps of (|dE/dh_t dh_t/dh_(t-1)| / |dE/dh_t| - 1)^2, averaged over samples. As there, its gradient is that
//! of the weights from state to state alone, with states and dE/dh_t as constants; so it needs no second derivative. Of
//! the plain recurrence, where nothing but those weights carries the cotangent from step to step.

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
    /// One step's cotangents as they left the weights, each sample's of length 1 times its factor, `[batch, units]`.
    left: Vec<T>,
    /// The cotangents of what is summed over the length of the state's, `[batch, units]`.
    arrived: Vec<T>,
}

impl<T: Real> Penalty<T> {
    /// `weight` times the scale of the loss.
    pub(super) fn new(weight: f64, sizes: Sizes) -> Self {
        let gradient = vec![T::default(); sizes.units * sizes.width];
        let [left, arrived] = [(); 2].map(|()| vec![T::default(); sizes.state()]);
        Self { weight: weight / sizes.batch.max(1) as f64, sizes, gradient, left, arrived }
    }

    /// One step: the cotangents of its state, of the state before it, and of what is summed in between `[batch, units]`.
    ///
    /// With v = U p for the cotangent p of the sum: dOmega/dU = 2 (|v| / |s| - 1) v / |v| (p / |s|)^T. Each is divided by its
    /// length before they are multiplied: s itself may be too small for its inverse to be a number. Where a sample has no
    /// cotangent there is nothing to keep.
    pub(super) fn add(&mut self, state: &[T], before: &[T], summed: &[T]) {
        let units = self.sizes.units;
        let rows = state.chunks_exact(units).zip(before.chunks_exact(units)).zip(summed.chunks_exact(units));
        let results = self.left.chunks_exact_mut(units).zip(self.arrived.chunks_exact_mut(units));
        for ((left, arrived), ((state, before), summed)) in results.zip(rows) {
            let (long, short) = (norm(state), norm(before));
            let is_told = long > 0.0 && short > 0.0;
            let factor = 2.0 * self.weight * (short / long - 1.0);
            let [of_left, of_arrived] = if is_told { [factor / short, 1.0 / long] } else { [0.0; 2] };
            left.iter_mut().zip(before).for_each(|(left, value)| *left = T::of(of_left * value.wide()));
            arrived.iter_mut().zip(summed).for_each(|(arrived, value)| *arrived = T::of(of_arrived * value.wide()));
        }
        let [left, arrived] = [&self.left, &self.arrived].map(|values| Matrix::new(values, self.sizes.batch, units));
        add_product(&mut self.gradient, left.transposed(), arrived);
    }

    /// Adds the gradient to that of the weights from state to state.
    pub(super) fn add_to(self, hidden_gradient: &mut [T]) {
        hidden_gradient.iter_mut().zip(self.gradient).for_each(|(sum, value)| *sum += value);
    }
}

fn norm<T: Real>(values: &[T]) -> f64 {
    values.iter().map(|value| value.wide() * value.wide()).sum::<f64>().sqrt()
}
