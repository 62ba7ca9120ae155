//! Muon (Jordan et al. 2024) for a hidden weight matrix: Nesterov's momentum, of which the direction is made orthogonal, w -=
//! lr (s O + weight decay w), with s by the matrix's shape. Every direction that the momentum has is then taken equally far,
//! whatever the gradient's size in it. What is no hidden matrix is AdamW's.

use isogain_core::recipe::Optimizer;

use super::{State, Turn, nesterov};
use crate::ops::{Buffer, Loop, Real, orthogonalise, vectorised};

pub(super) fn update<T: Real>(
    recipe: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    state: State,
) -> State {
    // Its step leads on from a copy: of the step no more than the direction is wanted.
    let state = nesterov::update::<T>(recipe, Turn { rate: 1.0, ..turn }, &mut parameter.clone(), gradient, state);
    orthogonalise::<T>(gradient);
    let shape = gradient.layout().shape();
    let factor = recipe.adjust_lr.factor([shape[0], shape[1]]);
    let (step, shrink) = (T::of(turn.rate * factor), T::of(-turn.rate * recipe.weight_decay));
    vectorised(Go::<T>(T::write(parameter), T::write(gradient), step, shrink));
    state
}

/// The parameter goes so far along the direction, and becomes smaller.
pub(super) struct Go<'a, T>(pub(super) &'a mut [T], pub(super) &'a mut [T], pub(super) T, pub(super) T);

impl<T: Real> Loop for Go<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, direction, step, shrink) = self;
        for (parameter, direction) in parameter.iter_mut().zip(direction) {
            *direction = step * *direction + shrink * *parameter;
            *parameter += *direction;
        }
    }
}
