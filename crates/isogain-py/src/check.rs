//! A traced model on one batch: the trace in, findings and prescriptions out.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Serialize;

use isogain_core::flow::Values;
use isogain_core::record::Snapshot;
use isogain_core::remedies::prediction::{Expectation, Prediction};
use isogain_core::render::{self, Context, Door, Format, Style};
use isogain_core::summary::CheckReport;
use isogain_core::traced::{Changes, Subject};

use crate::invalid;
use crate::tensor::Tensor;

/// A checked model.
#[pyclass(frozen, module = "isogain._core")]
pub(crate) struct Checked {
    subject: Subject,
    report: CheckReport,
}

/// One prescription in the words of an engine that has a model instead of a recipe.
#[derive(Serialize)]
struct Prescribed {
    remedies: Vec<String>,
    parameters: String,
    changes: Changes,
    /// The whole treated recipe, for the schedule of trials.
    recipe: isogain_core::recipe::Recipe,
}

impl Checked {
    /// The batch with full tensors at hand.
    pub(crate) fn start(&self) -> &Snapshot {
        &self.subject.start
    }
}

#[pymethods]
impl Checked {
    /// Reads a trace: its description as JSON, and the tensors that the description counts.
    #[new]
    fn new(py: Python<'_>, description: &str, tensors: Vec<Bound<'_, PyAny>>) -> PyResult<Self> {
        let values =
            tensors.iter().map(|tensor| Ok(Tensor::from(tensor)?.values())).collect::<PyResult<Vec<Values>>>()?;
        py.detach(|| {
            let subject = Subject::new(description, &values).map_err(invalid)?;
            let report = subject.report();
            Ok(Self { subject, report })
        })
    }

    /// The report as JSON: the document that `isogain check --format json` prints.
    fn json(&self) -> PyResult<String> {
        serde_json::to_string(&self.report).map_err(invalid)
    }

    /// The report in one of the formats `text`, `json`, `github`, `sarif`, `markdown`.
    #[pyo3(signature = (format = "text", *, colour = false))]
    fn render(&self, format: &str, colour: bool) -> PyResult<String> {
        let style = if colour { Style::Coloured } else { Style::Plain };
        let format = Format::named(format).map_err(PyValueError::new_err)?;
        render::check(&self.report, format, &Context { style, door: Door::Python, ..Context::default() })
            .map_err(invalid)
    }

    /// The report as one page that opens offline.
    fn html(&self) -> PyResult<String> {
        isogain_report::check_html(&self.report).map_err(invalid)
    }

    /// What to try, as JSON: a list of `{remedies, parameters, changes, recipe}`, the most promising first.
    fn prescriptions(&self) -> PyResult<String> {
        let prescribed: Vec<Prescribed> = self
            .subject
            .prescriptions(&self.report.findings)
            .into_iter()
            .map(|found| Prescribed {
                changes: self.subject.changes(&found.recipe),
                remedies: found.remedies,
                parameters: found.parameters,
                recipe: found.recipe,
            })
            .collect();
        serde_json::to_string(&prescribed).map_err(invalid)
    }

    /// What one batch says of how this model will train, as JSON.
    fn prediction(&self) -> PyResult<String> {
        let expected = Expectation {
            learning_rate: self.subject.recipe.optimizer.learning_rate,
            learning_rate_ceiling: None,
            trainable_depth: self.subject.limits.trainable_depth,
            rehearsal_rise: None,
            // One step of an optimizer is taken in the engine alone.
            potential: None,
        };
        let prediction = Prediction::new(&self.subject.start, &expected);
        let headline = prediction.headline();
        let mut found = serde_json::to_value(prediction).map_err(invalid)?;
        found["headline"] = headline.into();
        Ok(found.to_string())
    }

    /// The batch with full tensors at hand, as JSON: units, parameters, joints.
    fn snapshot(&self) -> PyResult<String> {
        serde_json::to_string(&self.subject.start).map_err(invalid)
    }
}
