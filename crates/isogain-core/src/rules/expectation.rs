//! What theory says about this network, in one line.

use super::Case;
use super::finding::about_layers;
use crate::network::{Network, NormKind, Op, OpKind};
use crate::theory::limits::Ceiling;
use crate::weight_norm::WeightNorm;

/// `pytorch-default + relu: x0.40825 per layer; trainable to about 3 layers, beyond which ...`: the gradient's RMS factor
/// of one layer of the body, and the lowest of the ceilings on depth.
pub(super) fn line(case: &Case<'_>) -> Option<String> {
    let factor = case.limits.gradient_rms_per_layer.map(|factor| format!("x{factor:.5} per layer"));
    let binding = case.limits.binding.filter(|binding| *binding != Ceiling::Memory);
    let has_skips = case.network.walk().iter().any(|op| matches!(op.kind, OpKind::Residual(_)));
    let depth = case.limits.trainable_depth.zip(binding).map(|(depth, binding)| {
        format!("trainable to {}, beyond which {}", about_layers(depth, has_skips), binding.beyond())
    });
    let expected = match (factor, depth) {
        (Some(factor), Some(depth)) => format!("{factor}; {depth}"),
        (one, other) => one.or(other)?,
    };
    Some(format!("{}: {expected}", layer(case.network)?))
}

/// The layer that the body repeats, in words: its second linear operation, with what follows. The first one has the
/// data's fan-in.
fn layer(network: &Network) -> Option<String> {
    let ops = network.body();
    let (index, linear) = ops
        .iter()
        .enumerate()
        .filter_map(|(index, op)| match &op.kind {
            OpKind::Linear(linear) => Some((index, linear)),
            _ => None,
        })
        .nth(1)?;
    let norm = |op: &&Op| match &op.kind {
        OpKind::Norm(norm) => Some(match norm.norm {
            NormKind::Batch => " + batch norm",
            NormKind::BatchRenorm => " + batch renormalisation",
            NormKind::Layer => " + layer norm",
            NormKind::Rms => " + RMS norm",
            NormKind::Group => " + group norm",
        }),
        _ => None,
    };
    let skip = if ops.iter().any(|op| matches!(op.kind, OpKind::Residual(_))) { " + skip" } else { "" };
    // In a plain net the norm follows the linear operation, in a branch it comes first.
    let norm = ops.get(index + 1).and_then(norm).or_else(|| ops.iter().take(index).find_map(norm)).unwrap_or("");
    let weights = match linear.weight_norm {
        None | Some(WeightNorm::Norm) => linear.init.to_string(),
        Some(WeightNorm::Standardised) => "standardised weights".to_owned(),
        Some(WeightNorm::Normalised) => "normalised weights".to_owned(),
        Some(WeightNorm::Spectral) => "weights of spectral norm 1".to_owned(),
        Some(WeightNorm::Orthogonal) => "orthogonal weights".to_owned(),
    };
    let heads = if network.auxiliary_heads().next().is_some() { " + auxiliary heads" } else { "" };
    Some(format!("{weights} + {}{norm}{skip}{heads}", linear.activation))
}

#[cfg(test)]
mod tests {
    use crate::rules::fixture::Bench;

    #[test]
    fn names_the_layer_its_factor_and_what_limits_the_depth() {
        let line = |recipe: &str| super::line(&Bench::new(recipe).case()).unwrap();
        let plain = line("[network]\ndepth = 4\nwidth = 32\n");
        assert!(plain.starts_with("pytorch-default + relu: x0.4"), "{plain}");
        assert!(plain.ends_with(" layers, beyond which like and unlike inputs can no longer be told apart"), "{plain}");
        let normed = line("[network]\ndepth = 4\nwidth = 32\nnorm = \"batch\"\n");
        assert!(normed.starts_with("pytorch-default + relu + batch norm: x1.2"), "{normed}");
        let skip = line("[network]\nkind = \"residual\"\ndepth = 4\nwidth = 32\ninit = \"he-normal\"\n");
        assert!(skip.starts_with("he-normal + relu + skip: x1.4"), "{skip}");
        // Whatever the weights that are divided: half of the RMS, and ReLU's half of the energy.
        let init = "init = { name = \"normal\", weight_variance = 400.0 }";
        let divided = line(&format!("[network]\ndepth = 4\nwidth = 32\n{init}\nweight_norm = \"spectral\"\n"));
        assert!(divided.starts_with("weights of spectral norm 1 + relu: x0.35355 per layer"), "{divided}");
    }
}
