//! How far back a recurrent layer's gradient reaches, where theory knows the answer.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use burn::tensor::DType;
use isogain::data::{Samples, Targets};
use isogain::model::Model;
use isogain::snapshot::{loss_and_gradients, snapshot};
use isogain_core::flow::Joint;
use isogain_core::network::{
    Cell, ForgetBias, Linear, Loss, NamedBias, Network, Op, OpKind, Oscillator, Pool, PoolKind, Recurrent, Shape,
};
use isogain_core::theory::recurrent::{antisymmetric_chi, chrono_retention, diagonal_retention, oscillator_chi};
use isogain_core::theory::{Activation, Initializer};

fn recurrent(cell: Cell, units: usize, steps: usize, activation: &str) -> Recurrent {
    Recurrent {
        cell,
        inputs: 1,
        units,
        steps,
        init: Initializer::pytorch_default(),
        hidden_init: Initializer::pytorch_default(),
        activation: Activation::named(activation).unwrap(),
        forget_bias: None,
        vanishing_penalty: None,
        antisymmetric_step: None,
        diagonal: false,
        oscillator: None,
        orthogonal: false,
    }
}

/// One recurrent layer, its last step, a linear head, mean squared error.
fn network(layer: Recurrent) -> Network {
    let op = |name: &str, kind: OpKind| Op { name: name.into(), kind };
    let head = Linear::new(layer.units, 1, Initializer::pytorch_default(), Activation::linear());
    let steps = layer.steps;
    Network {
        input: Shape::sequence(steps, layer.inputs),
        outputs: 1,
        ops: vec![
            op("rnn", OpKind::Recurrent(layer)),
            op("last", OpKind::Pool(Pool { pool: PoolKind::Last, window: None, positions: steps })),
            op("head", OpKind::Linear(head)),
        ],
        loss: Loss::MeanSquaredError,
    }
}

fn samples(inputs: Vec<f64>, steps: usize, targets: Vec<f64>) -> Samples {
    Samples { shape: Shape::sequence(steps, 1), inputs, targets: Targets::Values { values: targets, outputs: 1 } }
}

/// Numbers in (-1, 1) without a pattern.
fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|k| ((k * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0).collect()
}

fn set(model: &mut Model, name: &str, values: &[f64]) {
    let value = model.parameters[name].with(values, DType::F64);
    model.parameters.insert(name.into(), value);
}

fn joint(model: &Model, batch: &Samples) -> Joint {
    snapshot(model, batch, 0).unwrap().flow.joints.into_iter().find(|joint| joint.name == "rnn").unwrap()
}

/// With a linear state the gradient that comes back is multiplied by U^T alone: as long at the first step as at the last,
/// whatever V was set to, and while it trains.
#[test]
fn an_orthogonal_recurrence_keeps_the_gradient_while_it_trains() {
    let (units, steps) = (12, 30);
    let layer = Recurrent { orthogonal: true, ..recurrent(Cell::Rnn, units, steps, "linear") };
    let batch = samples(numbers(8 * steps, 3), steps, numbers(8, 4));
    let mut model = Model::new(&network(layer.clone()), 2, DType::F64, &batch);
    let mut hidden = numbers(units * units, 5);
    // Numbers without a pattern to the eye make a matrix that has lost two directions.
    hidden.iter_mut().step_by(units + 1).for_each(|value| *value += 2.0);
    set(&mut model, "rnn.hidden_weight", &hidden);
    let (mut first, mut last) = (f64::NAN, f64::NAN);
    for at in 0..100 {
        let states = joint(&model, &batch).states;
        let apart = states.iter().map(|state| (state / states[steps - 1] - 1.0).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-12, "step {at}: {apart}");
        let (loss, gradients) = loss_and_gradients(&model, &batch, None);
        first = if at == 0 { loss } else { first };
        last = loss;
        for (name, gradient) in gradients {
            let values = model.parameters[&name].to_f64();
            let moved: Vec<f64> = values.iter().zip(gradient.to_f64()).map(|(v, g)| v - 0.005 * g).collect();
            set(&mut model, &name, &moved);
        }
    }
    assert!(last < 0.5 * first, "{first} to {last}");
    // The weights that are multiplied by themselves grow or shrink it at once.
    let mut free = Model::new(&network(Recurrent { orthogonal: false, ..layer }), 2, DType::F64, &batch);
    set(&mut free, "rnn.hidden_weight", &hidden);
    let states = joint(&free, &batch).states;
    assert!((states[0] / states[steps - 1]).ln().abs() > 3.0, "{states:?}");
}

/// Through an antisymmetric matrix the gradient grows as slowly as the forecast says of the directions that turn fastest, here for
/// slopes of 1; weights that are multiplied by themselves would lose it, by 0.577 per step.
#[test]
fn an_antisymmetric_recurrence_keeps_the_gradient() {
    let (units, steps, step) = (64, 1000, 0.1);
    let layer = Recurrent { antisymmetric_step: Some(step), ..recurrent(Cell::Rnn, units, steps, "linear") };
    let batch = samples(numbers(2 * steps, 3), steps, numbers(2, 4));
    for seed in [1, 2, 3] {
        let joint = joint(&Model::new(&network(layer.clone()), seed, DType::F64, &batch), &batch);
        let per_step = |from: usize| (joint.states[from] / joint.states[steps - 1]).ln() / (steps - 1 - from) as f64;
        let fastest = 0.5 * antisymmetric_chi(step, 1.0 / 3.0, 1.0).ln();
        // Of 64 units the largest eigenvalue is up to a tenth below the edge, which is that of infinitely many, and the growth
        // goes with its square; a few directions of 64 lead, whose part at first is some 1 / 8: 2 / 1000 less.
        assert!((0.6 * fastest..1.05 * fastest).contains(&per_step(0)), "{} is not {fastest}", per_step(0));
        // Before they lead it is less.
        assert!((0.0..0.6 * fastest).contains(&per_step(steps - 50)), "{}", per_step(steps - 50));
        let carry = joint.paths.iter().find(|path| path.path == "carry").unwrap();
        assert!(carry.share > 0.9, "{:?}", joint.paths);
    }
}

/// After many steps the gradient of coupled oscillators changes as the largest eigenvalue of a step says, here for slopes of 1; and
/// without weights as their own motion does, whatever the units.
#[test]
fn oscillators_keep_the_gradient_as_their_eigenvalues_say() {
    let (units, steps) = (100, 1500);
    let batch = samples(numbers(2 * steps, 3), steps, numbers(2, 4));
    for (oscillator, seeds) in [
        (Oscillator::default(), [1, 2, 3]),
        (Oscillator { step: 0.1, stiffness: 0.2, damping: 0.3 }, [4, 5, 6]),
        (Oscillator { step: 0.05, stiffness: 3.0, damping: 5.0 }, [7, 8, 9]),
    ] {
        let layer = Recurrent { oscillator: Some(oscillator), ..recurrent(Cell::Rnn, units, steps, "linear") };
        for seed in seeds {
            let mut model = Model::new(&network(layer.clone()), seed, DType::F64, &batch);
            let per_step = |joint: &Joint| (joint.states[0] / joint.states[steps / 2]).ln() / (steps / 2) as f64;
            let drawn = joint(&model, &batch);
            let (found, expected) = (per_step(&drawn), 0.5 * oscillator_chi(oscillator, 1.0 / 3.0, 1.0).ln());
            println!("{oscillator:?}, seed {seed}: {found:.5} per step, predicted {expected:.5}");
            // The largest eigenvalues of 100 units are up to a tenth of the disc's radius inside it, or beyond.
            assert!((found - expected).abs() < 0.1 * oscillator.step / 3_f64.sqrt(), "{found} is not {expected}");
            let shares: f64 = drawn.paths.iter().map(|path| path.share).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{:?}", drawn.paths);
            let carry = drawn.paths.iter().find(|path| path.path == "carry").unwrap();
            assert!(carry.share > 0.85, "{:?}", drawn.paths);
            set(&mut model, "rnn.hidden_weight", &vec![0.0; 2 * units * units]);
            let alone = 0.5 * oscillator_chi(oscillator, 0.0, 1.0).ln();
            // Of a pair of complex eigenvalues the length of a vector goes round an ellipse.
            assert!((per_step(&joint(&model, &batch)) - alone).abs() < 0.002, "{alone}");
        }
    }
}

/// Each unit keeps its share of the gradient whatever the weights are: exactly where all keep the same, and drawn over the length of
/// a sample as the forecast says of many units.
#[test]
fn a_diagonal_recurrence_keeps_what_its_decays_say() {
    let (units, steps) = (1000, 100);
    let layer = Recurrent { diagonal: true, ..recurrent(Cell::Rnn, units, steps, "relu") };
    let batch = samples(numbers(2 * steps, 3), steps, numbers(2, 4));
    for seed in [1, 2, 3] {
        let mut model = Model::new(&network(layer.clone()), seed, DType::F64, &batch);
        let drawn = joint(&model, &batch);
        let kept = |joint: &Joint, back: usize| joint.states[steps - 1 - back] / joint.states[steps - 1];
        for back in [1, 20, 50, 99] {
            let expected = diagonal_retention(back as f64, steps);
            // A mean over units of lambda^(2 back) w^2, with the head's w uniform: E w^4 / (E w^2)^2 is 9 / 5. Four standard
            // deviations of it, half as much in the root.
            let spread = 1.8 * chrono_retention(4.0 * back as f64, steps) / expected.powi(4) - 1.0;
            let tolerated = 2.0 * (spread / units as f64).sqrt();
            let found = kept(&drawn, back);
            println!("seed {seed}, {back} steps back: {found:.4}, predicted {expected:.4}");
            assert!((found / expected - 1.0).abs() < tolerated, "{back}: {found} is not {expected} within {tolerated}");
        }
        let shares: Vec<(&str, f64)> = drawn.paths.iter().map(|path| (path.path.as_str(), path.share)).collect();
        assert!(matches!(shares[..], [("carry", share)] if (share - 1.0).abs() < 1e-12), "{shares:?}");
        // 0.9 per step, in all units.
        set(&mut model, "rnn.log_decay", &vec![(-0.9_f64.ln()).ln(); units]);
        let same = joint(&model, &batch);
        for back in 0..steps {
            assert!((kept(&same, back) / 0.9_f64.powi(back as i32) - 1.0).abs() < 1e-10, "{back}");
        }
    }
}

/// Largest singular value, by power iteration on U U^T.
fn largest_singular_value(matrix: &[f64], n: usize) -> f64 {
    let mut v = vec![1.0; n];
    let mut length = 0.0;
    for _ in 0..2000 {
        let row = |i: usize, v: &[f64]| (0..n).map(|j| matrix[i * n + j] * v[j]).sum::<f64>();
        let u: Vec<f64> = (0..n).map(|i| row(i, &v)).collect();
        let w: Vec<f64> = (0..n).map(|j| (0..n).map(|i| matrix[i * n + j] * u[i]).sum()).collect();
        length = w.iter().map(|x| x * x).sum::<f64>().sqrt();
        v = w.iter().map(|x| x / length).collect();
    }
    length.sqrt()
}

/// Pascanu et al. 2013: |dL/dh_t| <= (sigma_max max phi')^(T - t) |dL/dh_T|, whatever the weights and inputs.
#[test]
fn no_gradient_outgrows_the_largest_singular_value() {
    let (units, steps) = (6, 12);
    for (activation, steepest) in [("tanh", 1.0), ("sigmoid", 0.25)] {
        for case in 0..500 {
            let scale = 0.2 + 2.0 * (case as f64 / 500.0);
            let batch = samples(numbers(2 * steps, case), steps, vec![0.3, -0.2]);
            let mut model = Model::new(&network(recurrent(Cell::Rnn, units, steps, activation)), 1, DType::F64, &batch);
            let weight: Vec<f64> = numbers(units * units, case + 7).iter().map(|w| w * scale).collect();
            set(&mut model, "rnn.hidden_weight", &weight);
            let sigma = largest_singular_value(&weight, units);
            let states = joint(&model, &batch).states;
            let last = states[steps - 1];
            for (step, state) in states.iter().enumerate() {
                let bound = (sigma * steepest).powi((steps - 1 - step) as i32) * last;
                assert!(*state <= bound * (1.0 + 1e-6), "{activation} case {case} step {step}: {state:e} > {bound:e}");
            }
        }
    }
}

/// Without a non-linearity the same matrix acts at every step, so that in the long run the spectral radius decides, not the
/// largest singular value: here 0.9 against 1.5.
#[test]
fn a_linear_recurrence_shrinks_by_its_spectral_radius() {
    let steps = 300;
    let batch = samples(numbers(steps, 3), steps, vec![1.0]);
    let mut model = Model::new(&network(recurrent(Cell::Rnn, 2, steps, "linear")), 5, DType::F64, &batch);
    let weight = [0.9, 1.2, 0.0, 0.6];
    assert!(largest_singular_value(&weight, 2) > 1.5);
    set(&mut model, "rnn.hidden_weight", &weight);
    let joint = joint(&model, &batch);
    let slope = (joint.states[steps - 101] / joint.states[steps - 201]).ln() / 100.0;
    assert!((slope / -(0.9_f64.ln()) - 1.0).abs() < 1e-9, "{slope}");
    assert_eq!(joint.paths.len(), 1);
    assert!((joint.paths[0].share - 1.0).abs() < 1e-12);
}

/// The cliff of one unit, x' = w sigmoid(x) + b after 50 steps from x = 0.5: |dx/dw| + |dx/db| = 6707 at w = 4.9,
/// b = -2.55.
#[test]
fn one_unit_stands_at_a_cliff() {
    let (w, b, steps) = (4.9, -2.55, 50);
    let mut inputs = vec![0.0; steps];
    // The first step's z is 0.5, whatever the bias.
    inputs[0] = 0.5 - b;
    let batch = samples(inputs, steps, vec![0.0]);
    let mut model = Model::new(&network(recurrent(Cell::Rnn, 1, steps, "sigmoid")), 0, DType::F64, &batch);
    for (name, value) in [
        ("rnn.weight", 1.0),
        ("rnn.hidden_weight", w),
        ("rnn.bias", b),
        ("rnn.hidden_bias", 0.0),
        ("head.weight", w),
        ("head.bias", b),
    ] {
        set(&mut model, name, &[value]);
    }
    // With the target half below the output, dL/dx = 1.
    let (loss, _) = loss_and_gradients(&model, &batch, None);
    for output in [loss.sqrt(), -loss.sqrt()] {
        let batch = Samples { targets: Targets::Values { values: vec![output - 0.5], outputs: 1 }, ..batch.clone() };
        let (loss, gradients) = loss_and_gradients(&model, &batch, None);
        if (loss - 0.25).abs() > 1e-9 {
            continue;
        }
        let gradient = |name: &str| gradients[name].to_f64()[0];
        // The first step's z has no part in b: what the input's weight says of it is taken out.
        let first = gradient("rnn.weight") / (0.5 - b);
        let of_w = gradient("rnn.hidden_weight") + gradient("head.weight");
        let of_b = gradient("rnn.bias") - first + gradient("head.bias");
        let size = of_w.abs() + of_b.abs();
        assert!((size / 6707.0 - 1.0).abs() < 1e-3, "{size}");
        return;
    }
    panic!("neither sign of the output fits");
}

/// With closed input and output paths the LSTM's memory is its forget gate: sigmoid(b)^t, half lives of 1, 2.21, 5.46,
/// 14.27 and 103.2 steps.
#[test]
fn an_lstm_forgets_by_its_bias() {
    for (bias, half_life) in [(0.0, 1.0), (1.0, 2.21), (2.0, 5.46), (3.0, 14.27), (5.0, 103.22)] {
        let (units, steps) = (3, 60);
        let layer =
            Recurrent { forget_bias: Some(ForgetBias::Number(bias)), ..recurrent(Cell::Lstm, units, steps, "tanh") };
        let batch = samples(numbers(steps, 1), steps, vec![1.0]);
        let mut model = Model::new(&network(layer), 2, DType::F64, &batch);
        set(&mut model, "rnn.weight", &[0.0; 12]);
        set(&mut model, "rnn.hidden_weight", &[0.0; 36]);
        let joint = joint(&model, &batch);
        // The cell's cotangent: h's is zero but at the last step.
        let per_step = (joint.states[10] / joint.states[30]).ln() / 20.0;
        let found = 2.0_f64.ln() / -per_step;
        assert!((found / half_life - 1.0).abs() < 3e-3, "bias {bias}: half life {found}");
        let cell = joint.paths.iter().find(|path| path.path == "cell").unwrap();
        assert!((cell.share - 1.0).abs() < 1e-12, "{:?}", joint.paths);
    }
}

/// Tallec & Ollivier 2018: forget gates u / (1 + u) with u uniform up to the length keep on average E exp(-T / u) = 0.1485
/// of what they held T steps ago.
#[test]
fn chrono_biases_cover_the_length() {
    let (units, steps) = (40_000, 784);
    let layer = Recurrent {
        forget_bias: Some(ForgetBias::Named(NamedBias::Chrono)),
        hidden_init: Initializer::named("zeros").unwrap(),
        ..recurrent(Cell::Lstm, 200, steps, "tanh")
    };
    let mut retention = Vec::with_capacity(units);
    for seed in 0..(units / 200) as u64 {
        let batch = samples(vec![0.0; steps], steps, vec![0.0]);
        let model = Model::new(&network(layer.clone()), seed, DType::F64, &batch);
        let bias = model.parameters["rnn.bias"].to_f64();
        for unit in 0..200 {
            assert_eq!(bias[unit], -bias[200 + unit], "the input gate closes as far as the forget gate opens");
            let forget = 1.0 / (1.0 + (-bias[200 + unit]).exp());
            retention.push(forget.powi(steps as i32));
        }
    }
    let mean = retention.iter().sum::<f64>() / retention.len() as f64;
    assert!((mean / 0.1485 - 1.0).abs() < 0.02, "{mean}");
}
