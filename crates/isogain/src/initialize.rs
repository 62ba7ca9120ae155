//! A model from a network description and a seed.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use isogain_core::network::{Cell, Convolution, ForgetBias, NamedBias, Network, NormKind, OpKind, Recurrent};
use isogain_core::theory::{Activation, Initializer};

use crate::data::Samples;
use crate::memory;
use crate::model::{Model, Running, Value, matrix, vector};
use crate::ops::Arithmetic;

mod finish;

impl Model {
    /// Draws every parameter; `batch` is needed by data-dependent initialisers. Parameters are drawn in f64 from
    /// one ChaCha stream in forward order, so the same seed gives the same network in either precision. Those of auxiliary
    /// heads come from another one, so that the network is the same with and without them.
    pub fn new(network: &Network, seed: u64, dtype: DType, batch: &Samples) -> Self {
        memory::keep_freed();
        let device = Device::flex();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let (mut parameters, mut running) = (BTreeMap::new(), BTreeMap::new());
        let mut of_heads = ChaCha8Rng::seed_from_u64(seed);
        of_heads.set_stream(1);
        let beside = network.auxiliary_heads().flat_map(|(_, auxiliary)| &auxiliary.head).map(|op| (op, true));
        for (op, is_beside) in network.body().into_iter().map(|op| (op, false)).chain(beside) {
            let generator = if is_beside { &mut of_heads } else { &mut generator };
            let mut keep = |parameter: &str, value: Value| parameters.insert(format!("{}.{parameter}", op.name), value);
            let constant = |value: f64, count: usize| Value::Vector(vector(&vec![value; count], dtype, &device));
            match &op.kind {
                OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. }) => {
                    let (rows, columns) = (linear.fan_in, linear.fan_out);
                    let taps = if let OpKind::Convolution(convolution) = &op.kind { convolution.taps() } else { 1 };
                    let bias = if linear.tied.is_none() {
                        let (weight, bias) = linear.sample(taps, generator);
                        let weight = if let Some(norm) = linear.weight_norm {
                            let gains = norm.start(&weight, columns, linear.activation);
                            keep("gain", Value::Vector(vector(&gains, dtype, &device)));
                            norm.trained(weight, columns)
                        } else {
                            weight
                        };
                        keep("weight", Value::Matrix(matrix(&weight, rows, columns, dtype, &device)));
                        bias
                    } else {
                        linear.init.sample_bias(rows, columns, linear.activation, generator)
                    };
                    keep("bias", Value::Vector(vector(&bias, dtype, &device)));
                }
                OpKind::Norm(norm) => {
                    keep("gamma", constant(1.0, norm.features));
                    if norm.norm != NormKind::Rms {
                        keep("beta", constant(0.0, norm.features));
                    }
                    if norm.norm.is_over_batch() {
                        running.insert(op.name.clone(), Running::new(norm.features));
                    }
                }
                OpKind::QkNorm(norm) => {
                    keep("query_gamma", constant(1.0, norm.head_width()));
                    keep("key_gamma", constant(1.0, norm.head_width()));
                }
                OpKind::Residual(residual) if residual.learnable => {
                    keep("scale", constant(residual.scale, residual.channels.max(1)));
                }
                OpKind::Embedding(embedding) => {
                    let mut table = |rows: usize| {
                        let columns = embedding.features;
                        let values = embedding.init.sample_weight(rows, columns, Activation::linear(), generator);
                        Value::Matrix(matrix(&values, rows, columns, dtype, &device))
                    };
                    keep("weight", table(embedding.vocabulary));
                    if embedding.positions {
                        keep("position", table(embedding.steps));
                    }
                }
                OpKind::Recurrent(recurrent) if recurrent.diagonal => {
                    let Recurrent { init, activation, inputs, units, .. } = *recurrent;
                    let weight = init.sample_weight(inputs, units, activation, generator);
                    let bias = init.sample_bias(inputs, units, activation, generator);
                    let log_decay = log_decays(recurrent, generator);
                    keep("weight", Value::Matrix(matrix(&weight, inputs, units, dtype, &device)));
                    keep("bias", Value::Vector(vector(&bias, dtype, &device)));
                    keep("log_decay", Value::Vector(vector(&log_decay, dtype, &device)));
                }
                OpKind::Recurrent(recurrent) if recurrent.oscillator.is_some() => {
                    let Recurrent { init, hidden_init, activation, inputs, units, .. } = *recurrent;
                    let weight = recurrent_weight(recurrent, init, inputs, generator);
                    // Of positions and of velocities, each as those of a plain state.
                    let hidden = [hidden_init; 2].map(|init| recurrent_weight(recurrent, init, units, generator));
                    let bias = init.sample_bias(units, units, activation, generator);
                    keep("weight", Value::Matrix(matrix(&weight, inputs, units, dtype, &device)));
                    keep("hidden_weight", Value::Matrix(matrix(&hidden.concat(), 2 * units, units, dtype, &device)));
                    keep("bias", Value::Vector(vector(&bias, dtype, &device)));
                }
                OpKind::Recurrent(recurrent) => {
                    let Recurrent { inputs, units, .. } = *recurrent;
                    let width = recurrent.cell.gates().len() * units;
                    let weight = recurrent_weight(recurrent, recurrent.init, inputs, generator);
                    let drawn = recurrent_weight(recurrent, recurrent.hidden_init, units, generator);
                    let hidden = recurrent.trained_hidden_weight(drawn);
                    let [bias, hidden_bias] = recurrent_biases(recurrent, generator);
                    keep("weight", Value::Matrix(matrix(&weight, inputs, width, dtype, &device)));
                    keep("hidden_weight", Value::Matrix(matrix(&hidden, units, width, dtype, &device)));
                    keep("bias", Value::Vector(vector(&bias, dtype, &device)));
                    keep("hidden_bias", Value::Vector(vector(&hidden_bias, dtype, &device)));
                }
                OpKind::Residual(_)
                | OpKind::AuxiliaryHead(_)
                | OpKind::Activation { .. }
                | OpKind::Softmax
                | OpKind::Pool(_)
                | OpKind::Flatten(_)
                | OpKind::Dropout(_)
                | OpKind::StochasticDepth(_)
                | OpKind::Attention(_)
                | OpKind::Other(_) => {}
            }
        }
        let mut model =
            Self { network: network.clone(), parameters, running, dtype, device, arithmetic: Arithmetic::default() };
        model.finish(batch, &mut generator);
        model
    }
}

/// Weights `[rows, gates x units]`, each gate's block drawn on its own. PyTorch's default counts the units as fan-in of
/// every weight of a recurrent layer, those of the input too.
fn recurrent_weight(layer: &Recurrent, init: Initializer, rows: usize, generator: &mut ChaCha8Rng) -> Vec<f64> {
    let (units, gates) = (layer.units, layer.cell.gates().len());
    let phi = if layer.cell == Cell::Rnn { layer.activation } else { Activation::linear() };
    if init.name() == Initializer::pytorch_default().name() {
        return init.sample_weight(units, gates * rows, phi, generator);
    }
    let blocks: Vec<Vec<f64>> = (0..gates).map(|_| init.sample_weight(rows, units, phi, generator)).collect();
    (0..rows).flat_map(|row| blocks.iter().flat_map(move |block| &block[row * units..][..units])).copied().collect()
}

/// Biases of input and state `[gates x units]`. A forget bias that the recipe sets stands in the first; the second is
/// then 0 there.
fn recurrent_biases(layer: &Recurrent, generator: &mut ChaCha8Rng) -> [Vec<f64>; 2] {
    let units = layer.units;
    let width = layer.cell.gates().len() * units;
    let phi = if layer.cell == Cell::Rnn { layer.activation } else { Activation::linear() };
    let mut biases = [0, 1].map(|_| layer.init.sample_bias(units, width, phi, generator));
    let (Some(forget_bias), Some(gate)) = (layer.forget_bias, remembering_gate(layer.cell)) else { return biases };
    for unit in 0..units {
        let value = match forget_bias {
            ForgetBias::Number(number) => number,
            ForgetBias::Named(NamedBias::Chrono) => memory(layer.steps, generator).ln(),
        };
        biases[0][gate * units + unit] = value;
        biases[1][gate * units + unit] = 0.0;
        if layer.cell == Cell::Lstm && matches!(forget_bias, ForgetBias::Named(NamedBias::Chrono)) {
            biases[0][unit] = -value;
            biases[1][unit] = 0.0;
        }
    }
    biases
}

/// Time steps that a unit remembers, spread evenly over a sample of so many (Tallec & Ollivier 2018).
fn memory(steps: usize, generator: &mut ChaCha8Rng) -> f64 {
    generator.random_range(1.0..(steps.max(3) - 1) as f64)
}

/// nu of a diagonal recurrence `[units]`: each keeps lambda = u / (1 + u) per step, as a gate of bias ln u does, and ln lambda
/// is -exp(nu).
fn log_decays(layer: &Recurrent, generator: &mut ChaCha8Rng) -> Vec<f64> {
    (0..layer.units).map(|_| memory(layer.steps, generator).recip().ln_1p().ln()).collect()
}

/// Index of the gate that decides how long a state stays.
fn remembering_gate(cell: Cell) -> Option<usize> {
    match cell {
        Cell::Rnn => None,
        Cell::Lstm | Cell::Gru => Some(1),
    }
}
