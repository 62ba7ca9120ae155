//! Initialisers and activations by name: the formulas stay in the core, what draws or calls them is the framework's.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use isogain_core::theory::initializers::Finish;
use isogain_core::theory::kernel_shaping::Shape;
use isogain_core::theory::{Activation, Initializer};

/// A name and its numbers as the core writes them: `he-normal`, `fixed-variance(std = 0.02)`.
fn written(text: &str) -> PyResult<(&str, Vec<(&str, f64)>)> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('(') else { return Ok((text, Vec::new())) };
    let unreadable = || PyValueError::new_err(format!("cannot read `{text}`: needs `name` or `name(key = number)`"));
    let numbers = rest.strip_suffix(')').ok_or_else(unreadable)?;
    let number =
        |part: &str| part.split_once('=').and_then(|(key, value)| Some((key.len(), value.trim().parse().ok()?)));
    let numbers = numbers.split(',').map(|part| {
        let (end, value) = number(part).ok_or_else(unreadable)?;
        Ok((part[..end].trim(), value))
    });
    Ok((name.trim(), numbers.collect::<PyResult<_>>()?))
}

fn wrong(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn read_activation(text: &str) -> PyResult<Activation> {
    let (name, numbers) = written(text)?;
    let start = Activation::named(name).map_err(wrong)?;
    numbers.into_iter().try_fold(start, |found, (key, value)| found.with_parameter(key, value)).map_err(wrong)
}

fn read_initializer(text: &str) -> PyResult<Initializer> {
    let (name, numbers) = written(text)?;
    let start = Initializer::named(name).map_err(wrong)?;
    numbers.into_iter().try_fold(start, |found, (key, value)| found.with_parameter(key, value)).map_err(wrong)
}

/// Names of all initialisers.
#[pyfunction]
pub(crate) fn initializers() -> Vec<&'static str> {
    Initializer::all().map(Initializer::name).collect()
}

/// Names of all activations.
#[pyfunction]
pub(crate) fn activations() -> Vec<&'static str> {
    Activation::all().map(Activation::name).collect()
}

/// What theory says of a layer's weights under an initialiser: `name`, `parameters`, `fan_in`, `weight_mean`,
/// `weight_variance`, `bias_variance`, `data_dependent`. `activation` is the one that follows the layer, `linear` where there is none.
#[pyfunction]
pub(crate) fn initializer<'py>(
    py: Python<'py>,
    text: &str,
    activation: &str,
    fan_in: usize,
    fan_out: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let (init, activation) = (read_initializer(text)?, read_activation(activation)?);
    if !init.supports(activation) {
        return Err(PyValueError::new_err(format!("{init} is not defined for {activation}; take another one")));
    }
    let found = PyDict::new(py);
    found.set_item("name", init.name())?;
    found.set_item("parameters", init.parameters().collect::<std::collections::BTreeMap<_, _>>())?;
    found.set_item("fan_in", fan_in)?;
    found.set_item("weight_mean", init.weight_mean(fan_in))?;
    found.set_item("weight_variance", init.weight_variance(fan_in, fan_out, activation))?;
    found.set_item("bias_variance", init.bias_variance(fan_in, activation))?;
    let finish = init.finish().map(|finish| match finish {
        Finish::UnitVariance => "unit-variance",
        Finish::UnitJacobian => "unit-jacobian",
    });
    found.set_item("finish", finish)?;
    Ok(found)
}

/// An activation by name: `name`, `parameters`; for a piecewise linear one its `slopes` below and above zero; for a shaped one
/// its `shape`: input scale and shift, output shift and scale.
#[pyfunction]
pub(crate) fn activation<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyDict>> {
    let read = read_activation(text)?;
    let found = PyDict::new(py);
    found.set_item("name", read.name())?;
    found.set_item("parameters", read.parameter().into_iter().collect::<std::collections::BTreeMap<_, _>>())?;
    found.set_item("slopes", read.slopes())?;
    let shape = read.shape();
    let numbers = |shape: Shape| [shape.input_scale, shape.input_shift, shape.output_shift, shape.output_scale];
    found.set_item("shape", shape.map(numbers))?;
    Ok(found)
}
