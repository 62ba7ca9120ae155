//! AdaGrad (Duchi, Hazan & Singer 2011): s = s + g^2, w -= lr g / (sqrt s + eps).

use isogain_core::recipe::Optimizer;

use super::{State, Turn, zeros};
use crate::ops::{Buffer, Loop, Real, vectorised};

pub(super) fn update<T: Real>(
    recipe: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    [_, second]: State,
) -> State {
    let mut sum = second.unwrap_or_else(|| zeros::<T>(gradient));
    let sums = T::write(&mut sum);
    vectorised(Tire::<T>(T::write(parameter), T::write(gradient), sums, T::of(recipe.eps), T::of(-turn.rate)));
    [None, Some(sum)]
}

struct Tire<'a, T>(&'a mut [T], &'a mut [T], &'a mut [T], T, T);

impl<T: Real> Loop for Tire<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, gradient, sum, eps, rate) = self;
        for ((parameter, gradient), sum) in parameter.iter_mut().zip(gradient).zip(sum) {
            *sum += *gradient * *gradient;
            *gradient = rate * *gradient / (sum.root() + eps);
            *parameter += *gradient;
        }
    }
}
