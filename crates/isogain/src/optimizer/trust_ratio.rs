//! Steps whose length is a part of the weights' (LARS, You et al. 2017, in the form of You et al. 2020, algorithm 1; with
//! Adam LAMB, algorithm 2): w -= lr |W| / |u| u, where u is what the rule would do, tensor by tensor. How large a gradient is
//! then does not matter, only where it points.

use isogain_core::recipe::Optimizer;

use super::{Rule, State, Turn};
use crate::ops::{Buffer, Loop, Real, vectorised};

/// Whether this parameter's steps are scaled: weights are, biases and what a norm scales by are not. A bias that starts at
/// zero would never leave it.
pub(super) fn applies(recipe: &Optimizer, parameter: &Buffer) -> bool {
    recipe.trust_ratio && parameter.layout().shape().len() > 1
}

/// The rule's update, scaled. A step of length zero, and what is not finite or has no norm, is left as the rule has it.
pub(super) fn update<T: Real>(
    rule: Rule,
    recipe: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    state: State,
) -> State {
    let start = parameter.clone();
    let state = rule(recipe, turn, parameter, gradient, state);
    let (size, length) = (norm::<T>(&start), norm::<T>(gradient));
    let ratio = turn.rate * size / length;
    if ratio.is_finite() && ratio > 0.0 {
        // From where the step began: after a step that was far too long the sum has lost what it began with.
        vectorised(Measure::<T>(T::write(parameter), T::read(&start), T::write(gradient), ratio));
    }
    state
}

/// In f64, since squares of f32 leave its range.
fn norm<T: Real>(buffer: &Buffer) -> f64 {
    T::read(buffer).iter().map(|value| value.wide() * value.wide()).sum::<f64>().sqrt()
}

/// The parameter after a step of another length.
struct Measure<'a, T>(&'a mut [T], &'a [T], &'a mut [T], f64);

impl<T: Real> Loop for Measure<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, start, step, ratio) = self;
        for ((parameter, start), step) in parameter.iter_mut().zip(start).zip(step) {
            // A ratio may be out of the range of f32 where the step is too.
            *step = T::of(ratio * step.wide());
            *parameter = *start + *step;
        }
    }
}
