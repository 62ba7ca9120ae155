//! Update rules. Written out here because their state must be saved and resumed bit for bit, because a probe reads the
//! very update that was applied, and because one loop in place costs a tenth of a chain of tensor operations.

use std::collections::BTreeMap;

use isogain_core::recipe::{Optimizer as OptimizerRecipe, OptimizerName};
use isogain_core::record::ParameterRecord;
use isogain_core::statistics::Moments;

use crate::model::Value;
use crate::ops::{Buffer, Loop, Real, buffer_moments, by_type, filled, tensor, vectorised};

/// State of the update rule, one entry for each parameter.
#[derive(Clone, Debug)]
pub struct Optimizer {
    recipe: OptimizerRecipe,
    /// First moments (momentum buffer, or Adam's m).
    pub first: BTreeMap<String, Value>,
    /// Second moments (Adam's v).
    pub second: BTreeMap<String, Value>,
}

impl Optimizer {
    /// With empty state.
    pub fn new(recipe: &OptimizerRecipe) -> Self {
        Self { recipe: recipe.clone(), first: BTreeMap::new(), second: BTreeMap::new() }
    }

    /// Updates every parameter in place, given all gradients and the number of updates done before. When `watched`, also
    /// what went in and what it did, parameter by parameter.
    pub fn step(
        &mut self,
        parameters: &mut BTreeMap<String, Value>,
        mut gradients: BTreeMap<String, Value>,
        step: usize,
        watched: bool,
    ) -> Vec<ParameterRecord> {
        let mut records = Vec::new();
        let (mut first, mut second) = (std::mem::take(&mut self.first), std::mem::take(&mut self.second));
        // Out of the map and into a new one: a buffer that nobody else holds is written in place.
        let updated = std::mem::take(parameters).into_iter().map(|(name, value)| {
            let Some(gradient) = gradients.remove(&name) else { return (name, value) };
            let state = [first.remove(&name), second.remove(&name)].map(|value| value.map(Value::into_buffer));
            let is_matrix = matches!(value, Value::Matrix(_));
            let wrapped =
                |buffer| if is_matrix { Value::Matrix(tensor(buffer)) } else { Value::Vector(tensor(buffer)) };
            let (mut parameter, mut gradient) = (value.into_buffer(), gradient.into_buffer());
            // Right before the update, which then finds both in the cache.
            let before = watched.then(|| [&parameter, &gradient].map(buffer_moments));
            let [first, second] = by_type!(parameter, rule(&self.recipe, &mut parameter, &mut gradient, state, step));
            if let Some([weight, before]) = before {
                let update = self.update_moments(&before, &gradient);
                records.push(ParameterRecord { name: name.clone(), weight, gradient: before, update });
            }
            self.first.extend(first.map(|buffer| (name.clone(), wrapped(buffer))));
            self.second.extend(second.map(|buffer| (name.clone(), wrapped(buffer))));
            (name, wrapped(parameter))
        });
        *parameters = updated.collect();
        records
    }

    /// Moments of an update. Plain SGD's are those of its gradient, scaled: no need to read it again, unless a value may
    /// have left the range of f32 on the way.
    fn update_moments(&self, gradient: &Moments, update: &Buffer) -> Moments {
        let rate = -self.recipe.learning_rate;
        let largest = gradient.abs_max * rate.abs();
        let is_in_range = largest == 0.0 || (f64::from(f32::MIN_POSITIVE)..f64::from(f32::MAX)).contains(&largest);
        if self.recipe.name == OptimizerName::Sgd && is_in_range {
            scaled(gradient, rate)
        } else {
            buffer_moments(update)
        }
    }
}

/// Moments of all values times a negative factor, which exchanges the smallest and the largest.
fn scaled(moments: &Moments, factor: f64) -> Moments {
    Moments {
        sum: moments.sum * factor,
        sum_of_squares: moments.sum_of_squares * factor * factor,
        min: moments.max.map(|value| value * factor),
        max: moments.min.map(|value| value * factor),
        abs_max: moments.abs_max * -factor,
        ..*moments
    }
}

/// Turns the gradient into the update and adds it to the parameter; the state for the next step.
fn rule<T: Real>(
    recipe: &OptimizerRecipe,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    [first, second]: [Option<Buffer>; 2],
    step: usize,
) -> [Option<Buffer>; 2] {
    let rate = -recipe.learning_rate;
    match recipe.name {
        OptimizerName::Sgd => {
            vectorised(Descend::<T>(T::write(parameter), T::write(gradient), T::of(rate)));
            [None, None]
        }
        OptimizerName::Momentum => {
            // The first velocity is the gradient itself.
            let decay = if first.is_some() { recipe.momentum } else { 0.0 };
            let mut velocity = first.unwrap_or_else(|| gradient.clone());
            let velocities = T::write(&mut velocity);
            vectorised(Roll::<T>(T::write(parameter), T::write(gradient), velocities, T::of(decay), T::of(rate)));
            [Some(velocity), None]
        }
        OptimizerName::Adam => {
            let zeros = || filled(vec![T::default(); T::read(gradient).len()], gradient.layout().shape());
            let (mut mean, mut square) = (first.unwrap_or_else(zeros), second.unwrap_or_else(zeros));
            let state = [T::write(&mut mean), T::write(&mut square)];
            let factors = AdamFactors::new(recipe, step);
            vectorised(Adapt::<T>(T::write(parameter), T::write(gradient), state, factors));
            [Some(mean), Some(square)]
        }
    }
}

struct Descend<'a, T>(&'a mut [T], &'a mut [T], T);

impl<T: Real> Loop for Descend<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, gradient, rate) = self;
        for (parameter, gradient) in parameter.iter_mut().zip(gradient) {
            *gradient = rate * *gradient;
            *parameter += *gradient;
        }
    }
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

/// The numbers of one step of Adam (Kingma & Ba 2015), with bias correction.
struct AdamFactors<T> {
    /// Decay of each moment, and weight of what is new.
    decay: [T; 2],
    fresh: [T; 2],
    /// What the second moment lacks for having started at zero.
    correction: T,
    eps: T,
    /// The same of the first moment is part of the rate.
    rate: T,
}

impl<T: Real> AdamFactors<T> {
    fn new(recipe: &OptimizerRecipe, step: usize) -> Self {
        let count = i32::try_from(step + 1).unwrap_or(i32::MAX);
        let [correction1, correction2] = recipe.betas.map(|beta| 1.0 - beta.powi(count));
        Self {
            decay: recipe.betas.map(T::of),
            fresh: recipe.betas.map(|beta| T::of(1.0 - beta)),
            correction: T::of(correction2),
            eps: T::of(recipe.eps),
            rate: T::of(-recipe.learning_rate / correction1),
        }
    }
}

struct Adapt<'a, T>(&'a mut [T], &'a mut [T], [&'a mut [T]; 2], AdamFactors<T>);

impl<T: Real> Loop for Adapt<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, gradient, [mean, square], factors) = self;
        let AdamFactors { decay, fresh, correction, eps, rate } = factors;
        let state = mean.iter_mut().zip(square);
        for ((parameter, gradient), (mean, square)) in parameter.iter_mut().zip(gradient).zip(state) {
            *mean = *mean * decay[0] + *gradient * fresh[0];
            *square = *square * decay[1] + *gradient * *gradient * fresh[1];
            *gradient = *mean / ((*square / correction).root() + eps) * rate;
            *parameter += *gradient;
        }
    }
}
