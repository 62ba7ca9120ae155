//! h' = phi(x W + h U + b), or h' = h + eps phi(x W + h A + b).

use isogain_core::theory::activations::Activation;

use super::super::buffer::{Loop, Real, vectorised};
use super::{Brought, State, StateMut, Step};

/// The plain recurrence; keeps z in `gates`.
pub(super) struct Rnn {
    pub(super) activation: Activation,
    /// eps, where the next state is a step away from the one before.
    pub(super) antisymmetric_step: Option<f64>,
}

/// phi as a loop can use it.
#[derive(Clone, Copy)]
pub(super) enum Phi {
    Tanh,
    Rectifier,
    Other(Activation),
}

impl Phi {
    pub(super) fn of(activation: Activation) -> Self {
        match activation.name() {
            "tanh" => Self::Tanh,
            "relu" => Self::Rectifier,
            _ => Self::Other(activation),
        }
    }
}

impl<T: Real> Step<T> for Rnn {
    const HAS_CELL: bool = false;
    const SUMS: bool = true;

    fn forward(&self, _: usize, gates: &mut [T], _: &[T], before: State<'_, T>, after: StateMut<'_, T>) {
        vectorised(Forward(Phi::of(self.activation), gates, after.h));
        if let Some(step) = self.antisymmetric_step {
            vectorised(Euler(T::of(step), before.h, after.h));
        }
    }

    fn backward(
        &self,
        _: usize,
        kept: Brought<&[T]>,
        _: [State<'_, T>; 2],
        slopes: &[T],
        brought: Brought<&mut [T]>,
        carry: StateMut<'_, T>,
    ) {
        vectorised(Backward(Phi::of(self.activation), kept.gates, slopes, brought.gates));
        match self.antisymmetric_step {
            Some(step) => {
                let step = T::of(step);
                brought.gates.iter_mut().for_each(|gate| *gate = step * *gate);
                carry.h.copy_from_slice(slopes);
            }
            None => carry.h.fill(T::default()),
        }
    }

    fn gate(&self, _: usize, kept: T) -> (T, T) {
        let kept = kept.wide();
        (T::of(self.activation.value(kept)), T::of(self.activation.derivative(kept)))
    }
}

/// phi, what it reads, what it gives.
pub(super) struct Forward<'a, T>(pub(super) Phi, pub(super) &'a [T], pub(super) &'a mut [T]);

impl<T: Real> Loop for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(phi, gates, h) = self;
        match phi {
            Phi::Tanh => h.iter_mut().zip(gates).for_each(|(h, z)| *h = z.hyperbolic_tangent()),
            // Written so that a NaN stays one.
            Phi::Rectifier => {
                let zero = T::default();
                h.iter_mut().zip(gates).for_each(|(h, &z)| *h = if z <= zero { zero } else { z });
            }
            Phi::Other(phi) => h.iter_mut().zip(gates).for_each(|(h, z)| *h = T::of(phi.value(z.wide()))),
        }
    }
}

/// eps, the state before, phi(z), which becomes the next state.
struct Euler<'a, T>(T, &'a [T], &'a mut [T]);

impl<T: Real> Loop for Euler<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(step, before, after) = self;
        after.iter_mut().zip(before).for_each(|(after, &before)| *after = before + step * *after);
    }
}

/// Kept gates, cotangent of the state, cotangent of the gates.
pub(super) struct Backward<'a, T>(pub(super) Phi, pub(super) &'a [T], pub(super) &'a [T], pub(super) &'a mut [T]);

impl<T: Real> Loop for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(phi, kept, slopes, gates) = self;
        let rows = gates.iter_mut().zip(kept).zip(slopes);
        match phi {
            Phi::Tanh => rows.for_each(|((gate, z), &slope)| {
                let h = z.hyperbolic_tangent();
                *gate = slope * (T::of(1.0) - h * h);
            }),
            Phi::Rectifier => {
                let zero = T::default();
                rows.for_each(|((gate, &z), &slope)| *gate = if z > zero { slope } else { zero });
            }
            Phi::Other(phi) => rows.for_each(|((gate, z), &slope)| *gate = slope * T::of(phi.derivative(z.wide()))),
        }
    }
}
