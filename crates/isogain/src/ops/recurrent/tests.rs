//! Back-propagation through time against differences of the loss, where the steps do not fit into one addition to the
//! gradients, or into several of the same length.

use burn::tensor::{DType, Device, Tensor};
use isogain_core::network::{Cell, Oscillator, Recurrent};
use isogain_core::theory::{Activation, Initializer};

use super::super::{Collected, Site};
use super::{diagonal_recurrent, oscillating, recurrent};
use crate::model::{matrix, to_f64, vector};

const INPUTS: usize = 2;
const UNITS: usize = 3;

/// Values between -1 and 1 without a pattern that a sum could cancel.
fn numbers(count: usize, phase: f64) -> Vec<f64> {
    (0..count).map(|k| (1.7 * k as f64 + phase).sin() * (0.31 * k as f64).cos()).collect()
}

fn layer(cell: Cell, steps: usize, vanishing_penalty: Option<f64>) -> Recurrent {
    Recurrent {
        cell,
        inputs: INPUTS,
        units: UNITS,
        steps,
        init: Initializer::pytorch_default(),
        hidden_init: Initializer::pytorch_default(),
        activation: Activation::named("tanh").expect("tanh is known"),
        forget_bias: None,
        vanishing_penalty,
        antisymmetric_step: None,
        diagonal: false,
        oscillator: None,
        orthogonal: false,
    }
}

/// Inputs, both weights, both biases: row-major.
type Arguments = [Vec<f64>; 5];

fn tensors(arguments: &Arguments) -> (Tensor<2>, [Tensor<2>; 2], [Tensor<1>; 2]) {
    let [x, weight, hidden_weight, bias, hidden_bias] = arguments;
    let (device, width) = (Device::flex(), bias.len());
    let of = |values: &[f64], columns: usize| matrix(values, values.len() / columns, columns, DType::F64, &device);
    let biases = [bias, hidden_bias].map(|bias| vector(bias, DType::F64, &device));
    (of(x, INPUTS), [of(weight, width), of(hidden_weight, width)], biases)
}

fn output(layer: &Recurrent, arguments: &Arguments) -> Vec<f64> {
    let (x, weights, biases) = tensors(arguments);
    let site = Site::new("rnn", None, &Collected::default());
    to_f64(recurrent(x, layer, weights, biases, site).into_data())
}

/// What the penalty adds to the gradient of U: differences of Omega over U, with states and cotangents held where they are.
#[test]
fn the_penaltys_gradient_is_the_difference_of_omega() {
    let (batch, steps, weight) = (4, 6, 0.7);
    let recurrence = |weight| layer(Cell::Rnn, steps, weight);
    let counts = [batch * steps * INPUTS, INPUTS * UNITS, UNITS * UNITS, UNITS, UNITS];
    let arguments: Arguments = std::array::from_fn(|index| numbers(counts[index], index as f64));
    let factors = numbers(batch * steps * UNITS, 0.7);
    let gradients = |vanishing_penalty| {
        let collected = Collected::default();
        let (x, weights, biases) = tensors(&arguments);
        let x = x.autodiff().require_grad() * 1.0;
        let states = recurrent(x, &recurrence(vanishing_penalty), weights, biases, Site::new("rnn", None, &collected));
        let factor = matrix(&factors, batch * steps, UNITS, DType::F64, &Device::flex()).autodiff();
        (states * factor).sum().backward();
        let found = collected.take_gradients();
        ["weight", "hidden_weight", "bias"].map(|name| found[&format!("rnn.{name}")].to_f64())
    };
    let (bare, penalised) = (gradients(None), gradients(Some(weight)));
    assert_eq!((&bare[0], &bare[2]), (&penalised[0], &penalised[2]), "only U is pulled");

    // States and cotangents of the bare network, sample by sample, by the formula.
    let states = output(&recurrence(None), &arguments);
    let hidden = &arguments[2];
    let at = |sample: usize, step: usize, unit: usize| (sample * steps + step) * UNITS + unit;
    let back = |hidden: &[f64], summed: &[f64]| -> Vec<f64> {
        (0..UNITS).map(|i| (0..UNITS).map(|j| hidden[i * UNITS + j] * summed[j]).sum()).collect()
    };
    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let omega = |moved: &[f64]| -> f64 {
        let mut sum = 0.0;
        for sample in 0..batch {
            let mut slopes = vec![0.0; UNITS];
            for step in (0..steps).rev() {
                slopes.iter_mut().enumerate().for_each(|(unit, slope)| *slope += factors[at(sample, step, unit)]);
                let summed: Vec<f64> =
                    (0..UNITS).map(|unit| slopes[unit] * (1.0 - states[at(sample, step, unit)].powi(2))).collect();
                if step > 0 {
                    sum += (norm(&back(moved, &summed)) / norm(&slopes) - 1.0).powi(2);
                }
                slopes = back(hidden, &summed);
            }
        }
        weight * sum / batch as f64
    };
    for index in 0..UNITS * UNITS {
        let moved = |by: f64| {
            let mut moved = hidden.clone();
            moved[index] += by;
            omega(&moved)
        };
        let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
        let found = penalised[1][index] - bare[1][index];
        assert!((found - difference).abs() < 1e-7 * (1.0 + difference.abs()), "{index}: {found} is not {difference}");
        assert!(difference.abs() > 1e-3, "{index}: nothing is pulled");
    }
}

/// Cotangents whose inverse is no number of f32.
#[test]
fn the_penalty_of_hardly_any_cotangent_is_finite() {
    let (batch, steps) = (3, 4);
    let layer = layer(Cell::Rnn, steps, Some(2.0));
    let values = |count: usize, columns: usize, phase: f64, size: f64| {
        let values: Vec<f64> = numbers(count, phase).iter().map(|value| size * value).collect();
        matrix(&values, count / columns, columns, DType::F32, &Device::flex())
    };
    let pull = |size: f64| {
        let collected = Collected::default();
        let x = values(batch * steps * INPUTS, INPUTS, 0.0, 1.0).autodiff().require_grad() * 1.0;
        let weights = [values(INPUTS * UNITS, UNITS, 1.0, 1.0), values(UNITS * UNITS, UNITS, 2.0, 1.0)];
        let biases = [0.1, 0.2].map(|phase| vector(&numbers(UNITS, phase), DType::F32, &Device::flex()));
        let states = recurrent(x, &layer, weights, biases, Site::new("rnn", None, &collected));
        (states * values(batch * steps * UNITS, UNITS, 0.7, size).autodiff()).sum().backward();
        collected.take_gradients()["rnn.hidden_weight"].to_f64()
    };
    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let (usual, tiny) = (pull(1e-6), pull(1e-42));
    assert!(norm(&usual) > 0.1 && tiny.iter().all(|value| value.is_finite()), "{usual:?} {tiny:?}");
    // 1e-42 has two digits left.
    let apart: Vec<f64> = usual.iter().zip(&tiny).map(|(a, b)| a - b).collect();
    assert!(norm(&apart) < 0.1 * norm(&usual), "{usual:?} {tiny:?}");
}

#[test]
fn gradients_are_differences_of_the_loss() {
    // 64 rows together: 13 steps of 5 samples, with 4 left over; every step of 70 on its own.
    for (batch, steps) in [(5, 30), (70, 3)] {
        for (cell, gates, antisymmetric_step) in
            [(Cell::Rnn, 1, None), (Cell::Rnn, 1, Some(0.3)), (Cell::Lstm, 4, None), (Cell::Gru, 3, None)]
        {
            let layer = Recurrent { antisymmetric_step, ..layer(cell, steps, None) };
            let width = gates * UNITS;
            let counts = [batch * steps * INPUTS, INPUTS * width, UNITS * width, width, width];
            let arguments: Arguments = std::array::from_fn(|index| numbers(counts[index], index as f64));
            let factors = numbers(batch * steps * UNITS, 0.7);

            let collected = Collected::default();
            let (x, weights, biases) = tensors(&arguments);
            let leaf = x.autodiff().require_grad();
            let states = recurrent(leaf.clone() * 1.0, &layer, weights, biases, Site::new("rnn", None, &collected));
            let factor = matrix(&factors, batch * steps, UNITS, DType::F64, &Device::flex()).autodiff();
            let gradients = (states * factor).sum().backward();
            let mut found = vec![to_f64(leaf.grad(&gradients).expect("the input has a cotangent").into_data())];
            let parameters = collected.take_gradients();
            for name in ["weight", "hidden_weight", "bias", "hidden_bias"] {
                found.push(parameters[&format!("rnn.{name}")].to_f64());
            }

            let loss = |arguments: &Arguments| -> f64 {
                output(&layer, arguments).iter().zip(&factors).map(|(state, factor)| state * factor).sum()
            };
            are_differences(&format!("{cell:?}, {batch} samples"), &arguments, &found, loss);
        }
    }
}

/// What was found for each argument is how the loss changes with it, at places spread over the whole of it.
fn are_differences<const N: usize>(
    what: &str,
    arguments: &[Vec<f64>; N],
    found: &[Vec<f64>],
    loss: impl Fn(&[Vec<f64>; N]) -> f64,
) {
    assert_eq!(found.len(), N);
    for (argument, found) in found.iter().enumerate() {
        let count = arguments[argument].len();
        for index in (0..count).step_by(count.div_ceil(7)) {
            let moved = |by: f64| {
                let mut moved = arguments.clone();
                moved[argument][index] += by;
                loss(&moved)
            };
            // The error of the difference is some 1e-12 of the third derivative.
            let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!(
                (found[index] - difference).abs() < 1e-7 * (1.0 + difference.abs()),
                "{what}, argument {argument} at {index}: {} is not {difference}",
                found[index]
            );
        }
    }
}

/// Inputs, weight, bias, nu.
type DiagonalArguments = [Vec<f64>; 4];

/// The states `[batch x steps, units]` of a diagonal recurrence, from inputs that may be on the tape.
fn diagonal(x: Tensor<2>, layer: &Recurrent, arguments: &DiagonalArguments, collected: &Collected) -> Tensor<2> {
    let [_, weight, bias, log_decay] = arguments;
    let device = Device::flex();
    let weight = matrix(weight, INPUTS, UNITS, DType::F64, &device);
    let vectors = [bias, log_decay].map(|values| vector(values, DType::F64, &device));
    diagonal_recurrent(x, layer, weight, vectors, Site::new("rnn", None, collected))
}

fn diagonal_layer(activation: &str, steps: usize) -> Recurrent {
    let activation = Activation::named(activation).expect("it is known");
    Recurrent { activation, diagonal: true, ..layer(Cell::Rnn, steps, None) }
}

/// The states, and gradients of inputs and parameters of the states' sum with these factors.
fn pulled(layer: &Recurrent, arguments: &DiagonalArguments, factors: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (collected, rows) = (Collected::default(), factors.len() / UNITS);
    let leaf = matrix(&arguments[0], rows, INPUTS, DType::F64, &Device::flex()).autodiff().require_grad();
    let states = diagonal(leaf.clone() * 1.0, layer, arguments, &collected);
    let values = to_f64(states.clone().into_data());
    let factor = matrix(factors, rows, UNITS, DType::F64, &Device::flex()).autodiff();
    let gradients = (states * factor).sum().backward();
    let mut found = vec![to_f64(leaf.grad(&gradients).expect("the input has a cotangent").into_data())];
    let parameters = collected.take_gradients();
    found.extend(["weight", "bias", "log_decay"].map(|name| parameters[&format!("rnn.{name}")].to_f64()));
    (values, found)
}

/// One step alone, and samples of many: the state and what it is read from, by the formula.
#[test]
fn a_diagonal_recurrences_gradients_are_differences_of_the_loss() {
    for (batch, steps, activation) in [(5, 30, "relu"), (5, 30, "tanh"), (4, 1, "relu"), (70, 3, "sigmoid")] {
        let layer = diagonal_layer(activation, steps);
        let counts = [batch * steps * INPUTS, INPUTS * UNITS, UNITS, UNITS];
        let mut arguments: DiagonalArguments = std::array::from_fn(|index| numbers(counts[index], index as f64));
        arguments[3].iter_mut().for_each(|nu| *nu -= 1.0);
        let factors = numbers(batch * steps * UNITS, 0.7);
        let (states, found) = pulled(&layer, &arguments, &factors);

        let by_formula = |[x, weight, bias, log_decay]: &DiagonalArguments| -> Vec<f64> {
            let mut states = Vec::new();
            for (row, x) in x.chunks_exact(INPUTS).enumerate() {
                for unit in 0..UNITS {
                    let z: f64 = (0..INPUTS).map(|i| x[i] * weight[i * UNITS + unit]).sum();
                    let kept = (-log_decay[unit].exp()).exp();
                    let before = if row % steps == 0 { 0.0 } else { states[(row - 1) * UNITS + unit] };
                    states.push(kept * before + (1.0 - kept * kept).sqrt() * layer.activation.value(z + bias[unit]));
                }
            }
            states
        };
        let expected = by_formula(&arguments);
        let apart = states.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-12, "{activation}, {batch} samples: {apart}");
        let loss = |arguments: &DiagonalArguments| -> f64 {
            by_formula(arguments).iter().zip(&factors).map(|(state, factor)| state * factor).sum()
        };
        are_differences(&format!("{activation}, {batch} samples"), &arguments, &found, loss);
    }
}

/// Decays beyond the range of numbers: everything is kept and nothing read, or the other way round; and gradients are 0, not
/// 0 x infinity.
#[test]
fn decays_without_bounds_have_gradients() {
    let (batch, steps) = (2, 4);
    let layer = diagonal_layer("relu", steps);
    let factors = numbers(batch * steps * UNITS, 0.7);
    for (nu, keeps) in [(-800.0, true), (800.0, false)] {
        let arguments =
            [numbers(batch * steps * INPUTS, 0.0), numbers(INPUTS * UNITS, 1.0), vec![1.0; UNITS], vec![nu; UNITS]];
        let (states, found) = pulled(&layer, &arguments, &factors);
        assert_eq!(states.iter().all(|&state| state == 0.0), keeps, "{nu}: {states:?}");
        assert_eq!(found[3], [0.0; UNITS], "{nu}");
        assert!(found.iter().flatten().all(|value| value.is_finite()), "{nu}: {found:?}");
    }
}

/// Inputs, weights of the input, of positions above velocities, bias.
type OscillatorArguments = [Vec<f64>; 4];

/// Steps that are one, or do not fill a lane; overdamped, undamped, and without stiffness.
#[test]
fn oscillators_gradients_are_differences_of_the_loss() {
    let numbers_of = |step, stiffness, damping| Oscillator { step, stiffness, damping };
    for (batch, steps, activation, oscillator) in [
        (5, 30, "tanh", numbers_of(0.1, 1.0, 1.0)),
        (4, 1, "sigmoid", numbers_of(0.7, 2.0, 0.0)),
        (70, 3, "relu", numbers_of(0.3, 0.5, 4.0)),
        (3, 12, "tanh", numbers_of(0.5, 0.0, 0.2)),
    ] {
        let activation = Activation::named(activation).expect("it is known");
        let layer = Recurrent { activation, oscillator: Some(oscillator), ..layer(Cell::Rnn, steps, None) };
        let counts = [batch * steps * INPUTS, INPUTS * UNITS, 2 * UNITS * UNITS, UNITS];
        let arguments: OscillatorArguments = std::array::from_fn(|index| numbers(counts[index], 0.3 + index as f64));
        let factors = numbers(batch * steps * UNITS, 0.7);

        let (device, collected) = (Device::flex(), Collected::default());
        let of = |values: &[f64], columns: usize| matrix(values, values.len() / columns, columns, DType::F64, &device);
        let leaf = of(&arguments[0], INPUTS).autodiff().require_grad();
        let weights = [of(&arguments[1], UNITS), of(&arguments[2], UNITS)];
        let bias = vector(&arguments[3], DType::F64, &device);
        let site = Site::new("rnn", None, &collected);
        let positions = oscillating(leaf.clone() * 1.0, &layer, oscillator, weights, bias, site);
        let values = to_f64(positions.clone().into_data());
        let gradients = (positions * of(&factors, UNITS).autodiff()).sum().backward();
        let mut found = vec![to_f64(leaf.grad(&gradients).expect("the input has a cotangent").into_data())];
        let parameters = collected.take_gradients();
        found.extend(["weight", "hidden_weight", "bias"].map(|name| parameters[&format!("rnn.{name}")].to_f64()));

        let by_formula = |[x, weight, hidden_weight, bias]: &OscillatorArguments| -> Vec<f64> {
            let Oscillator { step, stiffness, damping } = oscillator;
            let mut positions = Vec::new();
            let (mut y, mut z) = ([0.0; UNITS], [0.0; UNITS]);
            for (row, x) in x.chunks_exact(INPUTS).enumerate() {
                if row % steps == 0 {
                    (y, z) = ([0.0; UNITS], [0.0; UNITS]);
                }
                let state = [y, z].concat();
                let column = |values: &[f64], weights: &[f64], unit: usize| -> f64 {
                    values.iter().enumerate().map(|(row, value)| value * weights[row * UNITS + unit]).sum()
                };
                for unit in 0..UNITS {
                    let sum = column(x, weight, unit) + column(&state, hidden_weight, unit) + bias[unit];
                    z[unit] += step * (layer.activation.value(sum) - stiffness * state[unit] - damping * z[unit]);
                    y[unit] += step * z[unit];
                }
                positions.extend(y);
            }
            positions
        };
        let apart = values.iter().zip(by_formula(&arguments)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-12, "{oscillator:?}: {apart}");
        let loss = |arguments: &OscillatorArguments| -> f64 {
            by_formula(arguments).iter().zip(&factors).map(|(position, factor)| position * factor).sum()
        };
        are_differences(&format!("{oscillator:?}"), &arguments, &found, loss);
    }
}
