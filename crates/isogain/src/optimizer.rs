//! Update rules. Written out here because their state must be saved and resumed bit for bit, because a probe reads the
//! very update that was applied, and because one loop in place costs a tenth of a chain of tensor operations.

use std::collections::BTreeMap;

use isogain_core::recipe::{Optimizer as OptimizerRecipe, OptimizerName};
use isogain_core::statistics::Moments;

use crate::model::Value;
use crate::ops::{Buffer, Real, buffer_moments, by_type, filled, tensor, vectorised};

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
    /// the moments of each update, in the order of the parameters.
    pub fn step(
        &mut self,
        parameters: &mut BTreeMap<String, Value>,
        mut gradients: BTreeMap<String, Value>,
        step: usize,
        watched: bool,
    ) -> Vec<Moments> {
        let mut moments = Vec::new();
        let (mut first, mut second) = (std::mem::take(&mut self.first), std::mem::take(&mut self.second));
        // Out of the map and into a new one: a buffer that nobody else holds is written in place.
        let updated = std::mem::take(parameters).into_iter().map(|(name, value)| {
            let Some(gradient) = gradients.remove(&name) else { return (name, value) };
            let state = [first.remove(&name), second.remove(&name)].map(|value| value.map(Value::into_buffer));
            let is_matrix = matches!(value, Value::Matrix(_));
            let wrapped =
                |buffer| if is_matrix { Value::Matrix(tensor(buffer)) } else { Value::Vector(tensor(buffer)) };
            let mut buffer = value.into_buffer();
            let mut gradient = gradient.into_buffer();
            let [first, second] = by_type!(buffer, rule(&self.recipe, &mut buffer, &mut gradient, state, step));
            if watched {
                // The rule has turned the gradient into the update.
                moments.push(buffer_moments(&gradient));
            }
            self.first.extend(first.map(|buffer| (name.clone(), wrapped(buffer))));
            self.second.extend(second.map(|buffer| (name.clone(), wrapped(buffer))));
            (name, wrapped(buffer))
        });
        *parameters = updated.collect();
        moments
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
    let rate = T::of(-recipe.learning_rate);
    let parameter = T::write(parameter);
    match recipe.name {
        OptimizerName::Sgd => {
            let gradient = T::write(gradient);
            vectorised(|| {
                for (parameter, gradient) in parameter.iter_mut().zip(gradient) {
                    *gradient = rate * *gradient;
                    *parameter += *gradient;
                }
            });
            [None, None]
        }
        OptimizerName::Momentum => {
            let decay = T::of(if first.is_some() { recipe.momentum } else { 0.0 });
            let mut velocity = first.unwrap_or_else(|| gradient.clone());
            let (velocities, gradient) = (T::write(&mut velocity), T::write(gradient));
            let is_first = decay == T::of(0.0);
            vectorised(|| {
                for ((parameter, gradient), velocity) in parameter.iter_mut().zip(gradient).zip(velocities) {
                    *velocity = if is_first { *gradient } else { *velocity * decay + *gradient };
                    *gradient = rate * *velocity;
                    *parameter += *gradient;
                }
            });
            [Some(velocity), None]
        }
        // Kingma & Ba 2015, with bias correction.
        OptimizerName::Adam => {
            let [beta1, beta2] = recipe.betas;
            let count = i32::try_from(step + 1).unwrap_or(i32::MAX);
            let (correct1, correct2) = (1.0 - beta1.powi(count), 1.0 - beta2.powi(count));
            let rate = T::of(-recipe.learning_rate / correct1);
            let (correct2, eps) = (T::of(correct2), T::of(recipe.eps));
            let [fresh1, fresh2] = [T::of(1.0 - beta1), T::of(1.0 - beta2)];
            let [beta1, beta2] = [T::of(beta1), T::of(beta2)];
            let zeros = || filled(vec![T::default(); parameter.len()], gradient.layout().shape());
            let (mut mean, mut square) = (first.unwrap_or_else(zeros), second.unwrap_or_else(zeros));
            let (means, squares) = (T::write(&mut mean), T::write(&mut square));
            let state = means.iter_mut().zip(squares);
            let gradient = T::write(gradient);
            vectorised(|| {
                for ((parameter, gradient), (mean, square)) in parameter.iter_mut().zip(gradient).zip(state) {
                    *mean = *mean * beta1 + *gradient * fresh1;
                    *square = *square * beta2 + *gradient * *gradient * fresh2;
                    *gradient = *mean / ((*square / correct2).root() + eps) * rate;
                    *parameter += *gradient;
                }
            });
            [Some(mean), Some(square)]
        }
    }
}
