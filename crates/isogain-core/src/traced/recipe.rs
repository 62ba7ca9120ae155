//! What a traced model amounts to in a recipe's words. Remedies change recipes; what they changed is read off again by
//! [`super::Changes`].

use super::Traced;
use crate::flow::capture::{Capture, OpCapture, OpCaptureKind};
use crate::network::{Loss, Network, OpKind};
use crate::recipe::{Level, NetworkKind, NetworkRecipe, OutputActivation, Recipe, Task};
use crate::record::DataSummary;
use crate::statistics::{Moments, median};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// Initialisers that people use, by the variance of the weights.
const KNOWN: [&str; 4] = ["pytorch-default", "he-normal", "glorot-normal", "lecun-normal"];

/// Deviation of ln variance up to which weights are taken as drawn by an initialiser: 5 % of the variance, twice what
/// 64 x 64 weights scatter.
const SAME: f64 = 0.05;

/// Rules that judge the planned run by the optimizer's settings alone, and say nothing when nobody gave them.
const NEED_SETTINGS: [&str; 3] = ["learning-rate-too-low", "frozen-layer", "norm-placement"];

/// The recipe.
pub(super) fn recipe(
    traced: &Traced,
    network: &Network,
    data: &DataSummary,
    init: Initializer,
    activation: Activation,
) -> Recipe {
    let mut recipe = Recipe { network: network_recipe(network, init, activation), ..Recipe::default() };
    recipe.data.source = traced.model.clone();
    recipe.data.batch = traced.batch;
    // What already has about the right scale needs no remedy for it.
    recipe.data.standardize = is_standardised(&data.input);
    recipe.data.standardize_target = data.target.as_ref().is_none_or(is_standardised);
    if network.loss != Loss::CrossEntropy {
        recipe.data.task = Task::Regression;
    }
    if let Some(optimizer) = &traced.optimizer {
        recipe.optimizer = optimizer.clone();
    }
    if let Some(steps) = traced.steps {
        recipe.run.steps = steps;
    }
    if traced.optimizer.is_none() || traced.steps.is_none() {
        recipe.rules.extend(NEED_SETTINGS.map(|rule| (rule.to_owned(), Level::Allow)));
    }
    recipe.run.seed = traced.seed;
    recipe.run.precision = traced.precision;
    recipe
}

/// Whether numbers have about mean 0 and deviation 1, or there are none.
fn is_standardised(moments: &Moments) -> bool {
    let near = |mean: f64, deviation: f64| mean.abs() <= deviation && (0.3..=3.0).contains(&deviation);
    moments.mean().zip(moments.variance()).is_none_or(|(mean, variance)| near(mean, variance.sqrt()))
}

fn network_recipe(network: &Network, init: Initializer, activation: Activation) -> NetworkRecipe {
    let ops = network.walk();
    let hidden = network.linears().count().saturating_sub(1);
    let mut widths: Vec<usize> = network.linears().map(|(_, linear)| linear.fan_out).take(hidden).collect();
    widths.sort_unstable();
    let has_skip = ops.iter().any(|op| matches!(op.kind, OpKind::Residual(_)));
    let norm = ops.iter().find_map(|op| match &op.kind {
        OpKind::Norm(norm) => Some(norm),
        _ => None,
    });
    let after_head = network.head().and_then(|head| {
        network.ops[head + 1..].iter().find_map(|op| match op.kind {
            OpKind::Activation { activation } => Some(activation),
            _ => None,
        })
    });
    NetworkRecipe {
        kind: if has_skip { NetworkKind::Residual } else { NetworkKind::Mlp },
        depth: hidden.max(1),
        width: widths.get(widths.len() / 2).copied().unwrap_or(1),
        activation,
        init,
        norm: norm.map(|norm| norm.norm),
        norm_eps: norm.map_or(1e-5, |norm| norm.eps),
        output_activation: after_head.map(OutputActivation::from),
        ..NetworkRecipe::default()
    }
}

/// The activation that most hidden layers have; linear where there is none.
pub(super) fn activation(capture: &Capture) -> Activation {
    let ops = &capture.ops()[..capture.head()];
    let mut found: Vec<(Activation, usize)> = Vec::new();
    let mut count = |op: &OpCapture| {
        if let OpCaptureKind::Activation(activation) = op.kind {
            match found.iter_mut().find(|(known, _)| *known == activation) {
                Some((_, count)) => *count += 1,
                None => found.push((activation, 1)),
            }
        }
    };
    for op in ops {
        count(op);
        if let OpCaptureKind::Residual { branch, .. } = &op.kind {
            branch.iter().for_each(&mut count);
        }
    }
    let most = found.iter().rev().max_by_key(|(_, count)| *count);
    most.map_or_else(Activation::linear, |(activation, _)| *activation)
}

/// The initialiser whose variances the hidden weights have; a fixed variance where none fits.
pub(super) fn initializer(capture: &Capture) -> Initializer {
    let weights: Vec<(Moments, usize, usize)> = capture
        .walk()
        .into_iter()
        .filter_map(|op| match &op.kind {
            OpCaptureKind::Linear { weight, .. } | OpCaptureKind::Convolution { weight, .. } => {
                let fan_out = (op.output.len() / op.rows.max(1)).max(1);
                Some((weight.moments(), weight.len() / fan_out, fan_out))
            }
            _ => None,
        })
        .filter(|(moments, ..)| moments.mean_square().is_some_and(|square| square > 0.0))
        .collect();
    let phi = activation(capture);
    let distance = |init: Initializer| {
        let of = |(moments, fan_in, fan_out): &(Moments, usize, usize)| {
            (moments.mean_square().unwrap_or(0.0) / init.weight_variance(*fan_in, *fan_out, phi)).ln().abs()
        };
        median(weights.iter().map(of)).unwrap_or(f64::INFINITY)
    };
    let known = KNOWN.iter().filter_map(|name| Initializer::named(name).ok()).filter(|init| init.supports(phi));
    let nearest = known.map(|init| (distance(init), init)).min_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((distance, init)) if distance <= SAME => init,
        _ => {
            let deviation = median(weights.iter().filter_map(|(moments, ..)| moments.rms())).unwrap_or(f64::INFINITY);
            // Two digits: the initialiser is a description, not a measurement.
            let rounded = format!("{deviation:.1e}").parse().unwrap_or(deviation);
            let fixed = Initializer::named("fixed-variance").and_then(|init| init.with_parameter("std", rounded));
            fixed.unwrap_or(Initializer::PYTORCH_DEFAULT)
        }
    }
}
