//! Stochastic gradient descent: w -= lr g.

use isogain_core::recipe::Optimizer;

use super::{State, Turn};
use crate::ops::{Buffer, Loop, Real, vectorised};

pub(super) fn update<T: Real>(
    _: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    _: State,
) -> State {
    vectorised(Descend::<T>(T::write(parameter), T::write(gradient), T::of(-turn.rate)));
    [None, None]
}

struct Descend<'a, T>(&'a mut [T], &'a mut [T], T);

impl<T: Real> Loop for Descend<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, gradient, rate) = self;
        for (parameter, gradient) in parameter.iter_mut().zip(gradient) {
            *gradient = rate * *gradient;
            *parameter += *gradient;
        }
    }
}
