//! The native half of the Python package `isogain`: tensors in, plain data out. Thin: what is measured, what it means and
//! what to try is decided in `isogain-core`, and what touches a framework is Python.

use pyo3::prelude::*;

mod check;
mod dlpack;
mod init;
mod tensor;
mod trials;
mod watch;

/// What the package's Python half calls.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::check::Checked;
    #[pymodule_export]
    use super::init::{activation, activations, initializer, initializers};
    #[pymodule_export]
    use super::tensor::statistics;
    #[pymodule_export]
    use super::trials::{Cured, RandomSearch, Schedule, best_first, learning_rates, trial_report};
    #[pymodule_export]
    use super::watch::{Tap, Watch};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
