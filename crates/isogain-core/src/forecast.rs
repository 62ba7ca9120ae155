//! What theory says about one network: its description and one batch, put into the terms of the depth limits.

use std::collections::HashMap;

use crate::network::{Network, NormKind, Op, OpKind};
use crate::recipe::{LossScale, Precision, Recipe};
use crate::record::Snapshot;
use crate::statistics::{Moments, median};
use crate::theory::activations::Activation;
use crate::theory::limits::{Limits, LimitsInput, Norm};
use crate::theory::numerics;

/// Range that the gradient's RMS may span between the layers of a network that trains.
pub const TOLERATED_GRADIENT_RATIO: f64 = 1e4;

/// The five ceilings of trainable depth. Variances are measured on the snapshot, so they hold for any initialiser.
pub fn limits(network: &Network, recipe: &Recipe, start: &Snapshot) -> Limits {
    let ops = network.walk();
    let activation = ops.iter().find_map(|op| match &op.kind {
        OpKind::Activation { activation } => Some(*activation),
        _ => None,
    });
    let norm = ops.iter().find_map(|op| match &op.kind {
        OpKind::Norm(norm) => Some(match norm.norm {
            NormKind::Batch => Norm::Batch { batch: start.batch },
            NormKind::Layer | NormKind::Rms | NormKind::Group => Norm::Layer,
        }),
        _ => None,
    });
    let branch_scale = ops.iter().find_map(|op| match &op.kind {
        OpKind::Residual(residual) => Some(residual.scale),
        _ => None,
    });
    let hidden = hidden(network);
    let weights: HashMap<&str, &Moments> =
        start.parameters.iter().map(|record| (record.name.as_str(), &record.weight)).collect();
    let mean_square =
        |op: &Op, parameter: &str| weights.get(format!("{}.{parameter}", op.name).as_str())?.mean_square();
    // The first layer reads the data and often has another fan-in: the layers behind it set the pace.
    let inner = if hidden.len() > 1 { &hidden[1..] } else { &hidden[..] };
    let weight_variance =
        median(inner.iter().filter_map(|(op, fan_in, _)| Some(*fan_in as f64 * mean_square(op, "weight")?)));
    let bias_variance = median(inner.iter().filter_map(|(op, ..)| mean_square(op, "bias")));
    let first = hidden.first().and_then(|(op, ..)| start.joints.iter().find(|joint| joint.name == op.name));
    let head_gradient = start.flow.head.joints.first().map_or(f64::NAN, |head| head.cotangent_in_rms);
    Limits::of(&LimitsInput {
        activation: activation.unwrap_or_else(Activation::linear),
        weight_variance: weight_variance.unwrap_or(0.0),
        bias_variance: bias_variance.unwrap_or(0.0),
        first_variance: first.and_then(|joint| joint.activation.mean_square()).unwrap_or(0.0),
        widths: hidden.iter().map(|(.., fan_out)| *fan_out).collect(),
        norm: norm.unwrap_or(Norm::None),
        branch_scale,
        // As the format holds it.
        head_gradient_rms: head_gradient / start.batch.max(1) as f64
            * recipe.run.loss_scale.map_or(1.0, LossScale::first),
        precision: match recipe.run.precision {
            Precision::F32 => numerics::Precision::F32,
            Precision::F64 => numerics::Precision::F64,
            Precision::Bf16 => numerics::Precision::Bf16,
            Precision::Fp16 => numerics::Precision::F16,
        },
        adam_epsilon: recipe.optimizer.name.rescales().then_some(recipe.optimizer.eps),
        tolerated_gradient_ratio: TOLERATED_GRADIENT_RATIO,
    })
}

/// Hidden linear operations with fan-in and fan-out: all but the head.
fn hidden(network: &Network) -> Vec<(&Op, usize, usize)> {
    let head = network.head().map(|index| network.ops[index].name.as_str());
    let linears = network.linears().filter(|(op, _)| Some(op.name.as_str()) != head);
    linears.map(|(op, linear)| (op, linear.fan_in, linear.fan_out)).collect()
}
