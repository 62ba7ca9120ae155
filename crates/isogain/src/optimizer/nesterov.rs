//! Nesterov's momentum in the form of Sutskever et al. (2013) as PyTorch has it: v = m v + g, w -= lr (g + m v). The
//! first velocity is the gradient itself.

use isogain_core::recipe::Optimizer;

use super::{State, Turn};
use crate::ops::{Buffer, Loop, Real, vectorised};

pub(super) fn update<T: Real>(
    recipe: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    [first, _]: State,
) -> State {
    let is_first = first.is_none();
    let mut velocity = first.unwrap_or_else(|| gradient.clone());
    let (velocities, decay, rate) = (T::write(&mut velocity), T::of(recipe.momentum), T::of(-turn.rate));
    vectorised(LookAhead::<T> {
        parameter: T::write(parameter),
        gradient: T::write(gradient),
        velocity: velocities,
        decay,
        rate,
        is_first,
    });
    [Some(velocity), None]
}

struct LookAhead<'a, T> {
    parameter: &'a mut [T],
    gradient: &'a mut [T],
    velocity: &'a mut [T],
    decay: T,
    rate: T,
    is_first: bool,
}

impl<T: Real> Loop for LookAhead<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { parameter, gradient, velocity, decay, rate, is_first } = self;
        for ((parameter, gradient), velocity) in parameter.iter_mut().zip(gradient).zip(velocity) {
            *velocity = if is_first { *gradient } else { *velocity * decay + *gradient };
            *gradient = rate * (*gradient + decay * *velocity);
            *parameter += *gradient;
        }
    }
}
