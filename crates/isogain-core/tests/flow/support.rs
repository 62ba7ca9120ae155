//! Networks, random parameters and what the tests read off a flow.

use isogain_core::flow::reference::{Parameters, Pass, Targets, run};
use isogain_core::flow::{Flow, Joint, attribute};
use isogain_core::network::{AuxiliaryHead, Linear, Loss, Network, Norm, NormKind, Op, OpKind, Residual, Shape};
use isogain_core::theory::activations::Activation;
use isogain_core::theory::initializers::Initializer;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random numbers from a seed.
pub(crate) struct Sampler {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Sampler {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), spare: None }
    }

    /// A standard normal number (Marsaglia's polar method).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (u, v) = (self.uniform(), self.uniform());
            let square = u * u + v * v;
            if square < 1.0 && square > 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(v * factor);
                return u * factor;
            }
        }
    }

    /// Uniform in [-1, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        2.0 * self.rng.random::<f64>() - 1.0
    }

    pub(crate) fn normals(&mut self, count: usize, deviation: f64) -> Vec<f64> {
        (0..count).map(|_| deviation * self.normal()).collect()
    }

    pub(crate) fn class(&mut self, classes: usize) -> usize {
        self.rng.random_range(0..classes)
    }
}

/// The distribution of weights and biases.
#[derive(Clone, Copy)]
pub(crate) struct Init {
    /// Variance of a weight, times fan-in.
    pub(crate) weight: f64,
    /// Variance of a bias.
    pub(crate) bias: f64,
    pub(crate) uniform: bool,
}

impl Init {
    pub(crate) const HE: Self = Self::normal(2.0);
    pub(crate) const XAVIER: Self = Self::normal(1.0);

    /// PyTorch's default: weights and biases uniform within 1/sqrt(fan_in).
    pub(crate) fn pytorch(fan_in: usize) -> Self {
        Self { weight: 1.0 / 3.0, bias: 1.0 / (3.0 * fan_in as f64), uniform: true }
    }

    pub(crate) const fn normal(weight: f64) -> Self {
        Self { weight, bias: 0.0, uniform: false }
    }
}

pub(crate) fn act(name: &str) -> Activation {
    Activation::named(name).unwrap()
}

pub(crate) fn linear(name: &str, fan_in: usize, fan_out: usize) -> Op {
    let linear = Linear::new(fan_in, fan_out, Initializer::named("pytorch-default").unwrap(), act("relu"));
    Op { name: name.into(), kind: OpKind::Linear(linear) }
}

pub(crate) fn activation(name: &str, activation: Activation) -> Op {
    Op { name: name.into(), kind: OpKind::Activation { activation } }
}

pub(crate) fn norm(name: &str, norm: NormKind, features: usize, eps: f64) -> Op {
    Op { name: name.into(), kind: OpKind::Norm(Norm::new(norm, features, eps)) }
}

pub(crate) fn residual(name: &str, scale: f64, learnable: bool, branch: Vec<Op>) -> Op {
    Op { name: name.into(), kind: OpKind::Residual(Residual::new(branch, scale, learnable)) }
}

pub(crate) fn network(inputs: usize, outputs: usize, loss: Loss, ops: Vec<Op>) -> Network {
    Network { input: Shape::vector(inputs), outputs, ops, loss }
}

/// `depth` layers linear, norm, activation of equal width.
pub(crate) fn stack(width: usize, depth: usize, function: Activation, normalise: Option<(NormKind, f64)>) -> Vec<Op> {
    (1..=depth)
        .flat_map(|layer| {
            let norm = normalise.map(|(kind, eps)| norm(&format!("norm{layer}"), kind, width, eps));
            [linear(&format!("fc{layer}"), width, width)]
                .into_iter()
                .chain(norm)
                .chain([activation(&format!("act{layer}"), function)])
        })
        .collect()
}

/// `depth` blocks x + scale act(norm(W x)).
pub(crate) fn blocks(width: usize, depth: usize, function: Activation, normalise: bool, scale: f64) -> Vec<Op> {
    (1..=depth)
        .map(|block| {
            let mut branch = vec![linear(&format!("block{block}.fc"), width, width)];
            if normalise {
                branch.push(norm(&format!("block{block}.norm"), NormKind::Batch, width, 1e-5));
            }
            branch.push(activation(&format!("block{block}.act"), function));
            residual(&format!("block{block}"), scale, false, branch)
        })
        .collect()
}

/// Random parameters: linear as `init` says, gamma 1, beta 0, scales as they start.
pub(crate) fn parameters(network: &Network, init: Init, sampler: &mut Sampler) -> Parameters {
    let mut parameters = Parameters::new();
    for op in network.walk() {
        let mut set = |name: &str, values: Vec<f64>| parameters.insert(format!("{}.{name}", op.name), values);
        match &op.kind {
            OpKind::Linear(linear) => {
                let mut draw = |count: usize, variance: f64| -> Vec<f64> {
                    if variance == 0.0 {
                        vec![0.0; count]
                    } else if init.uniform {
                        (0..count).map(|_| sampler.uniform() * (3.0 * variance).sqrt()).collect()
                    } else {
                        sampler.normals(count, variance.sqrt())
                    }
                };
                set("weight", draw(linear.fan_in * linear.fan_out, init.weight / linear.fan_in as f64));
                set("bias", draw(linear.fan_out, init.bias));
            }
            OpKind::Norm(norm) => {
                set("gamma", vec![1.0; norm.features]);
                if norm.norm != NormKind::Rms {
                    set("beta", vec![0.0; norm.features]);
                }
            }
            OpKind::Residual(residual) if residual.learnable => {
                set("scale", vec![residual.scale]);
            }
            _ => {}
        }
    }
    parameters
}

/// The flow of a body of width `width` on `batch` random samples, under a random cotangent at its output.
///
/// An identity head carries the cotangent in unchanged, so that the whole body counts as such.
pub(crate) fn body_flow(width: usize, mut ops: Vec<Op>, init: Init, batch: usize, seed: u64) -> Flow {
    ops.push(linear("head", width, width));
    let network = network(width, width, Loss::MeanSquaredError, ops);
    let mut sampler = Sampler::new(seed);
    let mut parameters = parameters(&network, init, &mut sampler);
    let identity = (0..width * width).map(|index| if index % (width + 1) == 0 { 1.0 } else { 0.0 }).collect();
    parameters.insert("head.weight".into(), identity);
    let inputs = sampler.normals(batch * width, 1.0);
    let cotangent = Targets::Cotangent(sampler.normals(batch * width, 1.0));
    attribute(&run(&network, &parameters, &inputs, &cotangent).unwrap().capture)
}

/// One pass on random samples, under a random cotangent at the output.
pub(crate) fn random_pass(network: &Network, parameters: &Parameters, batch: usize, sampler: &mut Sampler) -> Pass {
    let inputs = sampler.normals(batch * network.input.values(), 1.0);
    let cotangent = Targets::Cotangent(sampler.normals(batch * network.outputs, 1.0));
    run(network, parameters, &inputs, &cotangent).unwrap()
}

/// The joints of body and head in forward order.
pub(crate) fn every_joint(flow: &Flow) -> Vec<&Joint> {
    flow.joints.iter().chain(&flow.head.joints).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[track_caller]
pub(crate) fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
    println!("{what}: {found:.6} (expected {expected} within {tolerance:.2e})");
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected} within {tolerance:e}");
}

/// Small networks that hold every kind of operation, with parameters away from their special starting values.
pub(crate) fn zoo() -> Vec<(&'static str, Network, Parameters)> {
    let mut sampler = Sampler::new(7);
    let plain = |function: &str| {
        let mut ops = vec![linear("fc1", 6, 5), activation("act1", act(function)), linear("fc2", 5, 7)];
        ops.extend([activation("act2", act(function)), linear("head", 7, 3)]);
        network(6, 3, Loss::CrossEntropy, ops)
    };
    let normed = |kind: NormKind| {
        let mut ops = vec![linear("fc1", 6, 5), norm("norm1", kind, 5, 1e-3), activation("act1", act("gelu"))];
        ops.extend([linear("fc2", 5, 7), norm("norm2", kind, 7, 0.0), linear("head", 7, 3)]);
        ops.push(activation("out", act("sigmoid")));
        network(6, 3, Loss::MeanSquaredError, ops)
    };
    let inner = residual("block1.inner", 0.5, false, vec![linear("block1.inner.fc", 5, 5)]);
    let branch = vec![norm("block1.norm", NormKind::Layer, 5, 1e-5), activation("block1.act", act("silu")), inner];
    let mut ops = vec![linear("stem", 6, 5), residual("block1", -0.7, true, branch)];
    let branch = vec![linear("block2.up", 5, 9), activation("block2.act", act("tanh")), linear("block2.down", 9, 5)];
    ops.extend([residual("block2", 0.3, false, branch), residual("block3", 0.4, true, vec![])]);
    ops.extend([activation("last", act("softplus")), linear("head", 5, 3)]);
    let residual = network(6, 3, Loss::CrossEntropy, ops);
    let squashed = |loss: Loss| {
        let softmax = Op { name: "softmax".into(), kind: OpKind::Softmax };
        let ops = vec![linear("fc1", 6, 5), activation("act1", act("tanh")), linear("head", 5, 3), softmax];
        network(6, 3, loss, ops)
    };
    let mut found = vec![
        ("tanh", plain("tanh")),
        ("relu", plain("relu")),
        ("leaky", plain("leaky-relu")),
        ("batch norm", normed(NormKind::Batch)),
        ("layer norm", normed(NormKind::Layer)),
        ("rms norm", normed(NormKind::Rms)),
        ("residual", residual),
        ("softmax", squashed(Loss::MeanSquaredError)),
        ("softmax, binary", squashed(Loss::BinaryCrossEntropy)),
    ]
    .into_iter()
    .map(|(name, network)| {
        let init = Init { weight: 1.5, bias: 0.2, uniform: false };
        let mut parameters = parameters(&network, init, &mut sampler);
        for (name, values) in &mut parameters {
            if [".gamma", ".beta", ".scale"].iter().any(|end| name.ends_with(end)) {
                values.iter_mut().for_each(|value| *value += 0.3 * sampler.normal());
            }
        }
        (name, network, parameters)
    })
    .collect::<Vec<_>>();
    found.sort_by_key(|entry| entry.0);
    found
}

/// Six layers with an auxiliary head after every second one.
pub(crate) fn supervised(function: &str) -> (Network, Parameters) {
    let mut ops = Vec::new();
    for op in stack(8, 6, act(function), None) {
        let layer = op.name.strip_prefix("act").map(str::to_owned);
        ops.push(op);
        if let Some(layer) = layer.filter(|layer| ["2", "4"].contains(&layer.as_str())) {
            let name = format!("aux{layer}");
            let head = vec![linear(&format!("{name}.head"), 8, 5)];
            ops.push(Op { name, kind: OpKind::AuxiliaryHead(AuxiliaryHead { head, share: 0.3 }) });
        }
    }
    ops.push(linear("head", 8, 5));
    let network = network(8, 5, Loss::CrossEntropy, ops);
    let init = Init { weight: 2.0, bias: 0.2, uniform: false };
    let parameters = parameters(&network, init, &mut Sampler::new(1));
    (network, parameters)
}

/// Fitting targets for a network.
pub(crate) fn targets(network: &Network, batch: usize, sampler: &mut Sampler) -> Targets {
    match network.loss {
        Loss::CrossEntropy => Targets::Classes((0..batch).map(|_| sampler.class(network.outputs)).collect()),
        Loss::MeanSquaredError | Loss::BinaryCrossEntropy | Loss::Other => {
            Targets::Outputs(sampler.normals(batch * network.outputs, 1.0))
        }
    }
}
