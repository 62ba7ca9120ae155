//! What theory says about this network, in one line.

use super::Case;
use super::finding::number;
use crate::network::{Network, NormKind, Op, OpKind};
use crate::theory::batch_norm::gradient_factor;
use crate::theory::mean_field::MeanField;

/// `he-normal + relu: x1.00 per layer; trainable to about 40 layers (fluctuations)`. The factor is that of the
/// gradient's RMS; it is left out where the body is not a repetition of one plain layer.
pub(super) fn line(case: &Case<'_>) -> Option<String> {
    let factor = per_layer(case.network, case.recipe.data.batch).map(|(layer, factor)| format!("{layer}: x{factor:.5} per layer"));
    let depth = depth(case);
    match (factor, depth) {
        (Some(factor), Some(depth)) => Some(format!("{factor}; {depth}")),
        (one, other) => one.or(other),
    }
}

/// Name and factor of the layer that the body repeats.
fn per_layer(network: &Network, batch: usize) -> Option<(String, f64)> {
    let body = &network.ops[..network.head()?];
    if body.iter().any(|op| matches!(op.kind, OpKind::Residual(_))) {
        return None;
    }
    // The second layer: the first one has the data's fan-in.
    let (index, linear) = body
        .iter()
        .enumerate()
        .filter_map(|(index, op)| match &op.kind {
            OpKind::Linear(linear) => Some((index, linear)),
            _ => None,
        })
        .nth(1)?;
    let activation = body[index..].iter().find_map(|op| match op.kind {
        OpKind::Activation { activation } => Some(activation),
        _ => None,
    })?;
    let norm = match body.get(index + 1) {
        Some(Op { kind: OpKind::Norm(norm), .. }) => Some(norm.norm),
        _ => None,
    };
    match norm {
        Some(NormKind::Batch) => {
            let factor = gradient_factor(activation, batch).sqrt();
            Some((format!("batch norm over {} samples + {activation}", number(batch as f64)), factor))
        }
        Some(NormKind::Layer | NormKind::Rms) => None,
        None => {
            let field = MeanField {
                activation,
                weight_variance: linear.fan_in as f64 * linear.init.weight_variance(linear.fan_in, linear.fan_out, linear.activation),
                bias_variance: linear.init.bias_variance(linear.fan_in, linear.activation),
            };
            let factor = field.propagation(1.0).chi.sqrt();
            factor.is_finite().then(|| (format!("{} + {activation}", linear.init), factor))
        }
    }
}

/// The depth that theory expects to train, and what limits it.
fn depth(case: &Case<'_>) -> Option<String> {
    None
}

/// Limits as an engine would compute them.
#[cfg(test)]
pub(super) fn test_limits(_network: &Network) -> crate::theory::limits::Limits {
    crate::theory::limits::Limits { trainable_depth: None }
}
