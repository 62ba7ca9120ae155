//! Muon (Jordan et al. 2024) for a hidden weight matrix: Nesterov's momentum, of which the direction is made orthogonal, w -=
//! lr (s O + weight decay w), with s by the matrix's shape. Every direction that the momentum has is then taken equally far,
//! whatever the gradient's size in it. What is no hidden matrix is AdamW's.

use isogain_core::recipe::Optimizer;

use super::decayed_step::DecayedStep;
use super::{State, Turn, nesterov};
use crate::ops::{Buffer, Real, orthogonalise, vectorised};

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
    vectorised(DecayedStep::<T>(T::write(parameter), T::write(gradient), step, shrink));
    state
}
