//! A network description made runnable: named parameters, running statistics, and the forward pass.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData, activation as tensor_activation, module};

use isogain_core::network::{Loss, Network, Norm, NormKind, Op, OpKind, Residual};
use isogain_core::recipe::Precision;

use crate::activation;
use crate::data::{Samples, Targets};
use crate::probe::Probes;

/// A parameter: a weight `[fan_in, fan_out]`, or a vector `[features]`.
#[derive(Clone, Debug)]
pub enum Value {
    /// A weight.
    Matrix(Tensor<2>),
    /// A bias, gain or scale.
    Vector(Tensor<1>),
}

impl Value {
    /// The values, row-major, as f64.
    pub fn to_f64(&self) -> Vec<f64> {
        to_f64(match self {
            Self::Matrix(tensor) => tensor.clone().into_data(),
            Self::Vector(tensor) => tensor.clone().into_data(),
        })
    }

    /// The same shape filled from row-major values.
    pub fn with(&self, values: &[f64], dtype: DType, device: &Device) -> Self {
        match self {
            Self::Matrix(tensor) => {
                let [rows, columns] = tensor.dims();
                Self::Matrix(matrix(values, rows, columns, dtype, device))
            }
            Self::Vector(_) => Self::Vector(vector(values, dtype, device)),
        }
    }

    /// On the tape, as a leaf that keeps its gradient.
    fn leaf(&self) -> Self {
        match self {
            Self::Matrix(tensor) => Self::Matrix(tensor.clone().autodiff().require_grad()),
            Self::Vector(tensor) => Self::Vector(tensor.clone().autodiff().require_grad()),
        }
    }
}

/// Row-major values as a tensor `[rows, columns]`.
pub(crate) fn matrix(values: &[f64], rows: usize, columns: usize, dtype: DType, device: &Device) -> Tensor<2> {
    Tensor::from_data(data(values, vec![rows, columns], dtype), (device, dtype))
}

/// Values as a tensor `[n]`.
pub(crate) fn vector(values: &[f64], dtype: DType, device: &Device) -> Tensor<1> {
    Tensor::from_data(data(values, vec![values.len()], dtype), (device, dtype))
}

fn data(values: &[f64], shape: Vec<usize>, dtype: DType) -> TensorData {
    if dtype == DType::F64 {
        TensorData::new(values.to_vec(), shape)
    } else {
        TensorData::new(values.iter().map(|&value| value as f32).collect::<Vec<f32>>(), shape)
    }
}

/// A tensor's data as f64, row-major.
pub(crate) fn to_f64(data: TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

/// Running mean and variance of a batch normalisation, for evaluation mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Per feature.
    pub mean: Vec<f64>,
    /// Per feature, unbiased.
    pub variance: Vec<f64>,
}

/// Weight of a new batch in the running statistics.
const RUNNING_MOMENTUM: f64 = 0.1;

/// A network with its parameters.
#[derive(Clone, Debug)]
pub struct Model {
    /// The description.
    pub network: Network,
    /// Every parameter by name, sorted.
    pub parameters: BTreeMap<String, Value>,
    /// Running statistics by norm operation.
    pub running: BTreeMap<String, Running>,
    /// Floating-point type of parameters and activations.
    pub dtype: DType,
    /// Where tensors live.
    pub device: Device,
}

/// Training or judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; running statistics follow.
    Train,
    /// Running statistics.
    Evaluate,
}

/// The floating-point type of a precision.
pub fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::F32 => DType::F32,
        Precision::F64 => DType::F64,
    }
}

/// The parameters of one pass: leaves on the tape, or the plain values.
pub struct Pass<'a> {
    parameters: BTreeMap<&'a str, Value>,
    probes: Option<&'a Probes>,
    mode: Mode,
    batch_statistics: Vec<(String, Tensor<2>, Tensor<2>)>,
}

impl Model {
    /// The same network with this other type and the same values.
    pub fn cast(&self, dtype: DType) -> Self {
        let parameters = self.parameters.iter();
        let parameters =
            parameters.map(|(name, value)| (name.clone(), value.with(&value.to_f64(), dtype, &self.device)));
        Self { parameters: parameters.collect(), dtype, ..self.clone() }
    }

    /// A pass on the tape: every parameter keeps its gradient.
    pub fn tracked<'a>(&'a self, probes: Option<&'a Probes>) -> Pass<'a> {
        let leaves = self.parameters.iter().map(|(name, value)| (name.as_str(), value.leaf())).collect();
        Pass { parameters: leaves, probes, mode: Mode::Train, batch_statistics: Vec::new() }
    }

    /// A pass without gradients.
    pub fn plain<'a>(&'a self, mode: Mode, probes: Option<&'a Probes>) -> Pass<'a> {
        let values = self.parameters.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        Pass { parameters: values, probes, mode, batch_statistics: Vec::new() }
    }

    /// Outputs `[batch, outputs]` of inputs `[batch, inputs]`.
    pub fn forward(&self, pass: &mut Pass<'_>, inputs: Tensor<2>) -> Tensor<2> {
        let inputs = pass.watch("input", inputs);
        self.run(&self.network.ops, pass, inputs)
    }

    fn run(&self, ops: &[Op], pass: &mut Pass<'_>, mut x: Tensor<2>) -> Tensor<2> {
        for op in ops {
            x = match &op.kind {
                OpKind::Linear(_) => {
                    module::linear(x, pass.matrix(&op.name, "weight"), Some(pass.vector(&op.name, "bias")))
                }
                OpKind::Activation { activation } => activation::apply(*activation, x),
                OpKind::Norm(norm) => self.normalise(&op.name, norm, pass, x),
                OpKind::Residual(residual) => self.residual(&op.name, residual, pass, x),
            };
            x = pass.watch(&op.name, x);
        }
        x
    }

    fn residual(&self, name: &str, residual: &Residual, pass: &mut Pass<'_>, x: Tensor<2>) -> Tensor<2> {
        let branch = pass.watch(&branch_joint(name), x.clone());
        let branch = self.run(&residual.branch, pass, branch);
        if residual.learnable {
            x + branch * pass.vector(name, "scale").unsqueeze::<2>()
        } else if residual.scale == 1.0 {
            x + branch
        } else {
            x + branch * residual.scale
        }
    }

    fn normalise(&self, name: &str, norm: &Norm, pass: &mut Pass<'_>, x: Tensor<2>) -> Tensor<2> {
        let gamma = pass.vector(name, "gamma").unsqueeze::<2>();
        let normal = match (norm.norm, pass.mode) {
            (NormKind::Batch, Mode::Evaluate) => {
                let running = &self.running[name];
                let mean = vector(&running.mean, self.dtype, &self.device).unsqueeze::<2>();
                let scale: Vec<f64> = running.variance.iter().map(|v| 1.0 / (v + norm.eps).sqrt()).collect();
                (x - mean) * vector(&scale, self.dtype, &self.device).unsqueeze::<2>()
            }
            (NormKind::Batch, Mode::Train) => {
                let (normal, mean, variance) = standardise(x, 0, norm.eps);
                pass.batch_statistics.push((name.to_string(), mean.inner(), variance.inner()));
                normal
            }
            (NormKind::Layer, _) => standardise(x, 1, norm.eps).0,
            (NormKind::Rms, _) => {
                let mean_square = (x.clone() * x.clone()).mean_dim(1);
                x / (mean_square + norm.eps).sqrt()
            }
        };
        match norm.norm {
            NormKind::Rms => normal * gamma,
            _ => normal * gamma + pass.vector(name, "beta").unsqueeze::<2>(),
        }
    }

    /// Mean loss over the batch, `[1]`.
    pub fn loss(&self, outputs: Tensor<2>, targets: &Targets) -> Tensor<1> {
        let [batch, columns] = outputs.dims();
        let targets = target_matrix(targets, columns, self.dtype, &self.device);
        match self.network.loss {
            Loss::CrossEntropy => -(tensor_activation::log_softmax(outputs, 1) * targets).sum() / batch as f64,
            Loss::MeanSquaredError => {
                let error = outputs - targets;
                (error.clone() * error).mean()
            }
        }
    }

    /// Inputs as a tensor `[samples, features]`.
    pub fn inputs(&self, samples: &Samples) -> Tensor<2> {
        matrix(&samples.inputs, samples.len(), samples.features, self.dtype, &self.device)
    }

    /// Takes the batch statistics of a finished training pass into the running ones.
    pub fn follow(&mut self, statistics: Vec<(String, Tensor<2>, Tensor<2>)>, batch: usize) {
        let unbiased = batch as f64 / (batch.max(2) - 1) as f64;
        for (name, mean, variance) in statistics {
            let Some(running) = self.running.get_mut(&name) else { continue };
            let blend = |old: &mut Vec<f64>, new: Vec<f64>, factor: f64| {
                for (old, new) in old.iter_mut().zip(new) {
                    *old += RUNNING_MOMENTUM * (new * factor - *old);
                }
            };
            blend(&mut running.mean, to_f64(mean.into_data()), 1.0);
            blend(&mut running.variance, to_f64(variance.into_data()), unbiased);
        }
    }
}

/// Joint of a residual operation's branch: where the skipped value enters the branch.
pub(crate) fn branch_joint(residual: &str) -> String {
    format!("{residual}/branch")
}

/// (x - mean) / sqrt(variance + eps) over one dimension, with the mean and the biased variance.
fn standardise(x: Tensor<2>, dimension: usize, eps: f64) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
    let mean = x.clone().mean_dim(dimension);
    let centred = x - mean.clone();
    let variance = (centred.clone() * centred.clone()).mean_dim(dimension);
    (centred / (variance.clone() + eps).sqrt(), mean, variance)
}

/// Targets `[batch, outputs]`: one-hot rows, or the numbers.
fn target_matrix(targets: &Targets, columns: usize, dtype: DType, device: &Device) -> Tensor<2> {
    match targets {
        Targets::Classes(labels, _) => {
            let mut rows = vec![0.0; labels.len() * columns];
            for (row, &label) in rows.chunks_exact_mut(columns).zip(labels) {
                row[label] = 1.0;
            }
            matrix(&rows, labels.len(), columns, dtype, device)
        }
        Targets::Values(values) => matrix(values, values.len(), 1, dtype, device),
    }
}

impl Pass<'_> {
    fn matrix(&self, op: &str, parameter: &str) -> Tensor<2> {
        match self.parameter(op, parameter) {
            Value::Matrix(tensor) => tensor.clone(),
            Value::Vector(tensor) => tensor.clone().unsqueeze(),
        }
    }

    fn vector(&self, op: &str, parameter: &str) -> Tensor<1> {
        match self.parameter(op, parameter) {
            Value::Vector(tensor) => tensor.clone(),
            Value::Matrix(tensor) => tensor.clone().flatten(0, 1),
        }
    }

    fn parameter(&self, op: &str, parameter: &str) -> &Value {
        &self.parameters[format!("{op}.{parameter}").as_str()]
    }

    fn watch(&self, joint: &str, x: Tensor<2>) -> Tensor<2> {
        match self.probes {
            Some(probes) => probes.watch(joint, x),
            None => x,
        }
    }

    /// The leaves, to read gradients from.
    pub fn leaves(&self) -> &BTreeMap<&str, Value> {
        &self.parameters
    }

    /// Batch statistics seen by the norms: name, mean, biased variance.
    pub fn batch_statistics(self) -> Vec<(String, Tensor<2>, Tensor<2>)> {
        self.batch_statistics
    }
}
