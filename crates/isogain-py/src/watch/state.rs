//! What is known of the step that runs now.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

use isogain_core::online::schedule::Measure;
use isogain_core::online::{Description, Online, Operation, OperationKind};
use isogain_core::record::{Recorder, Snapshot, TensorKind};
use isogain_core::statistics::{ExponentHistogram, Moments};

use crate::tensor::Tensor;

/// Most problems that are remembered by name.
const MOST_PROBLEMS: usize = 100;

/// Which tensors a statistic is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistic {
    Weight,
    Gradient,
    /// What changed since the weight was kept.
    Update,
    /// The same, handed over as a tensor of its own.
    Change,
    Activation,
    Cotangent,
}

impl Statistic {
    pub(crate) fn named(name: &str) -> PyResult<Self> {
        Ok(match name {
            "weight" => Self::Weight,
            "gradient" => Self::Gradient,
            "update" => Self::Update,
            "change" => Self::Change,
            "activation" => Self::Activation,
            "cotangent" => Self::Cotangent,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "no statistic is named {name:?}; known: weight, gradient, update, change, activation, cotangent"
                )));
            }
        })
    }
}

/// A module.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) kind: OperationKind,
    pub(crate) through: bool,
    /// Seen where everything is measured only: no hook of its own is there.
    pub(crate) functional: bool,
    /// Calls in the pass that runs, and calls made again by checkpointing.
    pub(crate) calls: usize,
    pub(crate) replays: usize,
    pub(crate) pass: u64,
    /// Its slots by call.
    pub(crate) slots: Vec<usize>,
    pub(crate) off: bool,
}

/// A module at one of its calls.
pub(crate) struct Slot {
    pub(crate) module: usize,
    pub(crate) name: String,
    pub(crate) activation: Moments,
    pub(crate) cotangent: Moments,
    /// Pass in which each was last taken: a second time in the same pass is a repetition.
    pub(crate) forward_pass: u64,
    pub(crate) backward_pass: u64,
    pub(crate) reads_previous: bool,
    /// What is measured where only layers are.
    pub(crate) wants: [bool; 2],
    pub(crate) narrow: bool,
    pub(crate) units: Option<Units>,
    pub(crate) taps: Vec<Py<super::tap::Back>>,
}

/// Units of an activation in the last batch that was measured in full.
#[derive(Clone, Copy, Default)]
pub(crate) struct Units {
    pub(crate) units: usize,
    pub(crate) dead: usize,
    pub(crate) saturated: f64,
    pub(crate) samples: usize,
}

/// A parameter.
#[derive(Default)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) weight: Moments,
    pub(crate) gradient: Moments,
    pub(crate) update: Moments,
    /// The weight before the update, at steps where updates are measured.
    pub(crate) before: Vec<u8>,
}

pub(crate) struct State {
    pub(crate) level: Measure,
    pub(crate) scale: f64,
    /// Processes that share a batch: each one's loss is a mean over its part, the gradient the mean over processes.
    pub(crate) processes: usize,
    pub(crate) in_backward: Option<Py<PyAny>>,
    pub(crate) modules: Vec<Module>,
    /// In the order in which they ran first.
    pub(crate) slots: Vec<Slot>,
    pub(crate) parameters: Vec<Parameter>,
    /// Forward passes so far, each ended by a backward pass. A step has several where gradients accumulate.
    pub(crate) pass: u64,
    pub(crate) backward_seen: bool,
    /// The first pass of the step.
    pub(crate) first_pass: u64,
    /// Address and size of the last output, to see what reads it.
    pub(crate) last_output: Option<(usize, usize)>,
    /// Whether units stand along axis 1, as in what a convolution returned last.
    pub(crate) channels_first: bool,
    pub(crate) batch: usize,
    pub(crate) input: Option<Moments>,
    pub(crate) repeated: u64,
    pub(crate) problems: Vec<(String, String)>,
    pub(crate) description: Option<Description>,
    pub(crate) online: Option<Online>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) notes: Vec<String>,
    pub(crate) writes: bool,
    pub(crate) judged: u64,
    pub(crate) told: Told,
    /// Whether histograms are taken at this step, and those that were. Of parameters and operations by place.
    pub(crate) takes_histograms: bool,
    pub(crate) histograms: BTreeMap<(TensorKind, usize), ExponentHistogram>,
    pub(crate) snapshot: Option<Snapshot>,
    /// The step at which a run that is recorded already goes on.
    pub(crate) resumes_at: Option<u64>,
}

/// Losses told of the step that runs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Told {
    pub(crate) sum: f64,
    pub(crate) count: u64,
}

impl Told {
    /// Their sum or their mean; `None` where none was told.
    pub(crate) fn loss(self, adds: bool) -> Option<f64> {
        (self.count > 0).then(|| if adds { self.sum } else { self.sum / self.count as f64 })
    }
}

impl State {
    pub(crate) fn new(folder: Option<PathBuf>, in_backward: Option<Py<PyAny>>) -> Self {
        Self {
            level: Measure::Nothing,
            scale: 1.0,
            processes: 1,
            in_backward,
            modules: Vec::new(),
            slots: Vec::new(),
            parameters: Vec::new(),
            pass: 1,
            backward_seen: false,
            first_pass: 1,
            last_output: None,
            channels_first: false,
            batch: 0,
            input: None,
            repeated: 0,
            problems: Vec::new(),
            description: None,
            online: None,
            folder,
            recorder: None,
            notes: Vec::new(),
            writes: true,
            judged: 0,
            told: Told::default(),
            takes_histograms: false,
            histograms: BTreeMap::new(),
            snapshot: None,
            resumes_at: None,
        }
    }

    pub(crate) fn add_module(&mut self, name: &str, kind: OperationKind, through: bool, functional: bool) -> usize {
        self.modules.push(Module {
            name: name.into(),
            kind,
            through,
            functional,
            calls: 0,
            replays: 0,
            pass: 0,
            slots: Vec::new(),
            off: false,
        });
        self.modules.len() - 1
    }

    pub(crate) fn set_parameters(&mut self, names: Vec<String>) {
        self.parameters = names.into_iter().map(|name| Parameter { name, ..Parameter::default() }).collect();
    }

    pub(crate) fn add_parameter(&mut self, name: &str) -> usize {
        self.parameters.push(Parameter { name: name.into(), ..Parameter::default() });
        self.parameters.len() - 1
    }

    pub(crate) fn begin(&mut self, level: Measure, scale: f64) {
        self.load(level, scale);
        self.pass += 1;
        self.first_pass = self.pass;
        self.backward_seen = false;
        self.last_output = None;
    }

    pub(crate) fn load(&mut self, level: Measure, scale: f64) {
        (self.level, self.scale) = (level, scale);
        self.histograms.clear();
        for slot in &mut self.slots {
            (slot.activation, slot.cotangent, slot.units) = (Moments::default(), Moments::default(), None);
        }
        for parameter in &mut self.parameters {
            let empty = Moments::default();
            (parameter.weight, parameter.gradient, parameter.update) = (empty, empty, empty);
        }
    }

    /// The slot of a module's call, made at its first.
    pub(crate) fn slot(&mut self, module: usize, call: usize) -> usize {
        while self.modules[module].slots.len() <= call {
            let of = &mut self.modules[module];
            let call = of.slots.len();
            let name = if call == 0 { of.name.clone() } else { format!("{}#{call}", of.name) };
            of.slots.push(self.slots.len());
            self.slots.push(Slot {
                module,
                name,
                activation: Moments::default(),
                cotangent: Moments::default(),
                forward_pass: 0,
                backward_pass: 0,
                reads_previous: false,
                wants: [true, true],
                narrow: false,
                units: None,
                taps: Vec::new(),
            });
        }
        self.modules[module].slots[call]
    }

    pub(crate) fn problem(&mut self, name: &str, reason: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push((name.into(), reason));
        }
    }

    fn parameter(&mut self, place: usize) -> PyResult<&mut Parameter> {
        let count = self.parameters.len();
        let message = || PyIndexError::new_err(format!("parameter {place} of {count}"));
        self.parameters.get_mut(place).ok_or_else(message)
    }

    /// Statistics of one tensor; `scaled` ones are still multiplied with the loss scale.
    pub(crate) fn read(
        &mut self,
        which: Statistic,
        place: usize,
        tensor: &Tensor<'_>,
        keep: bool,
        scaled: bool,
    ) -> PyResult<()> {
        match which {
            Statistic::Activation | Statistic::Cotangent => self.put(which, place, tensor.moments()),
            Statistic::Gradient => {
                let moments = self.moments(TensorKind::Gradient, place, tensor, if scaled { self.scale } else { 1.0 });
                self.parameter(place)?.gradient = moments;
                Ok(())
            }
            Statistic::Weight => {
                let moments = self.moments(TensorKind::Weight, place, tensor, 1.0);
                let parameter = self.parameter(place)?;
                parameter.weight = moments;
                if keep {
                    tensor.keep(&mut parameter.before);
                }
                Ok(())
            }
            Statistic::Update => {
                let parameter = self.parameter(place)?;
                parameter.update = tensor.change(&parameter.before).unwrap_or_default();
                parameter.before.clear();
                Ok(())
            }
            Statistic::Change => self.put(which, place, tensor.moments()),
        }
    }

    pub(crate) fn unscale(&mut self, place: usize) -> PyResult<()> {
        let factor = 1.0 / self.scale;
        let parameter = self.parameter(place)?;
        parameter.gradient = parameter.gradient.scaled(factor);
        Ok(())
    }

    pub(crate) fn put(&mut self, which: Statistic, place: usize, moments: Moments) -> PyResult<()> {
        let count = self.slots.len();
        let slot = |state: &mut Self| -> PyResult<usize> {
            if place < state.slots.len() {
                Ok(place)
            } else {
                Err(PyIndexError::new_err(format!("operation {place} of {count}")))
            }
        };
        match which {
            Statistic::Weight => self.parameter(place)?.weight = moments,
            Statistic::Gradient => self.parameter(place)?.gradient = moments,
            Statistic::Update | Statistic::Change => self.parameter(place)?.update = moments,
            Statistic::Activation => {
                let at = slot(self)?;
                self.slots[at].activation.merge(&moments);
            }
            Statistic::Cotangent => {
                let at = slot(self)?;
                self.slots[at].cotangent.merge(&moments);
            }
        }
        Ok(())
    }

    pub(crate) fn names(&self, which: Statistic) -> Vec<String> {
        match which {
            Statistic::Weight | Statistic::Gradient | Statistic::Update | Statistic::Change => {
                self.parameters.iter().map(|parameter| parameter.name.clone()).collect()
            }
            Statistic::Activation | Statistic::Cotangent => self.slots.iter().map(|slot| slot.name.clone()).collect(),
        }
    }

    pub(crate) fn calls(&self) -> Vec<usize> {
        self.modules.iter().map(|module| if module.through { 0 } else { module.slots.len() }).collect()
    }

    pub(crate) fn drop_functional(&mut self) {
        let dropped: Vec<usize> = (0..self.modules.len()).filter(|&at| self.modules[at].functional).collect();
        for module in dropped {
            self.modules[module].off = true;
            for slot in std::mem::take(&mut self.modules[module].slots) {
                let of = &mut self.slots[slot];
                (of.activation, of.cotangent, of.units) = (Moments::default(), Moments::default(), None);
            }
        }
    }

    pub(crate) fn is_described(&self) -> bool {
        self.online.is_some()
    }

    /// Completes the description by the operations that ran, and decides what is enough where layers are measured only:
    /// the cotangent behind each linear operation, and the activation that leaves its layer.
    pub(crate) fn describe(&mut self, mut description: Description) {
        let weights: HashMap<&str, Moments> =
            self.parameters.iter().map(|parameter| (parameter.name.as_str(), parameter.weight)).collect();
        let operation = |slot: &Slot| {
            let mut kind = self.modules[slot.module].kind.clone();
            match &mut kind {
                OperationKind::Linear { weight, .. } | OperationKind::Convolution { weight, .. } => {
                    *weight = weights.get(format!("{}.weight", slot.name).as_str()).copied().unwrap_or_default();
                }
                _ => {}
            }
            Operation { name: slot.name.clone(), kind, reads_previous: slot.reads_previous }
        };
        description.operations = self.slots.iter().map(operation).collect();
        if description.batch == 0 {
            description.batch = self.batch;
        }
        description.passes = (self.pass - self.first_pass + 1) as usize;
        if description.input.is_none() {
            description.input = self.input;
        }
        self.choose_thin_taps(&description);
        self.online = Some(Online::new(description.clone()));
        self.description = Some(description);
    }

    fn choose_thin_taps(&mut self, description: &Description) {
        let inside = |at: usize| {
            description.operations.get(at).is_some_and(|operation| {
                operation.reads_previous
                    && !self.modules[self.slots[at].module].functional
                    && matches!(operation.kind, OperationKind::Activation { .. } | OperationKind::Norm { .. })
            })
        };
        let wants: Vec<[bool; 2]> = (0..self.slots.len()).map(|at| [!inside(at + 1), !inside(at)]).collect();
        for (slot, wants) in self.slots.iter_mut().zip(wants) {
            slot.wants = wants;
        }
    }

    pub(crate) fn needed(&self) -> Vec<usize> {
        let needs = |module: &Module| module.slots.iter().any(|&slot| self.slots[slot].wants != [false, false]);
        let hooked = |module: &Module| !module.through && !module.functional;
        (0..self.modules.len()).filter(|&at| hooked(&self.modules[at]) && needs(&self.modules[at])).collect()
    }
}
