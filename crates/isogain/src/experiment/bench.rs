//! Networks put together by hand, and one pass through them under a chosen cotangent.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::DType;
use isogain_core::network::{Linear, Loss, Network, Norm, NormKind, Op, OpKind, Residual, Shape};
use isogain_core::theory::sampling::standard_normal;
use isogain_core::theory::{Activation, Initializer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::Error;
use crate::data::{Samples, Targets};
use crate::model::{Mode, Model, matrix, to_f64};
use crate::probe::{Keep, Kept, Probes, Seen};
use crate::snapshot::Gradients;

/// An activation by its name.
pub(crate) fn phi(name: &str) -> Result<Activation, Error> {
    Activation::named(name).map_err(|error| Error::Mismatch(error.to_string()))
}

/// An initialiser by its name, with some of its numbers.
pub(crate) fn init(name: &str, numbers: &[(&str, f64)]) -> Result<Initializer, Error> {
    let start = Initializer::named(name);
    let set = numbers.iter().fold(start, |init, (key, value)| init?.with_parameter(key, *value));
    set.map_err(|error| Error::Mismatch(error.to_string()))
}

/// Normal weights and biases of these variances, that of the weights times the fan-in.
pub(crate) fn normal(weight_variance: f64, bias_variance: f64) -> Result<Initializer, Error> {
    init("normal", &[("weight_variance", weight_variance), ("bias_variance", bias_variance)])
}

/// A layer that reads what `activation` puts out.
pub(crate) fn linear(
    name: impl Into<String>,
    [inputs, units]: [usize; 2],
    init: Initializer,
    activation: Activation,
) -> Op {
    Op { name: name.into(), kind: OpKind::Linear(Linear::new(inputs, units, init, activation)) }
}

pub(crate) fn activation(name: impl Into<String>, activation: Activation) -> Op {
    Op { name: name.into(), kind: OpKind::Activation { activation } }
}

pub(crate) fn norm(name: impl Into<String>, norm: NormKind, features: usize, eps: f64) -> Op {
    Op { name: name.into(), kind: OpKind::Norm(Norm::new(norm, features, eps)) }
}

pub(crate) fn residual(name: impl Into<String>, scale: f64, branch: Vec<Op>) -> Op {
    Op { name: name.into(), kind: OpKind::Residual(Residual::new(branch, scale, false)) }
}

/// A network of numbers.
pub(crate) fn network(input: Shape, outputs: usize, ops: Vec<Op>) -> Network {
    Network { input, outputs, ops, loss: Loss::MeanSquaredError }
}

/// `depth` times linear, norm, activation, of one width: `fc1`, `norm1`, `act1`, ...
pub(crate) fn stack(
    width: usize,
    depth: usize,
    init: Initializer,
    phi: Activation,
    normalise: Option<NormKind>,
) -> Network {
    let layer = |layer: usize| {
        let norm = normalise.map(|kind| norm(format!("norm{layer}"), kind, width, 0.0));
        let first = linear(format!("fc{layer}"), [width, width], init, phi);
        std::iter::once(first).chain(norm).chain([activation(format!("act{layer}"), phi)])
    };
    network(Shape::vector(width), width, (1..=depth).flat_map(layer).collect())
}

/// The network with parameters drawn from a seed.
pub(crate) fn model(network: &Network, seed: u64, dtype: DType) -> Model {
    let targets = Targets::Values { values: Vec::new(), outputs: network.outputs };
    Model::new(network, seed, dtype, &Samples { shape: network.input.clone(), inputs: Vec::new(), targets })
}

/// Replaces a parameter's values, row-major.
pub(crate) fn set(model: &mut Model, name: &str, values: &[f64]) {
    if let Some(value) = model.parameters.get_mut(name) {
        *value = value.with(values, model.dtype);
    }
}

/// What one pass forward and back left behind.
pub(crate) struct Passed {
    /// Row-major `[rows, outputs]`.
    pub(crate) outputs: Vec<f64>,
    /// Activations and cotangents by joint; with whole tensors also at `input`.
    pub(crate) seen: Seen,
    /// Of each parameter.
    pub(crate) gradients: Gradients,
}

/// Sends `inputs` forward and `cotangent` back, both row-major, in training mode.
pub(crate) fn pass(model: &Model, inputs: &[f64], cotangent: &[f64], keep: Keep) -> Passed {
    let features = model.network.input.features;
    let probes = Probes::new(keep);
    let tensor =
        |values: &[f64], columns: usize| matrix(values, values.len() / columns, columns, model.dtype, &model.device);
    let mut tracked = model.tracked(Some(&probes));
    let outputs = model.forward(&mut tracked, tensor(inputs, features));
    let columns = outputs.dims()[1];
    let loss = (outputs.clone() * tensor(cotangent, columns).autodiff()).sum();
    let gradients = tracked.gradients(&loss);
    Passed { outputs: to_f64(outputs.inner().into_data()), seen: probes.take(), gradients }
}

/// What a network puts out, in training mode.
pub(crate) fn outputs(model: &Model, inputs: &[f64]) -> Vec<f64> {
    let features = model.network.input.features;
    let inputs = matrix(inputs, inputs.len() / features, features, model.dtype, &model.device);
    to_f64(model.forward(&mut model.plain(Mode::Train, None), inputs).into_data())
}

/// Every activation of a batch of data, in training mode.
pub(crate) fn activations(model: &Model, batch: &Samples) -> Side {
    let probes = Probes::new(Keep::Values);
    model.forward(&mut model.plain(Mode::Train, Some(&probes)), model.inputs(batch));
    probes.take().forward
}

/// Part of the values for which something holds.
pub(crate) fn share(values: &[f64], holds: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|value| holds(**value)).count() as f64 / values.len().max(1) as f64
}

/// The Jacobian of outputs by inputs at one input, row-major `[outputs, inputs]`: one row for each unit cotangent.
pub(crate) fn jacobian(model: &Model, input: &[f64]) -> Vec<f64> {
    let outputs = model.network.outputs;
    let mut identity = vec![0.0; outputs * outputs];
    identity.iter_mut().step_by(outputs + 1).for_each(|one| *one = 1.0);
    let seen = pass(model, &input.repeat(outputs), &identity, Keep::Values).seen;
    values(&seen.backward, "input")
}

/// One side of what was seen.
pub(crate) type Side = BTreeMap<Arc<str>, Kept>;

/// The tensor at a joint; empty where it was not kept.
pub(crate) fn values(side: &Side, joint: &str) -> Vec<f64> {
    side.get(joint).and_then(Kept::values).map(|values| values.to_f64().into_owned()).unwrap_or_default()
}

/// Root mean square at a joint; NaN where nothing was seen.
pub(crate) fn rms(side: &Side, joint: &str) -> f64 {
    side.get(joint).and_then(|kept| kept.moments().rms()).unwrap_or(f64::NAN)
}

/// Numbers from a seed, apart from those that parameters are drawn from.
pub(crate) struct Sampler(ChaCha8Rng);

impl Sampler {
    pub(crate) fn new(seed: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(u64::MAX);
        Self(generator)
    }

    pub(crate) fn normals(&mut self, count: usize, deviation: f64) -> Vec<f64> {
        (0..count).map(|_| deviation * standard_normal(&mut self.0)).collect()
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        use rand::RngExt;
        self.0.random_range(0..bound)
    }
}

pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
    }
    sum / f64::from(count.max(1))
}

/// Slope of the least-squares line through these points.
pub(crate) fn slope(points: &[(f64, f64)]) -> f64 {
    let (x, y) = (mean(points.iter().map(|point| point.0)), mean(points.iter().map(|point| point.1)));
    let along = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
    along / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}
