//! RMSprop (Tieleman & Hinton 2012): s = alpha s + (1 - alpha) g^2, u = g / (sqrt s + eps); w -= lr u, or with momentum
//! v = m v + u, w -= lr v. As in PyTorch eps stands outside of the root, and s and v start at zero.

use isogain_core::recipe::Optimizer;

use super::{State, Turn, zeros};
use crate::ops::{Buffer, Loop, Real, vectorised};

pub(super) fn update<T: Real>(
    recipe: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    [first, second]: State,
) -> State {
    let mut square = second.unwrap_or_else(|| zeros::<T>(gradient));
    let (alpha, fresh) = (T::of(recipe.alpha), T::of(1.0 - recipe.alpha));
    let (eps, rate) = (T::of(recipe.eps), T::of(-turn.rate));
    vectorised(Rescale::<T> { gradient: T::write(gradient), square: T::write(&mut square), alpha, fresh, eps });
    let velocity = (recipe.momentum > 0.0).then(|| {
        let mut velocity = first.unwrap_or_else(|| zeros::<T>(gradient));
        vectorised(Gather::<T>(T::write(gradient), T::write(&mut velocity), T::of(recipe.momentum)));
        velocity
    });
    vectorised(Add::<T>(T::write(parameter), T::write(gradient), rate));
    [velocity, Some(square)]
}

struct Rescale<'a, T> {
    gradient: &'a mut [T],
    square: &'a mut [T],
    alpha: T,
    fresh: T,
    eps: T,
}

impl<T: Real> Loop for Rescale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { gradient, square, alpha, fresh, eps } = self;
        for (gradient, square) in gradient.iter_mut().zip(square) {
            *square = *square * alpha + *gradient * *gradient * fresh;
            *gradient = *gradient / (square.root() + eps);
        }
    }
}

/// What was a step of its own becomes the velocity.
struct Gather<'a, T>(&'a mut [T], &'a mut [T], T);

impl<T: Real> Loop for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(step, velocity, decay) = self;
        for (step, velocity) in step.iter_mut().zip(velocity) {
            *velocity = *velocity * decay + *step;
            *step = *velocity;
        }
    }
}

struct Add<'a, T>(&'a mut [T], &'a mut [T], T);

impl<T: Real> Loop for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, step, rate) = self;
        for (parameter, step) in parameter.iter_mut().zip(step) {
            *step = rate * *step;
            *parameter += *step;
        }
    }
}
