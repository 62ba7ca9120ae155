//! Where an operation stands in a network: who watches its output, and where its parameters' gradients go.

use std::sync::Arc;

use burn::tensor::Tensor;
use isogain_core::record::Detail;

use super::batch_norm::BatchStatistics;
use super::buffer::{Buffer, primitive, tensor};
use super::collected::Collected;
use super::narrow::Narrow;
use crate::model::Value;
use crate::probe::Probes;

/// How the cotangent went back through the steps of a recurrent layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct ThroughTime {
    /// Of each state, first step first.
    pub(crate) states: Vec<Vec<f64>>,
    /// The ways from each state to the one before.
    pub(crate) paths: Vec<PathThroughTime>,
}

/// One of those ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathThroughTime {
    /// The gate's name.
    pub(crate) name: String,
    /// What it carries from each state but the first to the one before.
    pub(crate) cotangents: Vec<Vec<f64>>,
}

/// The place of one operation in one pass.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    name: Arc<str>,
    probes: Option<Probes>,
    collected: Collected,
    arithmetic: Arithmetic,
}

/// How a pass computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arithmetic {
    /// The 16-bit format that values are rounded to.
    pub(crate) narrow: Option<Narrow>,
    /// What the loss is multiplied with before the way back.
    pub(crate) loss_scale: f64,
    /// Whether operations are put together from Burn's own.
    pub(crate) is_stock: bool,
}

impl Default for Arithmetic {
    fn default() -> Self {
        Self { narrow: None, loss_scale: 1.0, is_stock: false }
    }
}

impl Site {
    /// The place of the operation of this name.
    pub(crate) fn new(name: &str, probes: Option<&Probes>, collected: &Collected) -> Self {
        Self {
            name: name.into(),
            probes: probes.cloned(),
            collected: collected.clone(),
            arithmetic: Arithmetic::default(),
        }
    }

    /// The same place in a pass that computes like this.
    pub(crate) fn with(self, arithmetic: Arithmetic) -> Self {
        Self { arithmetic, ..self }
    }

    /// A place in the same pass that nobody watches, and that has no parameters: inside of an operation made of several.
    pub(crate) fn unwatched(&self) -> Self {
        Self { probes: None, ..self.clone() }
    }

    /// Rounds what is stored here to the pass's format.
    pub(crate) fn round(&self, buffer: &mut Buffer) {
        if let Some(narrow) = self.arithmetic.narrow {
            narrow.round(buffer);
        }
    }

    /// Shows the operation's output to the probes.
    pub(crate) fn activation(&self, output: &Buffer) {
        if let Some(probes) = &self.probes {
            probes.keep_forward(&self.name, output);
        }
    }

    /// Shows the cotangent that arrived at the operation's output to the probes.
    pub(crate) fn cotangent(&self, cotangent: &Buffer) {
        if let Some(probes) = &self.probes {
            probes.keep_backward(&self.name, cotangent, self.arithmetic.loss_scale);
        }
    }

    /// What the loss is multiplied with before the way back.
    pub(crate) fn loss_scale(&self) -> f64 {
        self.arithmetic.loss_scale
    }

    /// Whether the operation is to be put together from Burn's own.
    pub(crate) fn is_stock(&self) -> bool {
        self.arithmetic.is_stock
    }

    /// Shows the output of an operation of Burn's own to the probes, and its cotangent once that is known.
    pub(crate) fn shown(&self, output: Tensor<2>) -> Tensor<2> {
        let Some(probes) = &self.probes else { return output };
        if !output.is_autodiff() {
            probes.keep_forward(&self.name, &primitive(output.clone()));
            return output;
        }
        let plain = output.clone().inner();
        let zeros = plain.zeros_like().autodiff().require_grad();
        self.collected.output(Arc::clone(&self.name), [plain, zeros.clone()]);
        output + zeros
    }

    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.probes.is_some()
    }

    /// Whether whole tensors are kept.
    pub(crate) fn keeps_values(&self) -> bool {
        self.probes.as_ref().is_some_and(Probes::keeps_values)
    }

    /// Hands out what the operation tells beside its output.
    pub(crate) fn detail(&self, detail: Detail) {
        if let Some(probes) = &self.probes {
            probes.keep_detail(&self.name, detail);
        }
    }

    /// Hands out how the cotangent went back through time.
    pub(crate) fn through_time(&self, mut through_time: ThroughTime) {
        if let Some(probes) = &self.probes {
            let paths = through_time.paths.iter_mut().flat_map(|path| &mut path.cotangents);
            for value in through_time.states.iter_mut().chain(paths).flatten() {
                *value /= self.arithmetic.loss_scale;
            }
            probes.keep_through_time(&self.name, through_time);
        }
    }

    /// Hands out the gradient of a weight `[fan_in, fan_out]`.
    pub(crate) fn matrix_gradient(&self, parameter: &str, mut gradient: Buffer) {
        self.round(&mut gradient);
        self.gradient(parameter, Value::Matrix(tensor(gradient)));
    }

    /// Hands out the gradient of a parameter `[features]`.
    pub(crate) fn vector_gradient(&self, parameter: &str, mut gradient: Buffer) {
        self.round(&mut gradient);
        self.gradient(parameter, Value::Vector(tensor(gradient)));
    }

    fn gradient(&self, parameter: &str, value: Value) {
        self.collected.gradient(format!("{}.{parameter}", self.name), value);
    }

    /// Hands out the statistics of a batch normalisation of so many values of each feature: means and variances
    /// `[1, features]` that are on another device.
    pub(super) fn statistics_of(&self, count: usize, both: [Tensor<2>; 2]) {
        self.collected.statistics_of(&self.name, count, both.map(Tensor::inner));
    }

    /// Hands out the statistics of a batch normalisation.
    pub(crate) fn statistics(&self, statistics: BatchStatistics) {
        self.collected.statistics(&self.name, statistics);
    }
}
