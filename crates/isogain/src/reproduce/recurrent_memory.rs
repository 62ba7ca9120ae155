//! T20: what a recurrence can remember. The gradient through time is bounded by powers of the largest singular value
//! (Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013), of a linear recurrence it follows the spectral radius, of an
//! LSTM the forget gate (Gers et al. 2000; Tallec & Ollivier 2018).

use burn::tensor::DType;
use isogain_core::network::{Cell, ForgetBias, NamedBias, Network, Op, OpKind, Pool, PoolKind, Recurrent, Shape};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::Initializer;
use isogain_core::theory::recurrent::{Carry, chrono_retention};
use isogain_core::weights::singular_values;

use super::bench::{Sampler, init, mean, model, network, normal, pass, phi, set, slope, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::model::{matrix, to_f64};
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "recurrent-memory",
    title: "The gradient through time is bounded by the weights' norm, and an LSTM keeps what its forget gate lets through",
    source: "Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013; Gers et al. 2000; Tallec & Ollivier 2018",
    setting: "1000 random tanh recurrences; linear ones of 256 units over 300 steps; LSTMs without input; one sigmoid unit \
              over 50 steps",
    disproof: None,
    seconds: 10,
    run,
};

const BOUNDED: u64 = 1000;
const GAINS: [f64; 5] = [0.5, 0.9, 1.0, 1.1, 1.5];
const CHRONO_STEPS: usize = 100;

/// A recurrent layer named `rnn`, of which the last state counts.
fn recurrence(
    cell: Cell,
    [inputs, units, steps]: [usize; 3],
    [init, hidden]: [Initializer; 2],
    function: &str,
) -> Result<Network, Error> {
    let layer = Recurrent {
        cell,
        inputs,
        units,
        steps,
        init,
        hidden_init: hidden,
        activation: phi(function)?,
        forget_bias: None,
        vanishing_penalty: None,
        antisymmetric_step: None,
        diagonal: false,
        oscillator: None,
        orthogonal: false,
    };
    let last = Pool { pool: PoolKind::Last, window: None, positions: steps };
    let ops = vec![
        Op { name: "rnn".to_owned(), kind: OpKind::Recurrent(layer) },
        Op { name: "last".to_owned(), kind: OpKind::Pool(last) },
    ];
    Ok(network(Shape::sequence(steps, inputs), units, ops))
}

fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The largest of |dL/dh_t| over s^(T - t) |dL/dh_T|, s the largest singular value of the state's weights.
fn over_the_bound(seed: u64) -> Result<f64, Error> {
    let mut sampler = Sampler::new(seed);
    let (units, steps) = (2 + sampler.below(11), 2 + sampler.below(19));
    let size = 0.2 + 0.2 * sampler.below(12) as f64;
    let init = [normal(1.0, 0.1)?, normal(size * size, 0.0)?];
    let network = recurrence(Cell::Rnn, [2, units, steps], init, "tanh")?;
    let model = model(&network, seed, DType::F64);
    let largest = singular_values(&model.parameters["rnn.hidden_weight"].to_f64(), units, units);
    let largest = largest.last().copied().unwrap_or(f64::NAN);
    let passed = pass(&model, &sampler.normals(2 * steps, 1.0), &sampler.normals(units, 1.0), Keep::Values);
    let states: Vec<f64> = passed.seen.through_time["rnn"].states.iter().map(|state| length(state)).collect();
    let last = states[steps - 1];
    let share = |(step, state): (usize, &f64)| state / (largest.powi((steps - 1 - step) as i32) * last);
    Ok(states.iter().enumerate().map(share).fold(0.0, f64::max))
}

/// ln of the gradient's length by steps back of a linear recurrence with weights of deviation gain/sqrt(units), and ln of
/// their spectral radius.
fn linear(gain: f64) -> Result<(Vec<(f64, f64)>, f64), Error> {
    const UNITS: usize = 256;
    const STEPS: usize = 300;
    let inits = [init("zeros", &[])?, normal(gain * gain, 0.0)?];
    let model = model(&recurrence(Cell::Rnn, [1, UNITS, STEPS], inits, "linear")?, 0, DType::F64);
    let passed = pass(&model, &[0.0; STEPS], &Sampler::new(0).normals(UNITS, 1.0), Keep::Values);
    let states = passed.seen.through_time["rnn"].states.iter().rev().enumerate();
    let logs = states.map(|(back, state)| (back as f64, length(state).ln())).collect();

    // Gelfand's formula: rho = lim |W^k|^(1/k), by squaring W again and again.
    let weights = model.parameters["rnn.hidden_weight"].to_f64();
    let (mut power, mut exponent, mut log) = (matrix(&weights, UNITS, UNITS, DType::F64, &model.device), 1.0, 0.0);
    for _ in 0..24 {
        power = power.clone().matmul(power);
        exponent *= 2.0;
        let size = length(&to_f64(power.clone().into_data()));
        log = 2.0 * log + size.ln();
        power = power / size;
    }
    Ok((logs, log / exponent))
}

/// Steps back after which half of the gradient is left, measured over a step of an LSTM whose forget bias is this.
fn half_life(bias: f64) -> Result<f64, Error> {
    const STEPS: usize = 20;
    let zeros = init("zeros", &[])?;
    let mut model = model(&recurrence(Cell::Lstm, [1, 1, STEPS], [zeros; 2], "tanh")?, 0, DType::F64);
    // Gates: input, forget, candidate, output. Only the candidate reads the input.
    set(&mut model, "rnn.weight", &[0.0, 0.0, 1.0, 0.0]);
    set(&mut model, "rnn.bias", &[0.0, bias, 0.0, 0.0]);
    let seen = pass(&model, &[0.0; STEPS], &[1.0], Keep::Values).seen;
    let back = values(&seen.backward, "input");
    Ok(0.5_f64.ln() / (back[0] / back[STEPS - 1]).ln() * (STEPS - 1) as f64)
}

/// Mean over units with chrono initialisation of what is left of the gradient after all steps.
fn chrono(seeds: u64) -> Result<f64, Error> {
    const UNITS: usize = 256;
    let zeros = init("zeros", &[])?;
    let mut network = recurrence(Cell::Lstm, [UNITS, UNITS, CHRONO_STEPS], [zeros; 2], "tanh")?;
    if let OpKind::Recurrent(layer) = &mut network.ops[0].kind {
        layer.forget_bias = Some(ForgetBias::Named(NamedBias::Chrono));
    }
    // Each unit's candidate reads an input of its own.
    let mut weight = vec![0.0; UNITS * 4 * UNITS];
    (0..UNITS).for_each(|unit| weight[unit * 4 * UNITS + 2 * UNITS + unit] = 1.0);
    let mut kept = Vec::new();
    for seed in 0..seeds {
        let mut model = model(&network, seed, DType::F64);
        set(&mut model, "rnn.weight", &weight);
        let seen = pass(&model, &vec![0.0; CHRONO_STEPS * UNITS], &[1.0; UNITS], Keep::Values).seen;
        let back = values(&seen.backward, "input");
        kept.extend((0..UNITS).map(|unit| back[unit] / back[(CHRONO_STEPS - 1) * UNITS + unit]));
    }
    Ok(mean(kept))
}

/// |dx/dw| + |dx/db| of x' = w sigmoid(x) + b after 50 steps from x = 1/2.
fn cliff(weight: f64, bias: f64) -> Result<f64, Error> {
    const STEPS: usize = 50;
    let zeros = init("zeros", &[])?;
    let mut model = model(&recurrence(Cell::Rnn, [1, 1, STEPS], [zeros; 2], "sigmoid")?, 0, DType::F64);
    // The engine's state is sigmoid(x), from 0; what the start would bring comes as the first input.
    for (name, value) in [("weight", weight), ("hidden_weight", weight), ("bias", bias)] {
        set(&mut model, &format!("rnn.{name}"), &[value]);
    }
    let mut inputs = [0.0; STEPS];
    inputs[0] = phi("sigmoid")?.value(0.5);
    let passed = pass(&model, &inputs, &[1.0], Keep::Values);
    let of = |name: &str| passed.gradients[format!("rnn.{name}").as_str()].to_f64()[0];
    let state = passed.outputs[0];
    Ok(((of("weight") + of("hidden_weight")).abs() + of("bias").abs()) / (state * (1.0 - state)))
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut largest = 0.0_f64;
    for seed in 0..BOUNDED {
        lab.at(seed as usize / 2, BOUNDED as usize)?;
        largest = largest.max(over_the_bound(seed)?);
    }
    let what = "1000 tanh recurrences: largest gradient over its bound";
    found.rows.push(Row::new(what, largest, Expected::Below { limit: 1.0 + 1e-9 }, Basis::Exact));

    let mut figure =
        Figure::new("Gradient of a linear recurrence", Scale::linear("steps back"), Scale::linear("ln of its length"));
    for (index, gain) in GAINS.into_iter().enumerate() {
        lab.at(BOUNDED as usize / 2 + index * 60, BOUNDED as usize)?;
        let (logs, radius) = linear(gain)?;
        let half = logs.len() / 2;
        let what = format!("linear, weights {gain}/sqrt(256): ln of the gradient's growth per step");
        // Two eigenvalues of nearly the same size beat; 2 % of the rate, or 0.001 where the rate is near zero.
        let theirs = Expected::Near { value: radius, tolerance: (0.02 * radius.abs()).max(0.001) };
        found.rows.push(Row::new(what, slope(&logs[half..]), theirs, Basis::Exact));
        let line = logs.iter().map(|(back, _)| (*back, logs[half].1 + (back - logs[half].0) * radius)).collect();
        figure = figure.with(format!("{gain}, spectral radius"), Mark::Theory, line);
        figure = figure.with(format!("weights {gain}/sqrt(256)"), Mark::Line, logs);
    }
    found.figures.push(figure);
    for bias in [0.0, 1.0, 2.0, 3.0, 5.0] {
        let theory = Carry::Gate { bias }.half_life().unwrap_or(f64::NAN);
        let what = format!("LSTM, forget bias {bias}: half-life in steps");
        found.rows.push(Row::new(what, half_life(bias)?, Expected::within(theory, 1e-9), Basis::Exact));
    }
    lab.at(9, 10)?;
    // 2048 units of deviation 0.13: three standard errors.
    let kept = chrono(8)?;
    let theory = chrono_retention((CHRONO_STEPS - 1) as f64, CHRONO_STEPS);
    let theirs = Expected::Near { value: theory, tolerance: 0.009 };
    found.rows.push(Row::new("LSTM, chrono bias, 100 steps: mean part kept to the end", kept, theirs, Basis::Exact));
    let what = "one sigmoid unit, w = 4.9, b = -2.55: gradient after 50 steps";
    found.rows.push(Row::new(what, cliff(4.9, -2.55)?, Expected::within(6707.0, 1e-4), Basis::Measured));
    Ok(found)
}
