//! Adam (Kingma & Ba 2015), with bias correction: m and v are running means of g and g^2, w -= lr m / (sqrt v + eps).

use isogain_core::recipe::Optimizer;

use super::{State, Turn, spikes, zeros};
use crate::ops::{Buffer, Loop, Real, vectorised};

pub(super) fn update<T: Real>(
    recipe: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    state: State,
) -> State {
    adapt::<T>(recipe, turn, parameter, gradient, state, 0.0)
}

/// An update after which the parameter is also smaller by `shrink` times what it was.
pub(super) fn adapt<T: Real>(
    recipe: &Optimizer,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    [first, second]: State,
    shrink: f64,
) -> State {
    let mut mean = first.unwrap_or_else(|| zeros::<T>(gradient));
    let mut square = second.unwrap_or_else(|| zeros::<T>(gradient));
    let mut factors = Factors { shrink: T::of(-shrink), ..Factors::new(recipe, turn) };
    spikes::limit::<T>(recipe, turn, gradient, &square);
    let calm = spikes::calm::<T>(recipe, turn, gradient, &square);
    if calm < 1.0 {
        (factors.rate, factors.shrink) = (factors.rate * T::of(calm), factors.shrink * T::of(calm));
    }
    let state = [T::write(&mut mean), T::write(&mut square)];
    vectorised(Adapt::<T>(T::write(parameter), T::write(gradient), state, factors));
    [Some(mean), Some(square)]
}

/// The numbers of one step.
struct Factors<T> {
    /// Decay of each moment, and weight of what is new.
    decay: [T; 2],
    fresh: [T; 2],
    /// What the second moment lacks for having started at zero.
    correction: T,
    eps: T,
    /// The same of the first moment is part of the rate.
    rate: T,
    /// Part of itself that the parameter loses, with its sign.
    shrink: T,
}

impl<T: Real> Factors<T> {
    fn new(recipe: &Optimizer, turn: Turn) -> Self {
        let count = i32::try_from(turn.updates + 1).unwrap_or(i32::MAX);
        let [correction1, correction2] = recipe.betas.map(|beta| 1.0 - beta.powi(count));
        Self {
            decay: recipe.betas.map(T::of),
            fresh: recipe.betas.map(|beta| T::of(1.0 - beta)),
            correction: T::of(correction2),
            eps: T::of(recipe.eps),
            rate: T::of(-turn.rate / correction1),
            shrink: T::default(),
        }
    }
}

struct Adapt<'a, T>(&'a mut [T], &'a mut [T], [&'a mut [T]; 2], Factors<T>);

impl<T: Real> Loop for Adapt<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, gradient, [mean, square], factors) = self;
        let Factors { decay, fresh, correction, eps, rate, shrink } = factors;
        let shrinks = shrink != T::default();
        let state = mean.iter_mut().zip(square);
        for ((parameter, gradient), (mean, square)) in parameter.iter_mut().zip(gradient).zip(state) {
            *mean = *mean * decay[0] + *gradient * fresh[0];
            *square = *square * decay[1] + *gradient * *gradient * fresh[1];
            *gradient = *mean / ((*square / correction).root() + eps) * rate;
            if shrinks {
                *gradient += shrink * *parameter;
            }
            *parameter += *gradient;
        }
    }
}
