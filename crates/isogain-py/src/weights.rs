//! Weights alone: tensors or safetensors files in, what they say out.

use std::path::PathBuf;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use isogain_core::render::weights as render;
use isogain_core::render::{Context, Format, Style};
use isogain_core::weights::{Survey, WeightError, WeightReport, file};

use crate::tensor::Tensor;

/// What the weights of one model say.
#[pyclass(frozen, module = "isogain._core")]
pub(crate) struct Weights(WeightReport);

/// Takes in the tensors of one model, one after another.
#[pyclass(module = "isogain._core")]
pub(crate) struct WeightSurvey(Option<Survey>);

#[pymethods]
impl Weights {
    /// Reads the safetensors files of one model.
    #[staticmethod]
    #[pyo3(signature = (paths, *, spectrum = true))]
    fn of_files(py: Python<'_>, paths: Vec<PathBuf>, spectrum: bool) -> PyResult<Self> {
        py.detach(|| file::check(&paths, spectrum)).map(Self).map_err(failed)
    }

    /// Whether there is neither error nor warning.
    #[getter]
    fn ok(&self) -> bool {
        self.0.is_clean()
    }

    /// The report as `text` or `json`.
    #[pyo3(signature = (format = "text", *, colour = false))]
    fn render(&self, format: &str, colour: bool) -> PyResult<String> {
        let format = Format::named(format).map_err(PyValueError::new_err)?;
        let style = if colour { Style::Coloured } else { Style::Plain };
        render::weights(&self.0, format, &Context { style, ..Context::default() }).map_err(crate::invalid)
    }
}

#[pymethods]
impl WeightSurvey {
    /// A survey of tensors with these names and shapes, in the order of the model.
    #[new]
    #[pyo3(signature = (shapes, *, spectrum = true))]
    fn new(shapes: Vec<(String, Vec<usize>)>, spectrum: bool) -> PyResult<Self> {
        Survey::new(shapes, true, spectrum).map(Some).map(Self).map_err(failed)
    }

    /// Takes in one tensor of floating-point numbers.
    fn add(&mut self, py: Python<'_>, name: &str, tensor: &Bound<'_, PyAny>) -> PyResult<()> {
        let survey = self.0.as_mut().ok_or_else(finished)?;
        let values = Tensor::from(tensor)?.values();
        py.detach(|| survey.add(name, &values)).map_err(failed)
    }

    /// Notes a tensor of other numbers.
    fn skip(&mut self, name: &str) -> PyResult<()> {
        self.0.as_mut().ok_or_else(finished)?.skip(name);
        Ok(())
    }

    /// What was found; the survey is over. `source` is the name of the file or the model.
    fn report(&mut self, source: &str) -> PyResult<Weights> {
        Ok(Weights(self.0.take().ok_or_else(finished)?.report(source)))
    }
}

fn finished() -> PyErr {
    PyRuntimeError::new_err("this survey is over; start another one")
}

fn failed(error: WeightError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
