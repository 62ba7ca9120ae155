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

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::model::vector;

    const START: [f64; 3] = [1.0, -2.0, 0.5];

    fn recipe(name: OptimizerName) -> OptimizerRecipe {
        OptimizerRecipe { name, learning_rate: 0.1, ..OptimizerRecipe::default() }
    }

    /// Gradient of step `k`.
    fn gradient(k: usize) -> [f64; 3] {
        [0.3 + k as f64, -0.2 * k as f64, 1e-3]
    }

    /// Parameters after three steps, and what the last step's record says.
    fn three_steps(recipe: &OptimizerRecipe, dtype: DType, watched: bool) -> (Vec<f64>, Vec<ParameterRecord>) {
        let value = |values: &[f64]| Value::Vector(vector(values, dtype, &Device::flex()));
        let mut parameters = BTreeMap::from([("fc.bias".to_string(), value(&START))]);
        let mut optimizer = Optimizer::new(recipe);
        let mut records = Vec::new();
        for k in 0..3 {
            let gradients = BTreeMap::from([("fc.bias".to_string(), value(&gradient(k)))]);
            records = optimizer.step(&mut parameters, gradients, k, watched);
        }
        (parameters["fc.bias"].to_f64(), records)
    }

    /// One parameter's path by the rule as it stands in the textbooks.
    fn by_the_book(recipe: &OptimizerRecipe, mut parameter: f64, gradients: [f64; 3]) -> f64 {
        let (mut first, mut second) = (0.0, 0.0);
        let [beta1, beta2] = recipe.betas;
        for (k, gradient) in gradients.into_iter().enumerate() {
            parameter -= recipe.learning_rate
                * match recipe.name {
                    OptimizerName::Sgd => gradient,
                    OptimizerName::Momentum => {
                        first = recipe.momentum * first + gradient;
                        first
                    }
                    OptimizerName::Adam => {
                        first = beta1 * first + (1.0 - beta1) * gradient;
                        second = beta2 * second + (1.0 - beta2) * gradient * gradient;
                        let count = k as i32 + 1;
                        let root = (second / (1.0 - beta2.powi(count))).sqrt();
                        first / (1.0 - beta1.powi(count)) / (root + recipe.eps)
                    }
                };
        }
        parameter
    }

    #[test]
    fn rules_are_those_of_the_textbooks() {
        for name in [OptimizerName::Sgd, OptimizerName::Momentum, OptimizerName::Adam] {
            let recipe = recipe(name);
            for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-13)] {
                let (parameters, _) = three_steps(&recipe, dtype, false);
                for (index, value) in parameters.into_iter().enumerate() {
                    let expected = by_the_book(&recipe, START[index], [0, 1, 2].map(|k| gradient(k)[index]));
                    assert!((value - expected).abs() < tolerance, "{name:?} {dtype:?}: {value} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn watching_changes_no_bit_and_tells_the_update() {
        for name in [OptimizerName::Sgd, OptimizerName::Momentum, OptimizerName::Adam] {
            let (plain, none) = three_steps(&recipe(name), DType::F32, false);
            let (watched, records) = three_steps(&recipe(name), DType::F32, true);
            assert_eq!(plain, watched);
            assert!(none.is_empty());
            let [record] = records.as_slice() else { panic!("one parameter") };
            assert_eq!(record.gradient.abs_max, f64::from(gradient(2)[0] as f32));
            // The weight was measured before the update, so that both together give the parameter after it.
            let after: f64 = watched.iter().sum();
            assert!((record.weight.sum + record.update.sum - after).abs() < 1e-6, "{name:?}");
            let [min, max] = [record.update.min, record.update.max].map(Option::unwrap);
            assert!(min < max && record.update.abs_max == max.max(-min), "{name:?}");
        }
    }

    #[test]
    fn an_update_out_of_range_is_read_again() {
        let broken = OptimizerRecipe { learning_rate: 1e39, ..recipe(OptimizerName::Sgd) };
        let (_, records) = three_steps(&broken, DType::F32, true);
        assert!(records[0].gradient.non_finite == 0 && records[0].update.non_finite > 0);
        let vanishing = OptimizerRecipe { learning_rate: 1e-46, ..recipe(OptimizerName::Sgd) };
        let (_, records) = three_steps(&vanishing, DType::F32, true);
        assert_eq!((records[0].gradient.zeros, records[0].update.zeros), (0, 3));
    }
}
