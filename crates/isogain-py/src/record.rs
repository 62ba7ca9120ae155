//! Recorded runs, and the pages of rules and remedies: what the command line shows.

use std::path::{Path, PathBuf};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use isogain_core::recipe::Level;
use isogain_core::record::compare::compare as side_by_side;
use isogain_core::record::export::{csv, json, parquet, tensorboard};
use isogain_core::record::{RecordError, Run, import};
use isogain_core::render::{self, Context, Format, Style};

/// A run that was recorded, finished or not.
#[pyclass(frozen, module = "isogain._core")]
pub(crate) struct RecordedRun {
    run: Run,
    name: String,
}

#[pymethods]
impl RecordedRun {
    /// Name of the file that TensorBoard takes its events from.
    #[classattr]
    const EVENTS: &'static str = tensorboard::FILE_NAME;

    /// Reads the run in a folder, or in a file of its own; or the curves that another program wrote, as CSV or for
    /// TensorBoard.
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| opened(&path)).map(|(name, run)| Self { run, name })
    }

    /// Whether there is neither error nor warning.
    #[getter]
    fn ok(&self) -> bool {
        self.run.findings.iter().all(|finding| finding.level <= Level::Note)
    }

    /// The run as `text`, or as one `json` document.
    #[pyo3(signature = (format = "text", *, colour = false))]
    fn render(&self, format: &str, colour: bool) -> PyResult<String> {
        render::run::run(&self.name, &self.run, named(format)?, &context(colour)).map_err(crate::invalid)
    }

    /// The run as one page that opens offline.
    fn html(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| isogain_report::run_html(&self.run, &self.name)).map_err(crate::invalid)
    }

    /// The run as `csv` or `parquet`, one number a row, as `json`, or as events for `tensorboard`.
    fn export(&self, py: Python<'_>, to: &str) -> PyResult<Vec<u8>> {
        let mut written = Vec::new();
        py.detach(|| match to {
            "csv" => csv::to_csv(&self.run, &mut written).map_err(crate::invalid),
            "json" => json::to_json(&self.run, &mut written).map_err(crate::invalid),
            "parquet" => parquet::to_parquet(&self.run, &mut written).map_err(crate::invalid),
            "tensorboard" => tensorboard::to_tensorboard(&self.run, &mut written).map_err(crate::invalid),
            _ => Err(crate::invalid(format!("cannot export to '{to}'; known: csv, json, parquet, tensorboard"))),
        })?;
        Ok(written)
    }
}

/// Two or more runs side by side, as `text` or `json`.
#[pyfunction]
#[pyo3(signature = (paths, format = "text", *, colour = false))]
pub(crate) fn compare(py: Python<'_>, paths: Vec<PathBuf>, format: &str, colour: bool) -> PyResult<String> {
    let format = named(format)?;
    if paths.len() < 2 {
        return Err(PyValueError::new_err("a comparison needs two runs at least"));
    }
    py.detach(|| {
        let runs = paths.iter().map(|path| opened(path)).collect::<PyResult<Vec<_>>>()?;
        render::comparison::comparison(&side_by_side(&runs), format, &context(colour)).map_err(crate::invalid)
    })
}

/// The page of a rule or a remedy, or the list of all, as `text` or `json`.
#[pyfunction]
#[pyo3(signature = (name = None, format = "text"))]
pub(crate) fn explain(name: Option<&str>, format: &str) -> PyResult<String> {
    render::explain::explain(name, named(format)?).map_err(PyValueError::new_err)
}

fn opened(path: &Path) -> PyResult<(String, Run)> {
    let run = import::open(path).map_err(|error: RecordError| PyValueError::new_err(error.to_string()))?;
    Ok((path.display().to_string(), run))
}

fn named(format: &str) -> PyResult<Format> {
    Format::named(format).map_err(PyValueError::new_err)
}

fn context(colour: bool) -> Context<'static> {
    Context { style: if colour { Style::Coloured } else { Style::Plain }, ..Context::default() }
}
