//! h' = phi(x W + h U + b).

use isogain_core::theory::activations::Activation;

use super::super::buffer::{Loop, Real, vectorised};
use super::{State, StateMut, Step};

/// The plain recurrence; keeps z in `gates`.
pub(super) struct Rnn {
    pub(super) activation: Activation,
}

/// phi as a loop can use it.
#[derive(Clone, Copy)]
enum Phi {
    Tanh,
    Rectifier,
    Other(Activation),
}

impl Rnn {
    fn phi(&self) -> Phi {
        match self.activation.name() {
            "tanh" => Phi::Tanh,
            "relu" => Phi::Rectifier,
            _ => Phi::Other(self.activation),
        }
    }
}

impl<T: Real> Step<T> for Rnn {
    const HAS_CELL: bool = false;

    fn forward(&self, _: usize, gates: &mut [T], hidden: &mut [T], _: State<'_, T>, after: StateMut<'_, T>) {
        vectorised(Forward(self.phi(), gates, hidden, after.h));
    }

    fn backward(
        &self,
        _: usize,
        gates: &mut [T],
        hidden: &mut [T],
        _: [State<'_, T>; 2],
        slopes: State<'_, T>,
        carry: StateMut<'_, T>,
    ) {
        vectorised(Backward(self.phi(), gates, hidden, slopes.h));
        carry.h.fill(T::default());
    }

    fn gate(&self, _: usize, kept: f64) -> (f64, f64) {
        (self.activation.value(kept), self.activation.derivative(kept))
    }
}

struct Forward<'a, T>(Phi, &'a mut [T], &'a [T], &'a mut [T]);

impl<T: Real> Loop for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(phi, gates, hidden, h) = self;
        for (z, &hidden) in gates.iter_mut().zip(hidden) {
            *z += hidden;
        }
        match phi {
            Phi::Tanh => h.iter_mut().zip(&*gates).for_each(|(h, z)| *h = z.hyperbolic_tangent()),
            // Written so that a NaN stays one.
            Phi::Rectifier => {
                let zero = T::default();
                h.iter_mut().zip(&*gates).for_each(|(h, &z)| *h = if z <= zero { zero } else { z });
            }
            Phi::Other(phi) => h.iter_mut().zip(&*gates).for_each(|(h, z)| *h = T::of(phi.value(z.wide()))),
        }
    }
}

struct Backward<'a, T>(Phi, &'a mut [T], &'a mut [T], &'a [T]);

impl<T: Real> Loop for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(phi, gates, hidden, slopes) = self;
        match phi {
            Phi::Tanh => {
                for (z, &slope) in gates.iter_mut().zip(slopes) {
                    let h = z.hyperbolic_tangent();
                    *z = slope * (T::of(1.0) - h * h);
                }
            }
            Phi::Rectifier => {
                let zero = T::default();
                gates.iter_mut().zip(slopes).for_each(|(z, &slope)| *z = if *z > zero { slope } else { zero });
            }
            Phi::Other(phi) => {
                for (z, &slope) in gates.iter_mut().zip(slopes) {
                    *z = slope * T::of(phi.derivative(z.wide()));
                }
            }
        }
        hidden.copy_from_slice(gates);
    }
}
