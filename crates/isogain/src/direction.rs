//! A way to go from a model's parameters: as many numbers, by name, in f64.

use std::collections::BTreeMap;

use crate::model::{Model, Value};

/// One entry for each parameter, row-major.
pub(crate) type Direction = BTreeMap<String, Vec<f64>>;

/// The values of tensors.
pub(crate) fn flat(values: &BTreeMap<String, Value>) -> Direction {
    values.iter().map(|(name, value)| (name.clone(), value.to_f64())).collect()
}

/// L2 norm.
pub(crate) fn norm(direction: &Direction) -> f64 {
    direction.values().flatten().map(|value| value * value).sum::<f64>().sqrt()
}

/// Every number times a factor.
pub(crate) fn scaled(direction: &Direction, factor: f64) -> Direction {
    let scale = |(name, values): (&String, &Vec<f64>)| (name.clone(), values.iter().map(|v| v * factor).collect());
    direction.iter().map(scale).collect()
}

/// The model with its parameters at `origin` plus `step` times the direction.
pub(crate) fn moved(model: &Model, origin: &Direction, direction: &Direction, step: f64) -> Model {
    let mut model = model.clone();
    for (name, value) in &mut model.parameters {
        let values: Vec<f64> = origin[name].iter().zip(&direction[name]).map(|(w, d)| w + step * d).collect();
        *value = value.with(&values, model.dtype);
    }
    model
}
