//! What theory says about one network: its description and one batch, put into the terms of the depth limits.

use std::collections::HashMap;

use crate::network::{
    Cell, Convolution, ForgetBias, Linear, NamedBias, Network, NormKind, Op, OpKind, Recurrent, Residual, Window,
};
use crate::recipe::{LossScale, Precision, Recipe};
use crate::record::Snapshot;
use crate::statistics::{Moments, median};
use crate::theory::activations::Activation;
use crate::theory::limits::{Limits, LimitsInput, Norm, Recurrence};
use crate::theory::mean_field::MeanField;
use crate::theory::recurrent::{Carry, antisymmetric_chi, oscillator_chi, state_slope};
use crate::theory::residual::Gate;
use crate::theory::supervision::Supervision;
use crate::theory::{dropout, numerics, padding};
use crate::weight_norm::WeightNorm;

/// Range that the gradient's RMS may span between the layers of a network that trains.
pub const TOLERATED_GRADIENT_RATIO: f64 = 1e4;

/// Mean square of phi so near 0 that its slope is that at 0, in the mean of both sides.
const NEAR_ZERO: f64 = 1e-9;

/// What gates do to the mean squared gradient, mean over the blocks: the factor of what goes past the branch, and E T^2. From
/// every block's own moments, because a stream that shrinks leaves later gates less to read. `None` without gates.
fn gates(ops: &[Op], outputs: &HashMap<&str, &Moments>) -> Option<[f64; 2]> {
    let moments = |op: &Op| outputs.get(op.name.as_str()).copied();
    let of_block = |(before, residual): (&Op, &Residual)| {
        let under = moments(residual.gate.first()?)?;
        let gate = Gate::at(under.mean()?, under.variance()?);
        let [stream, branch] = [before, residual.branch.last()?].map(|op| moments(op)?.mean_square());
        Some([gate.past_factor(stream?, branch?), gate.open])
    };
    let blocks: Vec<[f64; 2]> = not_added(ops).filter_map(of_block).collect();
    let mean = |which: usize| blocks.iter().map(|block| block[which]).sum::<f64>() / blocks.len() as f64;
    (!blocks.is_empty()).then(|| [0, 1].map(mean))
}

/// Mean square of what the blocks that do not add read, mean over them: it does not go where the layers alone would take it.
fn stream(ops: &[Op], outputs: &HashMap<&str, &Moments>) -> Option<f64> {
    let squares: Vec<f64> =
        not_added(ops).filter_map(|(before, _)| outputs.get(before.name.as_str())?.mean_square()).collect();
    (!squares.is_empty()).then(|| squares.iter().sum::<f64>() / squares.len() as f64)
}

/// The blocks that do not add, each with the operation before it.
fn not_added(ops: &[Op]) -> impl Iterator<Item = (&Op, &Residual)> {
    ops.windows(2).filter_map(|pair| match pair {
        [before, Op { kind: OpKind::Residual(residual), .. }] if !residual.adds() => Some((before, residual)),
        _ => None,
    })
}

/// Moments of what each operation gives, by its name.
fn outputs(start: &Snapshot) -> HashMap<&str, &Moments> {
    start.joints.iter().map(|joint| (joint.name.as_str(), &joint.activation)).collect()
}

/// Of L layers that put k features each beside n_0: the factor on a sum that would change the gradient as much, the root of
/// (n_L / n_0)^(1/L) - 1, and k / n_0. `None` where nothing is put side by side.
fn concatenation(ops: &[Op]) -> Option<[f64; 2]> {
    let of_block =
        |(_, residual): (&Op, &Residual)| residual.branch.iter().rev().find_map(fans).filter(|_| residual.concatenates);
    let blocks: Vec<[f64; 2]> = not_added(ops).filter_map(of_block).collect();
    let ([first, added], [last, _]) = (*blocks.first()?, *blocks.last()?);
    let widened = (last + added) / first;
    Some([(widened.ln() / blocks.len() as f64).exp_m1().sqrt(), added / first])
}

/// Fan-in and fan-out of a linear operation.
fn fans(op: &Op) -> Option<[f64; 2]> {
    match &op.kind {
        OpKind::Linear(linear) => Some([linear.fan_in as f64, linear.fan_out as f64]),
        _ => None,
    }
}

/// The five ceilings of trainable depth, and the memory of recurrent layers. Variances are measured on the snapshot, so they
/// hold for any initialiser; a convolution's unit reads taps times channels. Approximations: a network of convolutions is
/// as wide as its channels, one of several grids loses to padding what its layers lose on average, and recurrent layers
/// count for time steps alone.
pub fn limits(network: &Network, recipe: &Recipe, start: &Snapshot) -> Limits {
    let ops = network.walk();
    let activation = ops.iter().find_map(|op| match &op.kind {
        OpKind::Activation { activation } => Some(*activation),
        _ => None,
    });
    let norm = ops.iter().find_map(|op| match &op.kind {
        OpKind::Norm(norm) => Some(match norm.norm {
            // At the start batch renormalisation is batch norm.
            NormKind::Batch | NormKind::BatchRenorm => {
                Norm::Batch { batch: start.batch / norm.parts(start.batch) * positions_of_norm(network) }
            }
            NormKind::Layer | NormKind::Rms | NormKind::Group => Norm::Layer,
        }),
        _ => None,
    });
    let outputs = outputs(start);
    let gates = gates(&network.ops, &outputs);
    let scale = ops.iter().find_map(|op| match &op.kind {
        OpKind::Residual(residual) => Some(residual.scale * kept(&ops).sqrt()),
        _ => None,
    });
    let side_by_side = concatenation(&network.ops);
    let branch_scale = gates.map(|[_, open]| open.sqrt()).or(side_by_side.map(|[scale, _]| scale)).or(scale);
    let hidden = hidden(network);
    let weights = weights(start);
    let [weight_variance, bias_variance] = variances(&hidden, &weights);
    let first = hidden.first().and_then(|(op, _)| outputs.get(op.name.as_str())?.mean_square());
    let head_gradient = start.flow.head.joints.first().map_or(f64::NAN, |head| head.cotangent_in_rms);
    Limits::of(&LimitsInput {
        activation: activation.unwrap_or_else(Activation::linear),
        weight_variance: weight_variance.unwrap_or(0.0),
        bias_variance: bias_variance.unwrap_or(0.0),
        first_variance: stream(&network.ops, &outputs).or(first).unwrap_or(0.0),
        widths: hidden.iter().map(|(_, linear)| linear.fan_out).collect(),
        padding_factor: padding_factor(network),
        dropout_noise: dropout_noise(network),
        norm: norm.unwrap_or(Norm::None),
        branch_scale,
        supervision: supervision(network, &weights),
        past: gates.map_or(1.0, |[past, _]| past),
        widening: side_by_side.map(|[_, widening]| widening),
        // As the format holds it.
        head_gradient_rms: head_gradient / start.batch.max(1) as f64
            * recipe.run.loss_scale.map_or(1.0, LossScale::first),
        precision: match recipe.run.precision {
            Precision::F32 => numerics::Precision::F32,
            Precision::F64 => numerics::Precision::F64,
            Precision::Bf16 => numerics::Precision::Bf16,
            Precision::Fp16 => numerics::Precision::F16,
        },
        adam_epsilon: recipe.optimizer.effective_eps(),
        tolerated_gradient_ratio: TOLERATED_GRADIENT_RATIO,
        recurrence: recurrence(network, start, &weights),
    })
}

/// The plain layer that the hidden layers are like, by the variances that were measured; `None` without such layers, and
/// where a norm sets the scale in their place.
pub fn mean_field(network: &Network, start: &Snapshot) -> Option<MeanField> {
    let ops = network.walk();
    if ops.iter().any(|op| matches!(op.kind, OpKind::Norm(_))) {
        return None;
    }
    let activation = ops.iter().find_map(|op| match &op.kind {
        OpKind::Activation { activation } => Some(*activation),
        _ => None,
    })?;
    let [weight_variance, bias_variance] = variances(&hidden(network), &weights(start));
    let weight_variance = weight_variance? * dropout_noise(network);
    Some(MeanField { activation, weight_variance, bias_variance: bias_variance.unwrap_or(0.0) })
}

fn weights(start: &Snapshot) -> HashMap<&str, &Moments> {
    start.parameters.iter().map(|record| (record.name.as_str(), &record.weight)).collect()
}

/// fan_in Var W and Var b of the hidden layers, W being what multiplies.
fn variances(hidden: &[(&Op, &Linear)], weights: &HashMap<&str, &Moments>) -> [Option<f64>; 2] {
    let mean_square =
        |op: &Op, parameter: &str| weights.get(format!("{}.{parameter}", op.name).as_str())?.mean_square();
    let multiplied_by = |op: &Op, linear: &Linear| match linear.weight_norm {
        None | Some(WeightNorm::Norm) => mean_square(op, "weight"),
        // What is trained says nothing of its size.
        Some(_) => Some(linear.weight_variance()),
    };
    // The first layer reads the data and often has another fan-in: the layers behind it set the pace.
    let inner = if hidden.len() > 1 { &hidden[1..] } else { hidden };
    [
        median(inner.iter().filter_map(|(op, linear)| Some(linear.fan_in as f64 * multiplied_by(op, linear)?))),
        median(inner.iter().filter_map(|(op, ..)| mean_square(op, "bias"))),
    ]
}

/// Auxiliary heads by where the first one stands and what they send back: the mean square of a weight times the factor on the
/// loss, over the positions that share it. `None` without any.
fn supervision(network: &Network, weights: &HashMap<&str, &Moments>) -> Option<Supervision> {
    let mut positions = network.input.positions();
    let (mut layers, mut first, mut sent) = (0, None, Vec::new());
    for op in &network.ops {
        match &op.kind {
            OpKind::Linear(_) => layers += 1,
            OpKind::Convolution(convolution) => {
                layers += 1;
                positions = convolution.window.as_ref().map_or(positions, output_positions);
            }
            OpKind::Pool(pool) if pool.window.is_some() => positions = pool.window.as_ref().map_or(1, output_positions),
            OpKind::AuxiliaryHead(auxiliary) => {
                first = first.or(Some(layers));
                sent.push(auxiliary.share.powi(2) * sent_back(&auxiliary.head, positions, weights)?);
            }
            _ => {}
        }
    }
    let last = sent_back(&network.ops, positions, weights)?;
    Some(Supervision { every: first?, strength: median(sent)? / last })
}

/// Mean square of what the head at the end of these operations sends to one of its positions, up to what its loss sends.
fn sent_back(ops: &[Op], positions: usize, weights: &HashMap<&str, &Moments>) -> Option<f64> {
    let head = ops.iter().rposition(|op| matches!(op.kind, OpKind::Linear(_)))?;
    let is_mean = head.checked_sub(1).is_some_and(|before| matches!(ops[before].kind, OpKind::Pool(_)));
    let shared = if is_mean { positions as f64 } else { 1.0 };
    Some(weights.get(format!("{}.weight", ops[head].name).as_str())?.mean_square()? / shared.powi(2))
}

fn output_positions(window: &Window) -> usize {
    window.output().into_iter().product()
}

/// The recurrent layer with the longest memory: the gradient of an early step comes back through any of them.
fn recurrence(network: &Network, start: &Snapshot, weights: &HashMap<&str, &Moments>) -> Option<Recurrence> {
    let layers = network.walk().into_iter().filter_map(|op| match &op.kind {
        OpKind::Recurrent(layer) => Some(Recurrence { steps: layer.steps, carry: carry(op, layer, start, weights) }),
        _ => None,
    });
    let memory = |layer: &Recurrence| layer.carry.steps_until(TOLERATED_GRADIENT_RATIO).unwrap_or(f64::INFINITY);
    layers.max_by(|a, b| memory(a).total_cmp(&memory(b)))
}

fn carry(op: &Op, layer: &Recurrent, start: &Snapshot, weights: &HashMap<&str, &Moments>) -> Carry {
    match (layer.cell, layer.forget_bias) {
        (Cell::Rnn, _) if layer.diagonal => Carry::Diagonal { steps: layer.steps },
        (Cell::Rnn, _) => {
            let units = layer.units as f64;
            let drawn = || layer.hidden_init.weight_variance(layer.units, layer.units, layer.activation);
            let weight = weights.get(format!("{}.hidden_weight", op.name).as_str());
            let variance = weight.and_then(|weight| weight.mean_square()).unwrap_or_else(drawn);
            // What they read is not known from their states; slopes near 0 change the gradient most.
            let near_zero = || state_slope(layer.activation, NEAR_ZERO);
            let chi = match (layer.antisymmetric_step, layer.oscillator) {
                (Some(step), _) => antisymmetric_chi(step, units * variance, near_zero()),
                (None, Some(oscillator)) => oscillator_chi(oscillator, units * variance, near_zero()),
                (None, None) => units * variance * slope(op, layer, start),
            };
            Carry::State { chi }
        }
        (_, Some(ForgetBias::Number(bias))) => Carry::Gate { bias },
        (_, Some(ForgetBias::Named(NamedBias::Chrono))) => Carry::Chrono { steps: layer.steps },
        // Biases around 0.
        (_, None) => Carry::Gate { bias: 0.0 },
    }
}

/// Mean squared slope of a plain recurrence. Under an identity each unit is a chain of its own, so that one that is active
/// stays so, and those count that are.
fn slope(op: &Op, layer: &Recurrent, start: &Snapshot) -> f64 {
    match layer.activation.slopes() {
        Some((below, above)) if layer.hidden_init.name() == "identity" => below.abs().max(above.abs()).powi(2),
        _ => {
            let state = start.joints.iter().find(|joint| joint.name == op.name);
            let mean_square = state.and_then(|joint| joint.activation.mean_square()).unwrap_or(0.0);
            state_slope(layer.activation, mean_square)
        }
    }
}

/// Positions that share a mean in the first batch norm: those of the convolution before it, or of the input.
fn positions_of_norm(network: &Network) -> usize {
    let mut positions = network.input.positions();
    for op in network.walk() {
        match &op.kind {
            OpKind::Convolution(Convolution { window: Some(window), .. }) => {
                positions = window.output().into_iter().product();
            }
            OpKind::Flatten(_) => positions = 1,
            OpKind::Pool(pool) => {
                positions = pool.window.as_ref().map_or(1, |window| window.output().into_iter().product());
            }
            OpKind::Norm(norm) if norm.norm.is_over_batch() => break,
            _ => {}
        }
    }
    positions
}

/// Share of the samples that a branch is not left out for, mean over those that stochastic depth leaves out for some: of the
/// energy that the branches add, this much is added.
pub(crate) fn kept(ops: &[&Op]) -> f64 {
    let shares: Vec<f64> = ops
        .iter()
        .filter_map(|op| match &op.kind {
            OpKind::StochasticDepth(drop) => Some(1.0 - drop.fraction),
            _ => None,
        })
        .collect();
    if shares.is_empty() { 1.0 } else { shares.iter().sum::<f64>() / shares.len() as f64 }
}

/// What dropout multiplies the energy by per hidden layer: the geometric mean over them. Beside skips and in recurrent
/// layers it stands elsewhere and is not counted.
fn dropout_noise(network: &Network) -> f64 {
    let is_plain = network.walk().iter().all(|op| !matches!(op.kind, OpKind::Residual(_) | OpKind::Recurrent(_)));
    let logarithms = network.walk().into_iter().map(|op| match &op.kind {
        OpKind::Dropout(layer) if is_plain => dropout::noise(layer.fraction).ln(),
        _ => 0.0,
    });
    (logarithms.sum::<f64>() / hidden(network).len().max(1) as f64).exp()
}

/// What zero padding leaves of the energy per hidden layer: the geometric mean over them.
fn padding_factor(network: &Network) -> f64 {
    let of = |window: &Window| -> f64 {
        let axes = [0, 1].map(|axis| {
            padding::factor(window.grid[axis], window.size[axis], window.stride[axis], window.padding[axis])
        });
        axes.into_iter().product()
    };
    let hidden = hidden(network);
    let logarithms = hidden.iter().map(|(op, ..)| match &op.kind {
        OpKind::Convolution(Convolution { window: Some(window), .. }) => of(window).ln(),
        _ => 0.0,
    });
    (logarithms.sum::<f64>() / hidden.len().max(1) as f64).exp()
}

/// Hidden linear operations: all but the head.
fn hidden(network: &Network) -> Vec<(&Op, &Linear)> {
    let head = network.head().map(|index| network.ops[index].name.as_str());
    network.linears().filter(|(op, _)| Some(op.name.as_str()) != head).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Values;
    use crate::flow::capture::{Capture, OpCapture, OpCaptureKind};
    use crate::network::{Oscillator, Shape};
    use crate::recipe::{expand, parse};
    use crate::record::ParameterRecord;
    use crate::theory::limits::Ceiling;
    use crate::theory::recurrent::diagonal_retention;

    /// The limits of a network whose weights all have the mean square that their initialiser gives them, and whose
    /// recurrent state has RMS `state`.
    fn limits(text: &str, input: Shape, state: f64) -> (Network, Limits) {
        let recipe = parse(&format!("[network]\n{text}"), "net.toml").unwrap();
        let network = expand::network(&recipe, input, 10).unwrap();
        let values = |rms: f64| Values::from(vec![rms, -rms]);
        let layer = OpCapture {
            name: "rnn1".into(),
            rows: 1,
            kind: OpCaptureKind::Other { weighted: true },
            input: values(1.0),
            output: values(state),
            cotangent_in: values(1.0),
            cotangent_out: values(1.0),
        };
        let record = |name: String, rms: f64| ParameterRecord {
            name,
            weight: values(rms).moments(),
            gradient: values(1.0).moments(),
            update: Moments::default(),
        };
        let mut parameters = Vec::new();
        for op in network.walk() {
            match &op.kind {
                OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. }) => {
                    parameters.push(record(format!("{}.weight", op.name), linear.weight_variance().sqrt()));
                    parameters.push(record(format!("{}.bias", op.name), 0.0));
                }
                OpKind::Recurrent(layer) => {
                    let init = layer.hidden_init;
                    let deviation = init.weight_variance(layer.units, layer.units, layer.activation).sqrt();
                    parameters.push(record(format!("{}.hidden_weight", op.name), deviation));
                }
                _ => {}
            }
        }
        let start = Snapshot::of(&Capture::new(1, vec![layer], 0.0).unwrap(), parameters, 0);
        let limits = super::limits(&network, &recipe, &start);
        (network, limits)
    }

    fn estimate(limits: &Limits, ceiling: Ceiling) -> (Option<f64>, &str) {
        let found = limits.ceilings.iter().find(|estimate| estimate.ceiling == ceiling).unwrap();
        (found.depth, &found.why)
    }

    /// He counts taps times channels: what is left per layer is what zero padding takes, ((1 + 2 cos 20 degrees) / 3)^2 on
    /// 8x8 positions.
    #[test]
    fn he_keeps_the_gradient_of_convolutions_but_for_the_padding() {
        let text = "kind = \"convnet\"\ndepth = 30\nwidth = 16\ninit = \"he-normal\"";
        let (_, of_grid) = limits(text, Shape::image(8, 8, 1), 1.0);
        let kept = ((1.0 + 2.0 * 20_f64.to_radians().cos()) / 3.0).powi(2);
        assert!((of_grid.gradient_rms_per_layer.unwrap() - kept.sqrt()).abs() < 1e-9, "{of_grid:?}");
        assert!(estimate(&of_grid, Ceiling::GradientScale).1.contains("zero padding"), "{of_grid:?}");
        // The larger the grid, the less of it is border.
        let (_, of_large) = limits(text, Shape::image(224, 224, 3), 1.0);
        assert!((of_large.gradient_rms_per_layer.unwrap() - 1.0).abs() < 1e-3, "{of_large:?}");
        // PyTorch's default shrinks it by sqrt(1/6) on top.
        let (_, default) = limits("kind = \"convnet\"\ndepth = 30\nwidth = 16", Shape::image(8, 8, 1), 1.0);
        assert!((default.gradient_rms_per_layer.unwrap() - (kept / 6.0).sqrt()).abs() < 1e-9);
        let layers = |limits: &Limits| estimate(limits, Ceiling::GradientScale).0.unwrap();
        assert!((layers(&default) / layers(&of_grid) - kept.ln() / (kept / 6.0).ln()).abs() < 1e-6, "{default:?}");
    }

    /// Of a He branch as much is added as samples go through it: half of them at the last of branches whose share falls to it.
    #[test]
    fn branches_that_are_left_out_add_less() {
        for (more, kept) in [
            ("", 1.0),
            ("stochastic_depth = 0.75\nstochastic_depth_uniform = true", 0.25),
            ("stochastic_depth = 0.5", 1.0 - 0.5 * 11.0 / 20.0),
        ] {
            let text = format!("kind = \"residual\"\ndepth = 11\nwidth = 64\ninit = \"he-normal\"\n{more}");
            let (_, limits) = limits(&text, Shape::vector(64), 1.0);
            let per_layer = limits.gradient_rms_per_layer.unwrap();
            assert!((per_layer - f64::sqrt(1.0 + kept)).abs() < 1e-6, "{more}: {limits:?}");
        }
    }

    /// What auxiliary heads send follows from their weights, the factor on their loss and the positions that share it.
    #[test]
    fn auxiliary_heads_keep_a_vanishing_gradient_from_falling_on() {
        let limits_of = |more: &str| limits(&format!("depth = 30\nwidth = 32\n{more}"), Shape::vector(64), 1.0).1;
        let (alone, supervised) = (limits_of(""), limits_of("supervise_every = 5\nsupervise_share = 0.5"));
        let (depth, _) = estimate(&alone, Ceiling::GradientScale);
        assert!((depth.unwrap() - 2.0 * 1e4_f64.ln() / 6_f64.ln()).abs() < 1e-6, "{alone:?}");
        let (depth, why) = estimate(&supervised, Ceiling::GradientScale);
        assert!(depth.is_none() && why.contains("x0.4082 between auxiliary heads"), "{supervised:?}");
        // (1/6)^4 0.25 / (1 - 6^-5) at the first layer, through 29 layers.
        let first = 0.25 * 6_f64.powi(-4) / (1.0 - 6_f64.powi(-5));
        let expected = first.powf(1.0 / 58.0);
        assert!((supervised.gradient_rms_per_layer.unwrap() - expected).abs() < 1e-6, "{supervised:?} {expected}");
        // Weights that are too large explode all the same.
        let exploding = "init = { name = \"normal\", weight_variance = 4.0 }\n";
        let [alone, supervised] = ["", "supervise_every = 5"]
            .map(|more| estimate(&limits_of(&format!("{exploding}{more}")), Ceiling::GradientScale).0.unwrap());
        assert!(supervised <= alone.ceil() && supervised > alone - 2.0, "{alone} {supervised}");
        let grid = "kind = \"convnet\"\ndepth = 6\nwidth = 8\nstages = 2\ninit = \"he-normal\"\nsupervise_every = 3";
        // Weights of 8 inputs that 64 positions share, against 16 that 16 share, or 256 of their own.
        for (head, strength) in [("mean", 2.0 / 16.0), ("flatten", 256.0 / 8.0 / 4096.0)] {
            let (network, _) = limits(&format!("{grid}\nhead = \"{head}\""), Shape::image(8, 8, 1), 1.0);
            let records: Vec<_> = network
                .walk()
                .into_iter()
                .filter_map(|op| match &op.kind {
                    OpKind::Linear(linear) => Some((format!("{}.weight", op.name), linear.weight_variance().sqrt())),
                    _ => None,
                })
                .collect();
            let moments: Vec<Moments> =
                records.iter().map(|(_, rms)| Values::from(vec![*rms, -*rms]).moments()).collect();
            let weights = records.iter().map(|(name, _)| name.as_str()).zip(&moments).collect();
            let found = supervision(&network, &weights).unwrap();
            assert_eq!(found.every, 3);
            assert!((found.strength / strength - 1.0).abs() < 1e-9, "{head}: {found:?} {strength}");
        }
    }

    /// 8x8 positions of one sample are 64 values that share a mean.
    /// The gradient's change per block, mean over seeds, is the forecast; gates are no hidden layers.
    #[test]
    fn blocks_that_do_not_add_are_forecast() {
        for (more, tolerance) in [
            ("gate_bias = 0.0", 0.02),
            ("gate_bias = -1.0\nactivation = \"tanh\"", 0.02),
            ("gate_bias = 3.0", 0.03),
            ("growth = 8", 0.01),
            ("growth = 32\nactivation = \"tanh\"", 0.01),
        ] {
            let (seeds, mut measured, mut expected) = (4, 0.0, 0.0);
            for seed in 0..seeds {
                let shape = "kind = \"residual\"\ndepth = 20\nwidth = 64\ninit = \"he-normal\"";
                let bench = crate::rules::fixture::Bench::seeded(&format!("[network]\n{shape}\n{more}\n"), seed);
                let case = bench.case();
                let blocks: Vec<_> = case.start.flow.joints.iter().filter(|joint| joint.kind == "residual").collect();
                let change = blocks[0].cotangent_in_rms / blocks[blocks.len() - 1].cotangent_rms;
                measured += change.ln() / (blocks.len() * seeds as usize) as f64;
                expected += case.limits.gradient_rms_per_layer.unwrap().ln() / seeds as f64;
                assert_eq!(case.network.linears().count(), 21, "{more}");
            }
            assert!((measured - expected).abs() < tolerance, "{more}: {measured} and {expected}");
        }
        // A power of the width: 80 features beside 64 after ten blocks of 8.
        let (_, limits) = limits(
            "kind = \"residual\"\ndepth = 11\nwidth = 64\ngrowth = 8\ninit = \"he-normal\"",
            Shape::vector(64),
            1.0,
        );
        assert!(estimate(&limits, Ceiling::GradientScale).0.is_none(), "{limits:?}");
    }

    #[test]
    fn batch_norm_of_a_convolution_has_all_positions_to_average_over() {
        let text = "kind = \"convnet\"\ndepth = 3\nwidth = 4\nnorm = \"batch\"";
        let (network, limits) = limits(text, Shape::image(8, 8, 1), 1.0);
        assert_eq!(positions_of_norm(&network), 64);
        // 1.2112 for ReLU over an infinite batch.
        assert!((limits.gradient_rms_per_layer.unwrap() - 1.22).abs() < 0.02, "{limits:?}");
    }

    #[test]
    fn a_plain_recurrence_remembers_as_far_as_its_weights_carry() {
        let memory = |text: &str, state: f64| {
            let (_, limits) = limits(&format!("kind = \"rnn\"\nwidth = 32\n{text}"), Shape::sequence(100, 1), state);
            (limits.binding, estimate(&limits, Ceiling::Memory).0)
        };
        // PyTorch: units Var U = 1/3, small states: RMS x 0.577 per step, 16.77 steps until 1e-4.
        let (binding, steps) = memory("", 1e-4);
        assert_eq!(binding, Some(Ceiling::Memory));
        assert!((steps.unwrap() - 1e4_f64.ln() / 3_f64.sqrt().ln()).abs() < 0.01, "{steps:?}");
        // Orthogonal: only the slope is left, E tanh'^2 = 0.4644 where E tanh^2 = 0.3943.
        let (_, steps) = memory("hidden_init = \"orthogonal\"", 0.394_294_49_f64.sqrt());
        assert!((steps.unwrap() + 2.0 * 1e4_f64.ln() / 0.464_402_9_f64.ln()).abs() < 1e-3, "{steps:?}");
        assert_eq!(memory("activation = \"relu\"\nhidden_init = \"identity\"", 1.0), (None, None));
        // Steps of 0.1 along antisymmetric weights: (1 - 0.001)^2 + 8/3 0.01 per step in the square.
        let (_, steps) = memory("antisymmetric_step = 0.1", 1.0);
        assert!((steps.unwrap() / (2.0 * 1e4_f64.ln() / 0.024_667_667_f64.ln_1p()) - 1.0).abs() < 1e-3, "{steps:?}");
        // Oscillators: 1 / 3 of the variance for each of position and velocity.
        let (_, steps) = memory("oscillator = { step = 0.1 }", 1.0);
        let chi = oscillator_chi(Oscillator::default(), 1.0 / 3.0, 1.0);
        assert!((steps.unwrap() * chi.ln().abs() / (2.0 * 1e4_f64.ln()) - 1.0).abs() < 1e-6, "{steps:?}");
        assert!(steps.unwrap() > 1000.0, "{steps:?}");
        // Memories spread over the sample keep what they keep, whatever the weights and the state.
        let (_, steps) = memory("activation = \"relu\"\ndiagonal = true", 1e-4);
        assert!((diagonal_retention(steps.unwrap(), 100) / 1e-4 - 1.0).abs() < 1e-6, "{steps:?}");
    }

    #[test]
    fn gates_remember_as_their_bias_says() {
        let memory = |text: &str| {
            let (_, limits) = limits(text, Shape::sequence(100, 1), 1.0);
            let (steps, why) = estimate(&limits, Ceiling::Memory);
            (steps.unwrap(), why.to_owned())
        };
        let (short, why) = memory("kind = \"gru\"");
        assert!((short - 1e4_f64.log2()).abs() < 1e-9, "{short}");
        assert!(why.contains("half of a state for 1.00 time steps"), "{why}");
        let (long, why) = memory("kind = \"lstm\"\nforget_bias = 5.0");
        assert!(long > 1000.0 && why.contains("half of a state for 103.2"), "{long} {why}");
        assert!(memory("kind = \"lstm\"\nforget_bias = \"chrono\"").0 > 400.0);
    }
}
