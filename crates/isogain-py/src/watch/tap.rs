//! What hooks call: the output of a module on the way forward, its cotangent on the way back.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use isogain_core::online::OperationKind;
use isogain_core::online::schedule::Measure;
use isogain_core::record::TensorKind;

use super::state::{State, Units};
use super::{Shared, lock};
use crate::tensor::Tensor;

/// Slope below which a bounded activation counts as saturated.
const SATURATED_SLOPE: f64 = 0.01;

/// The forward hook of one module, called with its input and its output.
#[pyclass(frozen, module = "isogain._core")]
pub(crate) struct Tap {
    shared: Shared,
    module: usize,
}

/// The hook before the backward pass of what returned a module's output.
#[pyclass(frozen, module = "isogain._core")]
pub(crate) struct Back {
    shared: Shared,
    slot: usize,
    output: usize,
}

/// What an operation reads.
#[derive(Clone, Copy)]
enum Reads<'a, 'py> {
    /// This.
    Tensor(Option<&'a Bound<'py, PyAny>>),
    /// The output of the operation that ran before it, or something else.
    Known(bool),
}

impl Tap {
    pub(crate) fn new(shared: Shared, module: usize) -> Self {
        Self { shared, module }
    }
}

#[pymethods]
impl Tap {
    /// Place of the module.
    #[getter]
    fn place(&self) -> usize {
        self.module
    }

    /// Takes the statistics of an output and arranges for those of its cotangent. Nothing that goes wrong here reaches
    /// the caller: the module is switched off and the reason kept.
    fn __call__(&self, py: Python<'_>, input: Option<&Bound<'_, PyAny>>, output: &Bound<'_, PyAny>) {
        let mut state = lock(py, &self.shared);
        if state.level == Measure::Nothing || state.modules[self.module].off {
            return;
        }
        if let Err(error) = self.see(py, &mut state, Reads::Tensor(input), output) {
            let name = state.modules[self.module].name.clone();
            state.modules[self.module].off = true;
            state.problem(&name, error.to_string());
        }
    }

    /// The same for an activation that is no module: whether it reads the output of the operation that ran before it is
    /// known from elsewhere.
    fn functional(&self, py: Python<'_>, reads_previous: bool, output: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut state = lock(py, &self.shared);
        if state.level != Measure::Everything {
            return Ok(());
        }
        self.see(py, &mut state, Reads::Known(reads_previous), output)
    }

    /// The slot of this call, where statistics are computed elsewhere (on a device); `None` for a call that does not
    /// count.
    fn slot(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let mut state = lock(py, &self.shared);
        if state.level == Measure::Nothing || state.modules[self.module].off || state.modules[self.module].through {
            return Ok(None);
        }
        state.call(py, self.module)
    }

    /// The slot whose cotangent comes next within a compiled program.
    fn back_slot(&self, py: Python<'_>) -> Option<usize> {
        lock(py, &self.shared).back_call(self.module)
    }

    /// Notes that the backward pass reached a slot; false for a second time in one pass.
    fn reached(&self, py: Python<'_>, slot: usize, half: bool) -> bool {
        let mut state = lock(py, &self.shared);
        state.backward_seen = true;
        let pass = state.pass;
        if state.slots[slot].backward_pass == pass {
            state.repeated += 1;
            return false;
        }
        (state.slots[slot].backward_pass, state.slots[slot].narrow) = (pass, half);
        true
    }

    /// What addresses and shapes tell of a slot; returns the axis of the units where they are to be counted.
    fn shaped(
        &self,
        py: Python<'_>,
        slot: usize,
        input: Option<(usize, usize)>,
        output: (usize, usize),
        shape: Vec<i64>,
    ) -> Option<usize> {
        lock(py, &self.shared).shaped(slot, input, output, &shape).map(|(axis, _)| axis)
    }

    /// Whether the activation and the cotangent of a slot are to be measured at this step.
    fn wants(&self, py: Python<'_>, slot: usize) -> (bool, bool) {
        let [forward, backward] = lock(py, &self.shared).wants(slot);
        (forward, backward)
    }

    /// Whether the module's units can be zero on every sample and stay so.
    #[getter]
    fn can_die(&self, py: Python<'_>) -> bool {
        let kind = &lock(py, &self.shared).modules[self.module].kind;
        matches!(kind, OperationKind::Activation { activation, .. } if activation == "relu")
    }

    /// The same for a tensor within a compiled program: its statistics only, forward or backward.
    fn compiled(&self, py: Python<'_>, tensor: &Bound<'_, PyAny>, backward: bool) {
        let mut state = lock(py, &self.shared);
        if state.level == Measure::Nothing || state.modules[self.module].off {
            return;
        }
        let found = if backward {
            state.backward_seen = true;
            state.back_call(self.module).map(|slot| state.cotangent(slot, tensor)).unwrap_or(Ok(()))
        } else {
            match state.call(py, self.module) {
                Ok(Some(slot)) => Tensor::from(tensor).map(|tensor| state.activation(slot, &tensor)),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            }
        };
        if let Err(error) = found {
            let name = state.modules[self.module].name.clone();
            state.modules[self.module].off = true;
            state.problem(&name, error.to_string());
        }
    }
}

impl Tap {
    fn see(&self, py: Python<'_>, state: &mut State, reads: Reads<'_, '_>, output: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some((output, grad_fn)) = first_with_gradient(output)? else { return Ok(()) };
        if state.modules[self.module].through {
            if let (Some((before, _)), Reads::Tensor(Some(input))) = (state.last_output, reads)
                && let (Ok(input), Ok(output)) = (Tensor::from(input), Tensor::from(&output))
                && input.address() == before
            {
                state.last_output = Some((output.address(), output.count()));
            }
            return Ok(());
        }
        let Some(slot) = state.call(py, self.module)? else { return Ok(()) };
        let wants = state.wants(slot);
        let everything = state.level == Measure::Everything;
        if wants[0] || everything {
            let tensor = Tensor::from(&output)?;
            if everything {
                state.structure(slot, reads, &tensor);
            }
            state.activation(slot, &tensor);
        }
        if wants[1] {
            let index: usize = output.getattr(intern!(py, "output_nr"))?.extract()?;
            let back = state.back(py, &self.shared, slot, index)?;
            grad_fn.call_method1(intern!(py, "register_prehook"), (back,))?;
        }
        Ok(())
    }
}

#[pymethods]
impl Back {
    fn __call__(&self, gradients: &Bound<'_, PyTuple>) {
        let mut state = lock(gradients.py(), &self.shared);
        state.backward_seen = true;
        let module = state.slots[self.slot].module;
        if state.level == Measure::Nothing || state.modules[module].off {
            return;
        }
        let found = gradients
            .get_item(self.output)
            .and_then(|gradient| if gradient.is_none() { Ok(()) } else { state.cotangent(self.slot, &gradient) });
        if let Err(error) = found {
            let name = state.slots[self.slot].name.clone();
            state.modules[module].off = true;
            state.problem(&name, error.to_string());
        }
    }
}

/// The first tensor of an output that has a history, with that history: nothing else takes part in training. Modules
/// return tensors, tuples and lists of them, and mappings (the outputs of language models).
fn first_with_gradient<'py>(output: &Bound<'py, PyAny>) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    let py = output.py();
    if let Some(grad_fn) = output.getattr_opt(intern!(py, "grad_fn"))? {
        return Ok((!grad_fn.is_none()).then(|| (output.clone(), grad_fn)));
    }
    if output.is_instance_of::<PyTuple>() || output.is_instance_of::<PyList>() {
        for part in output.try_iter()? {
            if let Some(found) = first_with_gradient(&part?)? {
                return Ok(Some(found));
            }
        }
    } else if output.is_instance_of::<PyDict>() {
        for part in output.call_method0(intern!(py, "values"))?.try_iter()? {
            if let Some(found) = first_with_gradient(&part?)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

impl State {
    /// The slot of this call; `None` for one that checkpointing makes again although it was seen.
    fn call(&mut self, py: Python<'_>, module: usize) -> PyResult<Option<usize>> {
        let mut replay = false;
        if self.backward_seen {
            replay = match &self.in_backward {
                Some(asks) => asks.call0(py)?.extract::<i64>(py)? != -1,
                None => false,
            };
            if !replay {
                self.pass += 1;
                self.backward_seen = false;
                self.last_output = None;
            }
        }
        let pass = self.pass;
        let of = &mut self.modules[module];
        if of.pass != pass {
            (of.pass, of.calls, of.replays) = (pass, 0, 0);
        }
        if replay {
            // Without a first call that had a history, this is the one that counts (reentrant checkpointing).
            if of.calls > 0 {
                return Ok(None);
            }
            of.replays += 1;
        } else {
            of.calls += 1;
        }
        let call = of.calls.max(of.replays) - 1;
        Ok(Some(self.slot(module, call)))
    }

    fn wants(&self, slot: usize) -> [bool; 2] {
        if self.level == Measure::Everything { [true, true] } else { self.slots[slot].wants }
    }

    /// Within a compiled program calls come back in the opposite order.
    fn back_call(&mut self, module: usize) -> Option<usize> {
        let pass = self.pass;
        let slots = &self.modules[module].slots;
        slots.iter().rev().copied().find(|&slot| self.slots[slot].backward_pass != pass)
    }

    fn activation(&mut self, slot: usize, tensor: &Tensor<'_>) {
        let moments = self.moments(TensorKind::Activation, slot, tensor, 1.0);
        let pass = self.pass;
        let slot = &mut self.slots[slot];
        slot.forward_pass = pass;
        slot.activation.merge(&moments);
    }

    fn cotangent(&mut self, slot: usize, gradient: &Bound<'_, PyAny>) -> PyResult<()> {
        let (pass, scale) = (self.pass, self.scale * self.processes as f64);
        if self.slots[slot].backward_pass == pass {
            // A second backward pass through the same graph: its values are another quantity, not a part of this one.
            self.repeated += 1;
            return Ok(());
        }
        let tensor = Tensor::from(gradient)?;
        let moments = self.moments(TensorKind::Cotangent, slot, &tensor, scale);
        let slot = &mut self.slots[slot];
        slot.backward_pass = pass;
        slot.narrow = tensor.is_half();
        slot.cotangent.merge(&if scale == 1.0 { moments } else { moments.scaled(1.0 / scale) });
        Ok(())
    }

    fn back(&mut self, py: Python<'_>, shared: &Shared, slot: usize, output: usize) -> PyResult<Py<Back>> {
        let made = &mut self.slots[slot].taps;
        while made.len() <= output {
            made.push(Py::new(py, Back { shared: shared.clone(), slot, output: made.len() })?);
        }
        Ok(made[output].clone_ref(py))
    }

    /// What an output in this process's memory tells of itself.
    fn structure(&mut self, slot: usize, reads: Reads<'_, '_>, tensor: &Tensor<'_>) {
        let place = |tensor: &Tensor<'_>| (tensor.address(), tensor.count());
        let read = match reads {
            Reads::Known(reads_previous) => self.last_output.filter(|_| reads_previous),
            Reads::Tensor(input) => {
                let input = input.and_then(|input| Tensor::from(input).ok());
                if let (0, Some(input), None) = (slot, &input, &self.input) {
                    self.input = Some(input.moments());
                }
                input.as_ref().map(place)
            }
        };
        let of = self.shaped(slot, read, place(tensor), tensor.shape());
        self.slots[slot].units = of.map(|(axis, activation)| {
            let units = tensor.shape()[axis].max(1) as usize;
            let dead = if activation == "relu" { tensor.zero_slots(axis) } else { 0 };
            Units { units, dead, saturated: saturated(&activation, tensor), samples: tensor.count() / units }
        });
    }

    /// What addresses, sizes and shape tell: who reads whom, samples, and of an activation the axis of its units and
    /// its name.
    fn shaped(
        &mut self,
        slot: usize,
        input: Option<(usize, usize)>,
        output: (usize, usize),
        shape: &[i64],
    ) -> Option<(usize, String)> {
        if slot == 0 {
            self.batch = shape.first().map_or(1, |&size| size.max(1) as usize);
        }
        self.slots[slot].reads_previous = input.is_some() && input == self.last_output;
        self.last_output = Some(output);
        let kind = &self.modules[self.slots[slot].module].kind;
        if let OperationKind::Linear { fan_out, .. } | OperationKind::Convolution { fan_out, .. } = kind {
            self.channels_first = shape.len() > 2 && shape.last() != Some(&(*fan_out as i64));
        }
        let channels = shape.len() > 3 || (self.channels_first && shape.len() > 1);
        let axis = if channels { 1 } else { shape.len().checked_sub(1)? };
        match kind {
            OperationKind::Activation { activation, .. } => Some((axis, activation.clone())),
            _ => None,
        }
    }
}

/// Share of the outputs of a bounded activation at which its slope is below [`SATURATED_SLOPE`]; NaN for the others.
fn saturated(activation: &str, output: &Tensor<'_>) -> f64 {
    let slope = match activation {
        "sigmoid" => |y: f64| y * (1.0 - y),
        "tanh" => |y: f64| 1.0 - y * y,
        _ => return f64::NAN,
    };
    let values = output.values();
    let values = values.to_f64();
    let flat = values.iter().filter(|&&y| slope(y) < SATURATED_SLOPE).count();
    flat as f64 / values.len().max(1) as f64
}
