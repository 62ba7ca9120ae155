//! Update rules. Written out here because their state must be saved and resumed bit for bit, and because a probe reads
//! the very update that was applied.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use isogain_core::recipe::{Optimizer as OptimizerRecipe, OptimizerName};

use crate::model::Value;

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

    /// What to add to the parameter, given its gradient and the number of updates done before.
    pub fn update(&mut self, name: &str, gradient: Value, step: usize) -> Value {
        let (first, second) = (self.first.remove(name), self.second.remove(name));
        match gradient {
            Value::Matrix(gradient) => {
                let first = first.and_then(as_matrix);
                let second = second.and_then(as_matrix);
                let (update, first, second) = self.rule(gradient, first, second, step);
                self.keep(name, first.map(Value::Matrix), second.map(Value::Matrix));
                Value::Matrix(update)
            }
            Value::Vector(gradient) => {
                let first = first.and_then(as_vector);
                let second = second.and_then(as_vector);
                let (update, first, second) = self.rule(gradient, first, second, step);
                self.keep(name, first.map(Value::Vector), second.map(Value::Vector));
                Value::Vector(update)
            }
        }
    }

    fn keep(&mut self, name: &str, first: Option<Value>, second: Option<Value>) {
        self.first.extend(first.map(|value| (name.to_string(), value)));
        self.second.extend(second.map(|value| (name.to_string(), value)));
    }

    /// Update, first and second moment.
    fn rule<const D: usize>(
        &self,
        gradient: Tensor<D>,
        first: Option<Tensor<D>>,
        second: Option<Tensor<D>>,
        step: usize,
    ) -> (Tensor<D>, Option<Tensor<D>>, Option<Tensor<D>>) {
        let rate = self.recipe.learning_rate;
        match self.recipe.name {
            OptimizerName::Sgd => (gradient * -rate, None, None),
            OptimizerName::Momentum => {
                let velocity = match first {
                    Some(velocity) => velocity * self.recipe.momentum + gradient,
                    None => gradient,
                };
                (velocity.clone() * -rate, Some(velocity), None)
            }
            // Kingma & Ba 2015, with bias correction.
            OptimizerName::Adam => {
                let [beta1, beta2] = self.recipe.betas;
                let square = gradient.clone() * gradient.clone();
                let first = match first {
                    Some(first) => first * beta1 + gradient * (1.0 - beta1),
                    None => gradient * (1.0 - beta1),
                };
                let second = match second {
                    Some(second) => second * beta2 + square * (1.0 - beta2),
                    None => square * (1.0 - beta2),
                };
                let count = i32::try_from(step + 1).unwrap_or(i32::MAX);
                let (correct1, correct2) = (1.0 - beta1.powi(count), 1.0 - beta2.powi(count));
                let root = (second.clone() / correct2).sqrt() + self.recipe.eps;
                (first.clone() / root * (-rate / correct1), Some(first), Some(second))
            }
        }
    }
}

fn as_matrix(value: Value) -> Option<Tensor<2>> {
    match value {
        Value::Matrix(tensor) => Some(tensor),
        Value::Vector(_) => None,
    }
}

fn as_vector(value: Value) -> Option<Tensor<1>> {
    match value {
        Value::Vector(tensor) => Some(tensor),
        Value::Matrix(_) => None,
    }
}
