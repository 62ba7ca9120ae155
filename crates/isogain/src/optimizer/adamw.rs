//! AdamW (Loshchilov & Hutter 2019): Adam, and beside it every parameter shrinks by lr times the weight decay, which
//! the division by sqrt v then does not undo.

use isogain_core::recipe::Optimizer;

use super::{State, Turn, adam};
use crate::ops::{Buffer, Real};

pub(super) fn update<T: Real>(
    recipe: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    state: State,
) -> State {
    adam::adapt::<T>(recipe, turn, parameter, gradient, state, turn.rate * recipe.weight_decay)
}
