//! The native half of the Python package `isogain`: tensors in, plain data out. Thin: what is measured, what it means and
//! what to try is decided in `isogain-core`, and what touches a framework is Python.

use pyo3::prelude::*;

mod check;
mod dlpack;
mod init;
mod record;
mod tensor;
mod trials;
mod watch;
mod weights;

/// What the package's Python half calls.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::check::Checked;
    #[pymodule_export]
    use super::init::{activation, activations, initializer, initializers};
    #[pymodule_export]
    use super::record::{RecordedRun, compare, explain};
    #[pymodule_export]
    use super::tensor::statistics;
    #[pymodule_export]
    use super::trials::{Cured, RandomSearch, Schedule, best_first, learning_rates, trial_report};
    #[pymodule_export]
    use super::watch::{Tap, Watch};
    #[pymodule_export]
    use super::weights::{WeightSurvey, Weights};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}

/// What was asked for does not hold together.
fn invalid(error: impl std::fmt::Display) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(error.to_string())
}
