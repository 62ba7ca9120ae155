//! The native half of `isogain.watch` and `isogain.Recorder`: statistics of many tensors in one call, records of steps,
//! the run on disk, and findings as they appear. Python decides when to look and holds all hooks.

mod histograms;
mod resume;
mod run;
mod state;
mod tap;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyFloat, PyList};

use isogain_core::online::schedule::{self, Measure};
use isogain_core::record::Snapshot;
use isogain_core::record::cadence::is_written;
use isogain_core::statistics::{ExponentHistogram, Moments};

use crate::check::Checked;
use crate::tensor::Tensor;
use state::{State, Statistic};
pub(crate) use tap::Tap;

/// What hooks and the watcher share.
pub(crate) type Shared = Arc<Mutex<State>>;

/// Lets go of the interpreter while it waits: the thread that has the state may itself wait for the interpreter.
pub(crate) fn lock<'a>(py: Python<'_>, shared: &'a Shared) -> MutexGuard<'a, State> {
    // A panic while it was held left statistics incomplete, not unsound.
    shared.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
}

/// One watched run.
#[pyclass(frozen, module = "isogain._core")]
pub(crate) struct Watch {
    shared: Shared,
}

/// One finding as Python gets it: JSON, the alarm's text, and the level's word.
type Told = (String, String, String);

#[pymethods]
impl Watch {
    /// `run` is the folder of the record, if one is wanted; `in_backward` is called without arguments and tells whether
    /// a backward pass is running.
    #[new]
    #[pyo3(signature = (run = None, in_backward = None))]
    fn new(run: Option<PathBuf>, in_backward: Option<Py<PyAny>>) -> Self {
        Self { shared: Arc::new(Mutex::new(State::new(run, in_backward))) }
    }

    /// How much of a step is measured: 0 nothing but the loss, 1 layers, 2 everything.
    #[staticmethod]
    #[pyo3(signature = (step, every = None))]
    fn level(step: u64, every: Option<u64>) -> u8 {
        schedule::measure(step, every) as u8
    }

    /// The first step from `step` on that is measured, or one before it that is not.
    #[staticmethod]
    #[pyo3(signature = (step, every = None))]
    fn next_measured(step: u64, every: Option<u64>) -> u64 {
        schedule::next_measured(step, every)
    }

    /// Whether the record's cadence writes `step`, whatever happens at it.
    #[staticmethod]
    fn is_written(step: u64) -> bool {
        is_written(step, u64::MAX)
    }

    /// A module to be tapped; `operation` is JSON: `{"kind": "linear", ...}`. One that is `through` is no operation of
    /// the record: it only hands its input on (dropout, pooling). One that is `functional` is no module: it is seen
    /// where everything is measured.
    #[pyo3(signature = (name, operation, through = false, functional = false))]
    fn tap(&self, py: Python<'_>, name: &str, operation: &str, through: bool, functional: bool) -> PyResult<Tap> {
        let kind = serde_json::from_str(operation).map_err(|error| invalid(&error))?;
        Ok(Tap::new(self.shared.clone(), lock(py, &self.shared).add_module(name, kind, through, functional)))
    }

    /// Names of the parameters, in the order in which they are handed over later.
    fn parameters(&self, py: Python<'_>, names: Vec<String>) {
        lock(py, &self.shared).set_parameters(names);
    }

    /// One more parameter; returns its place.
    fn add_parameter(&self, py: Python<'_>, name: &str) -> usize {
        lock(py, &self.shared).add_parameter(name)
    }

    /// An operation that no hook sees, whose statistics are handed over; returns its place. `operation` as in
    /// [`Self::tap`]; `reads_previous` says that its input is the output of the operation added before it.
    fn add_operation(&self, py: Python<'_>, name: &str, operation: &str, reads_previous: bool) -> PyResult<usize> {
        let kind = serde_json::from_str(operation).map_err(|error| invalid(&error))?;
        let mut state = lock(py, &self.shared);
        let module = state.add_module(name, kind, false, false);
        let slot = state.slot(module, 0);
        state.slots[slot].reads_previous = reads_previous;
        Ok(slot)
    }

    /// Begins a step; `level` as in [`Self::level`], `scale` is the loss scale.
    fn begin(&self, py: Python<'_>, level: u8, scale: f64) {
        lock(py, &self.shared).begin(measure(level), scale);
    }

    /// Tells the loss scale of the cotangents to come.
    fn set_scale(&self, py: Python<'_>, scale: f64) {
        lock(py, &self.shared).scale = scale;
    }

    /// Statistics of tensors that belong to parameters: `which` is `weight`, `gradient` or `update` (the change since
    /// `keep`). `None` in the list is skipped. `scaled` gradients are still multiplied with the loss scale. Returns the
    /// places of tensors that could not be read, with the reason.
    #[pyo3(signature = (which, places, tensors, keep = false, scaled = false))]
    fn read(
        &self,
        py: Python<'_>,
        which: &str,
        places: Vec<usize>,
        tensors: &Bound<'_, PyList>,
        keep: bool,
        scaled: bool,
    ) -> PyResult<Vec<(usize, String)>> {
        let which = Statistic::named(which)?;
        let mut failed = Vec::new();
        let mut state = lock(py, &self.shared);
        for (place, tensor) in places.into_iter().zip(tensors.iter()) {
            if tensor.is_none() {
                continue;
            }
            match Tensor::from(&tensor) {
                Ok(tensor) => {
                    state.read(which, place, &tensor, keep, scaled)?;
                    if scaled && state.scale != 1.0 {
                        state.unscale(place)?;
                    }
                }
                Err(error) => failed.push((place, error.to_string())),
            }
        }
        Ok(failed)
    }

    /// Clears what was measured of the last step, to hand over that of an earlier one by [`Self::put`]; passes that run
    /// are left alone.
    fn load(&self, py: Python<'_>, level: u8, scale: f64) {
        lock(py, &self.shared).load(measure(level), scale);
    }

    /// Hands over statistics that were computed elsewhere (on a device): rows of count, sum, sum of squares, zeros,
    /// non-finite, minimum, maximum, largest magnitude.
    fn put(&self, py: Python<'_>, which: &str, places: Vec<usize>, rows: Vec<[f64; 8]>) -> PyResult<()> {
        let which = Statistic::named(which)?;
        let mut state = lock(py, &self.shared);
        for (place, row) in places.into_iter().zip(rows) {
            state.put(which, place, from_row(&row))?;
        }
        Ok(())
    }

    /// Whether histograms are taken at the step that begins.
    fn take_histograms(&self, py: Python<'_>, takes: bool) {
        lock(py, &self.shared).takes_histograms = takes;
    }

    /// Whether histograms are taken at this step.
    fn takes_histograms(&self, py: Python<'_>) -> bool {
        lock(py, &self.shared).takes_histograms
    }

    /// The histograms of this process as one vector of fixed layout, to be summed; arguments as of [`Self::export`].
    fn export_histograms(&self, py: Python<'_>, calls: Vec<usize>, counted: Vec<bool>) -> Vec<f64> {
        lock(py, &self.shared).export_histograms(&calls, &counted)
    }

    /// Takes the vector of [`Self::export_histograms`] back, summed over all processes.
    fn import_histograms(&self, py: Python<'_>, calls: Vec<usize>, counts: Vec<f64>) -> PyResult<()> {
        lock(py, &self.shared).import_histograms(&calls, &counts).map_err(PyValueError::new_err)
    }

    /// Hands over the histogram of a tensor's binary exponents that was counted elsewhere: 256 counts. `which` is as in
    /// [`Self::read`], and the values are yet to be divided by `divided_by`.
    #[pyo3(signature = (which, place, counts, divided_by = 1.0))]
    fn put_histogram(
        &self,
        py: Python<'_>,
        which: &str,
        place: usize,
        counts: [u64; 256],
        divided_by: f64,
    ) -> PyResult<()> {
        if let Some(kind) = Statistic::named(which)?.kind() {
            let histogram = ExponentHistogram::from_counts(counts);
            lock(py, &self.shared).put_histogram(kind, place, &histogram, divided_by);
        }
        Ok(())
    }

    /// Stops measuring for a pass that is none of the training's; returns what [`Self::resume`] needs to go on.
    fn pause(&self, py: Python<'_>) -> u8 {
        std::mem::replace(&mut lock(py, &self.shared).level, Measure::Nothing) as u8
    }

    /// Goes on after [`Self::pause`].
    fn resume(&self, py: Python<'_>, level: u8) {
        lock(py, &self.shared).level = measure(level);
    }

    /// Hands over what a check found on a batch at this step, for its record.
    fn put_snapshot(&self, py: Python<'_>, step: u64, checked: &Checked) {
        lock(py, &self.shared).snapshot = Some(Snapshot { step, ..checked.start().clone() });
    }

    /// Units of a slot that are zero on every one of so many samples.
    fn put_units(&self, py: Python<'_>, slot: usize, units: usize, dead: usize, samples: usize) {
        let mut state = lock(py, &self.shared);
        if let Some(slot) = state.slots.get_mut(slot) {
            slot.units = Some(state::Units { units, dead, saturated: f64::NAN, samples });
        }
    }

    /// Names of the places of a statistic; for the slots of operations, those seen so far.
    fn names(&self, py: Python<'_>, which: &str) -> PyResult<Vec<String>> {
        Ok(lock(py, &self.shared).names(Statistic::named(which)?))
    }

    /// What this process measured, as two vectors of fixed layout: one to be summed over processes, one of which the
    /// maximum is to be taken. `counted` says of each parameter whether this process's part of it counts; `calls` gives
    /// for each module the calls that all processes have in common.
    fn export(&self, py: Python<'_>, calls: Vec<usize>, counted: Vec<bool>) -> (Vec<f64>, Vec<f64>) {
        lock(py, &self.shared).export(&calls, &counted)
    }

    /// Takes the vectors of [`Self::export`] back, summed and maximised over all processes.
    fn import_(&self, py: Python<'_>, calls: Vec<usize>, sums: Vec<f64>, maxima: Vec<f64>) -> PyResult<()> {
        lock(py, &self.shared).import(&calls, &sums, &maxima).map_err(PyValueError::new_err)
    }

    /// How often each module was called in one pass of this step.
    fn calls(&self, py: Python<'_>) -> Vec<usize> {
        lock(py, &self.shared).calls()
    }

    /// Forgets the activations that are no modules, which the processes of a training do not have in common.
    fn drop_functional(&self, py: Python<'_>) {
        lock(py, &self.shared).drop_functional();
    }

    /// Places of modules that must be tapped where layers are measured only; known once a step was measured in full.
    fn needed(&self, py: Python<'_>) -> Vec<usize> {
        lock(py, &self.shared).needed()
    }

    /// Whether the network was described.
    fn is_described(&self, py: Python<'_>) -> bool {
        lock(py, &self.shared).is_described()
    }

    /// Describes the network and the training; the operations are added from what was seen. JSON.
    fn describe(&self, py: Python<'_>, description: &str) -> PyResult<()> {
        let description = serde_json::from_str(description).map_err(|error| invalid(&error))?;
        lock(py, &self.shared).describe(description);
        Ok(())
    }

    /// Ends the step, of which the loss may be unknown, and returns what is newly wrong. A step that an overflow
    /// `skipped` is recorded and not judged.
    #[pyo3(signature = (step, loss, learning_rate, skipped = false))]
    fn finish(&self, py: Python<'_>, step: u64, loss: Option<f64>, learning_rate: f64, skipped: bool) -> Vec<Told> {
        lock(py, &self.shared).finish(step, loss, learning_rate, skipped)
    }

    /// Takes note of a loss of this step, a number or a tensor of one on the CPU; false for what is neither.
    fn tell_loss(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> bool {
        let found = match value.cast::<PyFloat>() {
            Ok(number) => Some(number.value()),
            Err(_) => Tensor::from(value).ok().and_then(|tensor| tensor.single()),
        };
        let Some(loss) = found else { return false };
        let mut state = lock(py, &self.shared);
        (state.told.sum, state.told.count) = (state.told.sum + loss, state.told.count + 1);
        true
    }

    /// The mean of the losses told of this step, or their sum where they `add`; they are forgotten.
    fn take_loss(&self, py: Python<'_>, add: bool) -> Option<f64> {
        std::mem::take(&mut lock(py, &self.shared).told).loss(add)
    }

    /// Whether a loss was told of this step.
    fn has_loss(&self, py: Python<'_>) -> bool {
        lock(py, &self.shared).told.count > 0
    }

    /// Ends a step of which only the loss was wanted. True where that loss is worth a judgement: then nothing has ended.
    fn pass_by(&self, py: Python<'_>, step: u64, add: bool) -> bool {
        lock(py, &self.shared).pass_by(step, add)
    }

    /// A sentence for readers of the record.
    fn note(&self, py: Python<'_>, text: String) {
        lock(py, &self.shared).note(text);
    }

    /// Goes on with the run that the folder holds: at `step`, or after its last one. Returns the step. `parameters` are
    /// names and numbers of values of the model's, which must be those of the record.
    #[pyo3(signature = (parameters, step = None))]
    fn resume_run(&self, py: Python<'_>, parameters: Vec<(String, u64)>, step: Option<u64>) -> PyResult<u64> {
        lock(py, &self.shared).resume_run(&parameters, step).map_err(PyValueError::new_err)
    }

    /// Number of processes that share a batch.
    fn set_processes(&self, py: Python<'_>, processes: usize) {
        lock(py, &self.shared).processes = processes.max(1);
    }

    /// Samples of a batch and statistics of what enters the network, as JSON: parts of a description.
    fn seen(&self, py: Python<'_>) -> PyResult<String> {
        let state = lock(py, &self.shared);
        let input = serde_json::to_string(&state.input).map_err(|error| invalid(&error))?;
        Ok(format!("{{\"batch\": {}, \"input\": {input}}}", state.batch))
    }

    /// Whether this process writes the record; one of many does.
    fn writes(&self, py: Python<'_>, writes: bool) {
        lock(py, &self.shared).writes = writes;
    }

    /// Ends the record; returns once it is on disk.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(recorder) = lock(py, &self.shared).take_recorder() else { return Ok(()) };
        py.detach(|| run::finish(recorder)).map_err(|error| PyOSError::new_err(error.to_string()))
    }

    /// Backward passes through a graph that was passed before in the same step: their cotangents are not recorded.
    fn repeated(&self, py: Python<'_>) -> u64 {
        lock(py, &self.shared).repeated
    }

    /// Tensors that could not be read and calls that were not counted, since the start: `(name, reason)`.
    fn problems(&self, py: Python<'_>) -> Vec<(String, String)> {
        lock(py, &self.shared).problems.clone()
    }
}

fn measure(level: u8) -> Measure {
    match level {
        0 => Measure::Nothing,
        1 => Measure::Layers,
        _ => Measure::Everything,
    }
}

fn invalid(error: &serde_json::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

fn from_row(row: &[f64; 8]) -> Moments {
    let [count, sum, sum_of_squares, zeros, non_finite, min, max, abs_max] = *row;
    let has = count > non_finite;
    Moments {
        count: count as u64,
        sum,
        sum_of_squares,
        min: has.then_some(min),
        max: has.then_some(max),
        abs_max: if has { abs_max } else { 0.0 },
        zeros: zeros as u64,
        non_finite: non_finite as u64,
    }
}
