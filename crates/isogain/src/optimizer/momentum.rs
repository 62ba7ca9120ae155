//! Heavy-ball momentum (Polyak 1964): v = m v + g, w -= lr v. The first velocity is the gradient itself.

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
    let decay = if first.is_some() { recipe.momentum } else { 0.0 };
    let mut velocity = first.unwrap_or_else(|| gradient.clone());
    let velocities = T::write(&mut velocity);
    vectorised(Roll::<T>(T::write(parameter), T::write(gradient), velocities, T::of(decay), T::of(-turn.rate)));
    [Some(velocity), None]
}

struct Roll<'a, T>(&'a mut [T], &'a mut [T], &'a mut [T], T, T);

impl<T: Real> Loop for Roll<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, gradient, velocity, decay, rate) = self;
        let is_first = decay == T::default();
        for ((parameter, gradient), velocity) in parameter.iter_mut().zip(gradient).zip(velocity) {
            *velocity = if is_first { *gradient } else { *velocity * decay + *gradient };
            *gradient = rate * *velocity;
            *parameter += *gradient;
        }
    }
}
