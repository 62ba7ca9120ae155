//! Sign descent (signSGD, with momentum Signum; Bernstein et al. 2018): v = m v + g, w -= lr (sign v + weight decay w). Every
//! number moves by the learning rate, whatever the gradient's size; one without a gradient stays.

use isogain_core::recipe::Optimizer;

use super::decayed_step::DecayedStep;
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
    let decay = if is_first { T::default() } else { T::of(recipe.momentum) };
    vectorised(Sign::<T>(T::write(gradient), T::write(&mut velocity), decay, is_first));
    let shrink = T::of(-turn.rate * recipe.weight_decay);
    vectorised(DecayedStep::<T>(T::write(parameter), T::write(gradient), T::of(turn.rate), shrink));
    [Some(velocity), None]
}

/// The gradient becomes the direction, against the velocity's sign.
struct Sign<'a, T>(&'a mut [T], &'a mut [T], T, bool);

impl<T: Real> Loop for Sign<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(gradient, velocity, decay, is_first) = self;
        let (zero, one) = (T::default(), T::of(1.0));
        for (gradient, velocity) in gradient.iter_mut().zip(velocity) {
            *velocity = if is_first { *gradient } else { *velocity * decay + *gradient };
            *gradient = if *velocity > zero {
                -one
            } else if *velocity < zero {
                one
            } else {
                // 0, or no number.
                -*velocity
            };
        }
    }
}
