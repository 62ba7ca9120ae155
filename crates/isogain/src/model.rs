//! A network description made runnable: named parameters, running statistics, and the forward pass.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Gradients, Tensor, TensorData};

use isogain_core::flow::Values;
use isogain_core::ghost;
use isogain_core::network::{
    AuxiliaryHead, Convolution, Dropout, Embedding, Linear, Loss, Network, Norm, NormKind, Op, OpKind, Recurrent,
    Residual,
};
use isogain_core::recipe::Precision;
use isogain_core::renorm::{Averages, Bounds, Correction};
use isogain_core::weight_norm::WeightNorm;

use crate::data::{Samples, Targets};
use crate::ops::{self, Arithmetic, BatchStatistics, Buffer, Collected, Groups, Real, Site, by_type};
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

    /// How many values.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Matrix(tensor) => tensor.dims().iter().product(),
            Self::Vector(tensor) => tensor.dims().iter().product(),
        }
    }

    /// The same shape filled from row-major values, kept by the processor.
    pub fn with(&self, values: &[f64], dtype: DType) -> Self {
        let device = Device::flex();
        match self {
            Self::Matrix(tensor) => {
                let [rows, columns] = tensor.dims();
                Self::Matrix(matrix(values, rows, columns, dtype, &device))
            }
            Self::Vector(_) => Self::Vector(vector(values, dtype, &device)),
        }
    }

    /// Its buffer; in place writable when nobody else holds it.
    pub(crate) fn into_buffer(self) -> Buffer {
        match self {
            Self::Matrix(tensor) => ops::primitive(tensor),
            Self::Vector(tensor) => ops::primitive(tensor),
        }
    }

    /// Its buffer changed; in place when nobody else holds it.
    pub(crate) fn with_buffer(self, change: impl FnOnce(&mut Buffer)) -> Self {
        let is_matrix = matches!(self, Self::Matrix(_));
        let mut buffer = self.into_buffer();
        change(&mut buffer);
        if is_matrix { Self::Matrix(ops::tensor(buffer)) } else { Self::Vector(ops::tensor(buffer)) }
    }

    /// The same value on this device.
    fn on(self, device: &Device) -> Self {
        match self {
            Self::Matrix(tensor) => Self::Matrix(tensor.to_device(device)),
            Self::Vector(tensor) => Self::Vector(tensor.to_device(device)),
        }
    }

    /// The same value at the start of Burn's tape.
    fn tracked(self) -> Self {
        match self {
            Self::Matrix(tensor) => Self::Matrix(tensor.autodiff().require_grad()),
            Self::Vector(tensor) => Self::Vector(tensor.autodiff().require_grad()),
        }
    }

    /// What Burn found for it; `None` where the loss does not depend on it.
    pub(crate) fn gradient(&self, found: &Gradients) -> Option<Self> {
        Some(match self {
            Self::Matrix(tensor) => Self::Matrix(tensor.grad(found)?),
            Self::Vector(tensor) => Self::Vector(tensor.grad(found)?),
        })
    }

    /// The same shape with these values.
    pub(crate) fn like(&self, values: Tensor<2>) -> Self {
        match self {
            Self::Matrix(_) => Self::Matrix(values),
            Self::Vector(_) => Self::Vector(values.flatten(0, 1)),
        }
    }

    /// The sum with another value of the same shape.
    pub(crate) fn plus(self, other: Self) -> Self {
        let sum = self.clone().matrix() + other.matrix();
        self.like(sum)
    }

    /// Its rows; a vector is one.
    pub(crate) fn matrix(self) -> Tensor<2> {
        match self {
            Self::Matrix(tensor) => tensor,
            Self::Vector(tensor) => tensor.unsqueeze(),
        }
    }

    fn vector(self) -> Tensor<1> {
        match self {
            Self::Vector(tensor) => tensor,
            Self::Matrix(tensor) => tensor.flatten(0, 1),
        }
    }

    /// As many zeros.
    fn zeros(&self) -> Self {
        match self {
            Self::Matrix(tensor) => Self::Matrix(tensor.zeros_like()),
            Self::Vector(tensor) => Self::Vector(tensor.zeros_like()),
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
    // The general iterator asks for the type again at every element.
    match (data.as_slice::<f64>(), data.as_slice::<f32>()) {
        (Ok(values), _) => values.to_vec(),
        (_, Ok(values)) => values.iter().map(|&value| f64::from(value)).collect(),
        _ => data.iter::<f64>().collect(),
    }
}

/// Running mean and variance of a normalisation over the batch, for evaluation mode; batch renormalisation reads them in
/// training too.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Per feature.
    pub mean: Vec<f64>,
    /// Per feature, unbiased.
    pub variance: Vec<f64>,
    /// Batches that they have followed.
    pub batches: usize,
}

impl Running {
    /// Before the first batch.
    pub fn new(features: usize) -> Self {
        Self { mean: vec![0.0; features], variance: vec![1.0; features], batches: 0 }
    }

    /// What takes a batch's averages to these, `ramp` being the batches over which the bounds open.
    pub(crate) fn correction(&self, batch: &Averages<'_>, eps: f64, ramp: usize) -> Correction {
        Correction::new(batch, &Averages::of(&self.mean, &self.variance), eps, Bounds::after(self.batches, ramp))
    }
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
    /// Where passes run. Parameters are kept, clipped and updated by the processor.
    pub device: Device,
    /// How its passes compute, where not simply in `dtype`.
    pub(crate) arithmetic: Arithmetic,
}

/// Training or judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; running statistics follow.
    Train,
    /// Running statistics.
    Evaluate,
}

/// The floating-point type that parameters are kept and sums are made in.
pub fn dtype(precision: Precision) -> DType {
    match precision {
        Precision::F32 | Precision::Bf16 | Precision::Fp16 => DType::F32,
        Precision::F64 => DType::F64,
    }
}

/// One pass through a model: who watches, and what it brings to light beside the outputs.
pub struct Pass<'a> {
    model: &'a Model,
    probes: Option<&'a Probes>,
    mode: Mode,
    is_tracked: bool,
    /// Whether penalties add to gradients: they are no derivatives of the outputs, and what only measures wants none.
    is_penalised: bool,
    /// Rows of one sample at the operation that runs.
    positions: usize,
    /// Seed of this pass's dropout.
    noise: u64,
    /// Outputs of the auxiliary heads so far, `[batch, outputs]` each, with the factor on their loss.
    auxiliary: Vec<(f64, Tensor<2>)>,
    collected: Collected,
}

impl Model {
    /// The same network with this other type and the same values, computing simply in that type, on the processor.
    pub fn cast(&self, dtype: DType) -> Self {
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|(name, value)| (name.clone(), value.with(&value.to_f64(), dtype)));
        let (device, arithmetic) = (Device::flex(), Arithmetic::default());
        Self { parameters: parameters.collect(), dtype, device, arithmetic, ..self.clone() }
    }

    /// The same network with passes on this device.
    pub(crate) fn passing_on(self, device: Device) -> Self {
        let arithmetic = Arithmetic { is_stock: device != Device::flex(), ..self.arithmetic };
        Self { device, arithmetic, ..self }
    }

    /// The same network put together from Burn's own operations, as on a GPU, but where it is.
    #[must_use]
    pub fn by_burns_operations(self) -> Self {
        let arithmetic = Arithmetic { is_stock: true, ..self.arithmetic };
        Self { arithmetic, ..self }
    }

    /// A pass on the tape, in training mode: it knows every parameter's gradient afterwards.
    pub fn tracked<'a>(&'a self, probes: Option<&'a Probes>) -> Pass<'a> {
        Pass { is_tracked: true, ..self.plain(Mode::Train, probes) }
    }

    /// A pass without gradients.
    pub fn plain<'a>(&'a self, mode: Mode, probes: Option<&'a Probes>) -> Pass<'a> {
        let positions = self.network.input.positions();
        Pass {
            model: self,
            probes,
            mode,
            is_tracked: false,
            is_penalised: false,
            positions,
            noise: 0,
            auxiliary: Vec::new(),
            collected: Collected::default(),
        }
    }

    /// Outputs `[batch x positions, outputs]` of inputs `[batch x positions, features]`.
    pub fn forward(&self, pass: &mut Pass<'_>, inputs: Tensor<2>) -> Tensor<2> {
        // Tokens are no quantities.
        let is_number = !matches!(self.network.ops.first(), Some(Op { kind: OpKind::Embedding(_), .. }));
        let inputs = if is_number { pass.rounded(inputs) } else { inputs };
        let inputs = if pass.is_tracked { inputs.autodiff().require_grad() } else { inputs };
        let inputs = pass.watch("input", inputs);
        self.run(&self.network.ops, pass, inputs)
    }

    fn run(&self, ops: &[Op], pass: &mut Pass<'_>, mut x: Tensor<2>) -> Tensor<2> {
        for op in ops {
            let name = &op.name;
            x = match &op.kind {
                OpKind::Linear(linear) => {
                    let weight = match &linear.tied {
                        Some(embedding) => pass.matrix(embedding, "weight").transpose(),
                        None => pass.weight(name, linear),
                    };
                    ops::linear(x, weight, pass.vector(name, "bias"), pass.site(name))
                }
                OpKind::Convolution(Convolution { window: Some(window), linear }) => {
                    pass.positions = op.kind.positions(pass.positions);
                    let (weight, bias) = (pass.weight(name, linear), pass.vector(name, "bias"));
                    ops::convolution(x, *window, weight, bias, pass.site(name))
                }
                OpKind::Activation { activation } => ops::activation(*activation, x, pass.site(name)),
                OpKind::Softmax => ops::softmax(x, pass.site(name)),
                OpKind::Norm(norm) => self.normalise(name, norm, pass, x),
                OpKind::Residual(residual) => self.residual(name, residual, pass, x),
                OpKind::AuxiliaryHead(auxiliary) => self.auxiliary_head(name, auxiliary, pass, x),
                OpKind::Pool(pool) => {
                    pass.positions = op.kind.positions(pass.positions);
                    ops::pool(x, pool, pass.site(name))
                }
                OpKind::Flatten(flatten) => {
                    pass.positions = op.kind.positions(pass.positions);
                    ops::flatten(x, flatten.positions, pass.site(name))
                }
                OpKind::Dropout(dropout) => match pass.mode {
                    Mode::Train => ops::dropout(x, dropout.fraction, pass.noise_of(name), pass.site(name)),
                    Mode::Evaluate => ops::watch(x, pass.site(name)),
                },
                OpKind::StochasticDepth(Dropout { fraction }) => match pass.mode {
                    Mode::Train => {
                        let (positions, seed) = (pass.positions, pass.noise_of(name));
                        ops::stochastic_depth(x, positions, *fraction, seed, pass.site(name))
                    }
                    Mode::Evaluate => ops::expected_depth(x, *fraction, pass.site(name)),
                },
                OpKind::Embedding(Embedding { positions, .. }) => {
                    let positions = positions.then(|| pass.matrix(name, "position"));
                    ops::embedding(x, pass.matrix(name, "weight"), positions, pass.site(name))
                }
                OpKind::Recurrent(recurrent) if recurrent.diagonal => {
                    let vectors = ["bias", "log_decay"].map(|parameter| pass.vector(name, parameter));
                    ops::diagonal_recurrent(x, recurrent, pass.matrix(name, "weight"), vectors, pass.site(name))
                }
                OpKind::Recurrent(recurrent @ Recurrent { oscillator: Some(oscillator), .. }) => {
                    let weights = ["weight", "hidden_weight"].map(|parameter| pass.matrix(name, parameter));
                    let bias = pass.vector(name, "bias");
                    ops::oscillating(x, recurrent, *oscillator, weights, bias, pass.site(name))
                }
                OpKind::Recurrent(recurrent) => {
                    let weights = [pass.matrix(name, "weight"), pass.hidden_weight(name, recurrent)];
                    let biases = ["bias", "hidden_bias"].map(|parameter| pass.vector(name, parameter));
                    let penalty = recurrent.vanishing_penalty.filter(|_| pass.is_penalised);
                    let recurrent = Recurrent { vanishing_penalty: penalty, ..recurrent.clone() };
                    ops::recurrent(x, &recurrent, weights, biases, pass.site(name))
                }
                OpKind::QkNorm(norm) => {
                    let gammas = ["query_gamma", "key_gamma"].map(|parameter| pass.vector(name, parameter));
                    ops::qk_norm(x, norm, gammas, pass.site(name))
                }
                OpKind::Attention(attention) => ops::attention(x, attention, pass.site(name)),
                OpKind::Convolution(Convolution { window: None, .. }) | OpKind::Other(_) => {
                    unreachable!("no recipe expands to {name}")
                }
            };
        }
        x
    }

    fn residual(&self, name: &str, residual: &Residual, pass: &mut Pass<'_>, x: Tensor<2>) -> Tensor<2> {
        let positions = pass.positions;
        let branch = pass.watch(&branch_joint(name), x.clone());
        let branch = self.run(&residual.branch, pass, branch);
        if !residual.gate.is_empty() {
            let under = pass.watch(&gate_joint(name), x.clone());
            let under = self.run(&residual.gate, pass, under);
            return ops::gated(x, branch, under, pass.site(name));
        }
        if residual.concatenates {
            return ops::concatenate(x, branch, pass.site(name));
        }
        let skip = if residual.shortcut.is_empty() {
            x
        } else {
            pass.positions = positions;
            let skip = pass.watch(&skip_joint(name), x);
            self.run(&residual.shortcut, pass, skip)
        };
        if residual.learnable && residual.channels > 0 {
            return ops::layer_scale(skip, branch, pass.vector(name, "scale"), pass.site(name));
        }
        let learnable = residual.learnable.then(|| pass.vector(name, "scale"));
        ops::residual(skip, branch, residual.scale, learnable, pass.site(name))
    }

    /// What comes in goes on; in training a head reads it too.
    fn auxiliary_head(&self, name: &str, auxiliary: &AuxiliaryHead, pass: &mut Pass<'_>, x: Tensor<2>) -> Tensor<2> {
        if pass.mode == Mode::Train {
            let positions = pass.positions;
            let read = pass.watch(&branch_joint(name), x.clone());
            let outputs = self.run(&auxiliary.head, pass, read);
            pass.positions = positions;
            pass.auxiliary.push((auxiliary.share, outputs));
        }
        ops::watch(x, pass.site(name))
    }

    fn normalise(&self, name: &str, norm: &Norm, pass: &mut Pass<'_>, x: Tensor<2>) -> Tensor<2> {
        let (gamma, site) = (pass.vector(name, "gamma"), pass.site(name));
        match (norm.norm, pass.mode) {
            (NormKind::Batch, Mode::Train) => {
                let positions = pass.positions.max(1);
                let samples = x.dims()[0] / positions;
                let parts = ghost::ranges(samples, norm.parts(samples));
                let parts = parts.map(|part| part.start * positions..part.end * positions).collect();
                ops::batch_norm(x, norm.eps, parts, [gamma, pass.vector(name, "beta")], site)
            }
            (NormKind::BatchRenorm, Mode::Train) => {
                let running = (self.running[name].clone(), norm.ramp);
                ops::batch_renorm(x, norm.eps, [gamma, pass.vector(name, "beta")], running, site)
            }
            (NormKind::Batch | NormKind::BatchRenorm, Mode::Evaluate) => {
                let running = &self.running[name];
                let row = |values: &[f64]| vector(values, self.dtype, &self.device).unsqueeze::<2>();
                let factors: Vec<f64> = running.variance.iter().map(|v| 1.0 / (v + norm.eps).sqrt()).collect();
                let normal = (x - row(&running.mean)) * row(&factors);
                ops::watch(normal * gamma.unsqueeze() + pass.vector(name, "beta").unsqueeze(), site)
            }
            (NormKind::Layer, _) => ops::layer_norm(x, norm.eps, gamma, pass.vector(name, "beta"), site),
            (NormKind::Rms, _) => ops::rms_norm(x, norm.eps, gamma, site),
            (NormKind::Group, _) => {
                let groups = Groups { positions: pass.positions, groups: norm.groups, eps: norm.eps };
                ops::group_norm(x, groups, gamma, pass.vector(name, "beta"), site)
            }
        }
    }

    /// What a layer multiplies by, `[fan_in, fan_out]` row-major, where it is computed from what is trained.
    pub(crate) fn computed_weight(&self, op: &str, fan_out: usize, norm: WeightNorm) -> Vec<f64> {
        let [weight, gains] =
            ["weight", "gain"].map(|parameter| self.parameters[format!("{op}.{parameter}").as_str()].to_f64());
        norm.weight(&weight, &gains, fan_out)
    }

    /// Mean loss over the batch, `[1]`: of the last head's outputs the loss that is told.
    pub fn loss(&self, outputs: Tensor<2>, targets: &Targets) -> Tensor<1> {
        let arithmetic = Arithmetic { is_stock: self.arithmetic.is_stock, ..Arithmetic::default() };
        let site = Site::new("loss", None, &Collected::default()).with(arithmetic);
        match (self.network.loss, targets) {
            (Loss::CrossEntropy, Targets::Classes { labels, .. }) => ops::cross_entropy(outputs, labels, site),
            (Loss::BinaryCrossEntropy, targets) => {
                ops::binary_cross_entropy(outputs, &numbers(targets, self.network.outputs), site)
            }
            (_, targets) => ops::squared_error(outputs, &numbers(targets, self.network.outputs), site),
        }
    }

    /// What a batch costs by another loss than the trained one: the mean squared error of the probabilities that
    /// (binary) cross-entropy takes logits `[batch, outputs]` for. `None` where it is the trained one that is told.
    pub(crate) fn told_loss(&self, logits: &Tensor<2>, targets: &Targets, told: Loss) -> Option<f64> {
        let probabilities: fn(&mut [f64]) = match (self.network.loss, told) {
            (Loss::CrossEntropy, Loss::MeanSquaredError) => ops::softmax_row,
            (Loss::BinaryCrossEntropy, Loss::MeanSquaredError) => {
                |row| row.iter_mut().for_each(|z| *z = 1.0 / (1.0 + (-*z).exp()))
            }
            _ => return None,
        };
        let mut rows = to_f64(logits.clone().into_data());
        rows.chunks_exact_mut(self.network.outputs).for_each(probabilities);
        let targets = numbers(targets, self.network.outputs);
        let errors = rows.iter().zip(&targets).map(|(probability, target)| (probability - target).powi(2));
        Some(errors.sum::<f64>() / targets.len() as f64)
    }

    /// Inputs as a tensor `[samples x positions, features]`.
    pub fn inputs(&self, samples: &Samples) -> Tensor<2> {
        let features = self.network.input.features;
        matrix(&samples.inputs, samples.inputs.len() / features, features, self.dtype, &self.device)
    }

    /// Takes the batch statistics of a finished training pass into the running ones.
    pub(crate) fn follow(&mut self, statistics: Vec<(String, BatchStatistics)>) {
        for (name, BatchStatistics { count, mean, variance }) in statistics {
            let unbiased = count as f64 / (count.max(2) - 1) as f64;
            let Some(running) = self.running.get_mut(&name) else { continue };
            let blend = |old: &mut [f64], new: &[f64], factor: f64| {
                for (old, new) in old.iter_mut().zip(new) {
                    *old += RUNNING_MOMENTUM * (new * factor - *old);
                }
            };
            running.batches += 1;
            blend(&mut running.mean, &mean, 1.0);
            blend(&mut running.variance, &variance, unbiased);
        }
    }
}

/// Joint of a residual operation's branch, or of an auxiliary head: where the value that passes enters it.
pub(crate) fn branch_joint(residual: &str) -> String {
    format!("{residual}/branch")
}

/// Joint of a residual operation's skip, where that is not the identity: where the skipped value enters it.
pub(crate) fn skip_joint(residual: &str) -> String {
    format!("{residual}/skip")
}

/// Joint of a residual operation's gate: where the value that it shares out enters the layer under it.
pub(crate) fn gate_joint(residual: &str) -> String {
    format!("{residual}/gate")
}

/// Targets as numbers `[batch, outputs]`, row-major: one-hot rows of classes; where one output stands for two, 0 or 1.
pub(crate) fn numbers(targets: &Targets, outputs: usize) -> Vec<f64> {
    match targets {
        Targets::Classes { labels, .. } if outputs == 1 => labels.iter().map(|&label| label as f64).collect(),
        Targets::Classes { labels, classes } => {
            let mut rows = vec![0.0; labels.len() * classes];
            for (row, &label) in rows.chunks_exact_mut(*classes).zip(labels) {
                row[label] = 1.0;
            }
            rows
        }
        Targets::Values { values, .. } => values.clone(),
    }
}

fn unscale<T: Real>(gradient: &mut Buffer, scale: f64) {
    ops::scale(gradient, T::of(1.0 / scale));
}

impl Pass<'_> {
    /// With dropout of its own: two passes of the same seed drop the same values.
    pub fn with_noise(mut self, seed: u64) -> Self {
        self.noise = seed;
        self
    }

    /// With what penalties add to gradients, as training wants them.
    pub(crate) fn with_penalties(mut self) -> Self {
        self.is_penalised = true;
        self
    }

    /// FNV-1a of the operation's name, started from the pass's seed.
    fn noise_of(&self, op: &str) -> u64 {
        let start = 0xcbf2_9ce4_8422_2325 ^ self.noise.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        op.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// What a layer multiplies by.
    fn weight(&self, op: &str, linear: &Linear) -> Tensor<2> {
        let Some(norm) = linear.weight_norm else { return self.matrix(op, "weight") };
        let (Model { dtype, device, .. }, values) = (self.model, self.model.computed_weight(op, linear.fan_out, norm));
        self.leaf(op, "weight", Value::Matrix(matrix(&values, linear.fan_in, linear.fan_out, *dtype, device))).matrix()
    }

    /// What a recurrent layer multiplies its state by.
    fn hidden_weight(&self, op: &str, layer: &Recurrent) -> Tensor<2> {
        if !layer.computes_hidden_weight() {
            return self.matrix(op, "hidden_weight");
        }
        let values = layer.hidden_weight(&self.parameter(op, "hidden_weight").to_f64());
        let (Model { dtype, device, .. }, width) = (self.model, values.len() / layer.units);
        self.leaf(op, "hidden_weight", Value::Matrix(matrix(&values, layer.units, width, *dtype, device))).matrix()
    }

    fn matrix(&self, op: &str, parameter: &str) -> Tensor<2> {
        self.leaf(op, parameter, self.parameter(op, parameter).clone()).matrix()
    }

    fn vector(&self, op: &str, parameter: &str) -> Tensor<1> {
        self.leaf(op, parameter, self.parameter(op, parameter).clone()).vector()
    }

    /// A parameter as an operation of this pass reads it.
    fn leaf(&self, op: &str, parameter: &str, value: Value) -> Value {
        if !self.model.arithmetic.is_stock {
            return match value {
                Value::Matrix(tensor) => Value::Matrix(self.rounded(tensor)),
                Value::Vector(tensor) => Value::Vector(self.rounded(tensor)),
            };
        }
        let value = value.on(&self.model.device);
        if !self.is_tracked {
            return value;
        }
        let leaf = value.tracked();
        self.collected.leaf(format!("{op}.{parameter}"), leaf.clone());
        leaf
    }

    fn parameter(&self, op: &str, parameter: &str) -> &Value {
        &self.model.parameters[format!("{op}.{parameter}").as_str()]
    }

    fn site(&self, joint: &str) -> Site {
        Site::new(joint, self.probes, &self.collected).with(self.model.arithmetic)
    }

    /// As an operation of this pass reads it.
    fn rounded<const D: usize>(&self, values: Tensor<D>) -> Tensor<D> {
        match self.model.arithmetic.narrow {
            Some(narrow) => narrow.rounded(values),
            None => values,
        }
    }

    /// On a tensor that is no operation's output: a node of its own, for those alone who look at whole tensors.
    fn watch(&self, joint: &str, x: Tensor<2>) -> Tensor<2> {
        if self.probes.is_some_and(Probes::keeps_values) { ops::watch(x, self.site(joint)) } else { x }
    }

    /// The outputs of all heads of this pass in training mode, `[batch, outputs]`, with the factors on their losses: those of
    /// the last one, and of the auxiliary ones.
    pub(crate) fn every_head(&self, outputs: Tensor<2>) -> Vec<(f64, Tensor<2>)> {
        std::iter::once((1.0, outputs)).chain(self.auxiliary.iter().cloned()).collect()
    }

    /// What is trained, given the loss of the last head: the sum with those of auxiliary heads, `[1]`.
    pub fn objective(&self, loss: Tensor<1>, targets: &Targets) -> Tensor<1> {
        let add = |sum: Tensor<1>, (share, outputs): &(f64, Tensor<2>)| {
            sum + self.model.loss(outputs.clone(), targets) * *share
        };
        self.auxiliary.iter().fold(loss, add)
    }

    /// Goes back from a loss of this pass: the gradient of every parameter, by name; zeros where the loss does not
    /// depend on it.
    pub fn gradients(&self, loss: &Tensor<1>) -> BTreeMap<String, Value> {
        let scale = self.model.arithmetic.loss_scale;
        let found = if scale == 1.0 { loss.backward() } else { (loss.clone() * scale).backward() };
        self.collected.read(&found, self.probes, scale);
        let mut gradients = self.collected.take_gradients();
        for (op, embedding) in self.model.network.linears().filter_map(|(op, linear)| Some((op, linear.tied.as_ref()?)))
        {
            let (own, table) = (format!("{}.weight", op.name), format!("{embedding}.weight"));
            if let Some(Value::Matrix(own)) = gradients.remove(&own) {
                let own = own.transpose();
                let sum = match gradients.remove(&table) {
                    Some(Value::Matrix(gradient)) => gradient + own,
                    _ => own,
                };
                gradients.insert(table, Value::Matrix(sum));
            }
        }
        self.pull_weights(&mut gradients);
        if scale != 1.0 {
            let unscaled = |(name, value): (String, Value)| {
                (name, value.with_buffer(|gradient| by_type!(gradient, unscale(gradient, scale))))
            };
            gradients = gradients.into_iter().map(unscaled).collect();
        }
        if gradients.len() < self.model.parameters.len() {
            for (name, value) in &self.model.parameters {
                gradients.entry(name.clone()).or_insert_with(|| value.zeros());
            }
        }
        gradients
    }

    /// Turns gradients of weights that are computed from others into those of what is trained.
    fn pull_weights(&self, gradients: &mut BTreeMap<String, Value>) {
        for (op, linear) in self.model.network.linears() {
            let name = |parameter: &str| format!("{}.{parameter}", op.name);
            let Some(norm) = linear.weight_norm else { continue };
            // A weight that the loss does not depend on has none.
            let Some(gradient) = gradients.remove(&name("weight")) else { continue };
            let gradient = gradient.to_f64();
            if let Some(probes) = self.probes.filter(|probes| probes.keeps_values()) {
                let unscaled = gradient.iter().map(|value| value / self.model.arithmetic.loss_scale);
                probes.keep_weight_gradient(&op.name, Values::from(unscaled.collect::<Vec<f64>>()));
            }
            let trained = ["weight", "gain"].map(|parameter| &self.model.parameters[name(parameter).as_str()]);
            let (of_weight, of_gains) =
                norm.pull(&trained[0].to_f64(), &trained[1].to_f64(), &gradient, linear.fan_out);
            for (parameter, (value, pulled)) in
                ["weight", "gain"].into_iter().zip(trained.into_iter().zip([of_weight, of_gains]))
            {
                gradients.insert(name(parameter), value.with(&pulled, self.model.dtype));
            }
        }
        for op in self.model.network.walk() {
            let OpKind::Recurrent(layer) = &op.kind else { continue };
            let name = format!("{}.hidden_weight", op.name);
            if let Some(gradient) = gradients.get_mut(&name).filter(|_| layer.computes_hidden_weight()) {
                let trained = self.model.parameters[name.as_str()].to_f64();
                let pulled = layer.pull_hidden_weight(&trained, &gradient.to_f64());
                *gradient = gradient.with(&pulled, self.model.dtype);
            }
        }
    }

    /// Batch statistics seen by the norms.
    pub(crate) fn statistics(&self) -> Vec<(String, BatchStatistics)> {
        self.collected.take_statistics()
    }
}
