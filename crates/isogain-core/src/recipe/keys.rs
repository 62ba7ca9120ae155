//! Which keys of `[network]` count for which kind of network. What does not is refused when it is read, because a setting
//! without effect misleads, and left out when it is written.

use super::network::NetworkKind::{self, Convnet, Gru, Lstm, Mlp, Residual, Resnet, Rnn, Transformer};
use super::network::{NetworkRecipe, NormPlacement};
use super::variants::Name;
use crate::network::NormKind;

/// Every key but `kind`, `init` and `head_init`, with the kinds for which it counts.
const KEYS: [(&str, &[NetworkKind]); 43] = [
    ("depth", &[Mlp, Residual, Convnet, Resnet, Rnn, Lstm, Gru, Transformer]),
    ("width", &[Mlp, Residual, Convnet, Resnet, Rnn, Lstm, Gru, Transformer]),
    ("activation", &[Mlp, Residual, Convnet, Resnet, Rnn, Transformer]),
    ("norm", &[Mlp, Residual, Convnet, Resnet, Transformer]),
    ("norm_groups", &[Mlp, Residual, Convnet, Resnet, NetworkKind::Layers]),
    ("norm_ramp", &[Mlp, Residual, Convnet, Resnet, NetworkKind::Layers]),
    ("ghost_batch", &[Mlp, Residual, Convnet, Resnet, NetworkKind::Layers]),
    ("norm_eps", &[Mlp, Residual, Convnet, Resnet, Transformer, NetworkKind::Layers]),
    ("weight_norm", &[Mlp, Residual, Convnet, Resnet, Rnn, Lstm, Gru, Transformer, NetworkKind::Layers]),
    ("branch_scale", &[Residual, Resnet, Transformer]),
    ("learnable_scale", &[Residual, Resnet, Transformer]),
    ("scale_per_channel", &[Residual, Resnet, Transformer]),
    ("supervise_every", &[Mlp, Convnet]),
    ("supervise_share", &[Mlp, Convnet]),
    ("gate_bias", &[Residual]),
    ("growth", &[Residual]),
    ("output_activation", &[Mlp, Residual, Convnet, Resnet, Rnn, Lstm, Gru, Transformer]),
    ("dropout", &[Mlp, Residual, Convnet, Resnet, Rnn, Lstm, Gru, Transformer]),
    ("stochastic_depth", &[Residual, Resnet, Transformer]),
    ("stochastic_depth_uniform", &[Residual, Resnet, Transformer]),
    ("kernel", &[Convnet]),
    ("stages", &[Convnet]),
    ("pool", &[Convnet]),
    ("head", &[Convnet, Rnn, Lstm, Gru, Transformer]),
    ("block", &[Resnet]),
    ("skip", &[Resnet]),
    ("hidden_init", &[Rnn, Lstm, Gru]),
    ("forget_bias", &[Lstm, Gru]),
    ("vanishing_penalty", &[Rnn]),
    ("antisymmetric_step", &[Rnn]),
    ("diagonal", &[Rnn]),
    ("oscillator", &[Rnn]),
    ("heads", &[Transformer]),
    ("qk_norm", &[Transformer]),
    ("logit_cap", &[Transformer]),
    ("mlp_ratio", &[Transformer]),
    ("norm_placement", &[Transformer]),
    ("positions", &[Transformer]),
    ("causal", &[Transformer]),
    ("tied", &[Transformer]),
    ("residual_init", &[Transformer]),
    ("fixup", &[Residual, Resnet, Transformer]),
    ("layers", &[NetworkKind::Layers]),
];

/// Every key that does not count for all kinds.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|(key, _)| *key)
}

/// Why `key` has no effect in this network; `None` where it has one.
pub(super) fn idle(network: &NetworkRecipe, key: &str) -> Option<String> {
    let kind = network.kind;
    let kinds = KEYS.iter().find(|(known, _)| *known == key).map(|(_, kinds)| *kinds);
    if let Some(kinds) = kinds.filter(|kinds| !kinds.contains(&kind)) {
        return Some(match kind {
            NetworkKind::Layers => "has no effect: with kind = \"layers\" the list says it all".to_owned(),
            _ => format!("has no effect: only for kind = {}", alternatives(kinds)),
        });
    }
    let why = match key {
        "norm_groups" if kind != NetworkKind::Layers && network.norm != Some(NormKind::Group) => {
            "only for norm = \"group\""
        }
        "norm_ramp" if kind != NetworkKind::Layers && network.norm != Some(NormKind::BatchRenorm) => {
            "only for norm = \"batch-renorm\""
        }
        "ghost_batch" if kind != NetworkKind::Layers && network.norm != Some(NormKind::Batch) => {
            "only for norm = \"batch\""
        }
        "supervise_share" if network.supervise_every.is_none() => "only with supervise_every",
        "pool" if network.stages == 1 => "one stage has nothing to pool; say stages = 2 or more",
        "block" | "branch_scale" | "learnable_scale" | "scale_per_channel" | "stochastic_depth" | "fixup"
            if kind == Resnet && !network.skip =>
        {
            "with skip = false there are no blocks"
        }
        "branch_scale" | "learnable_scale" | "residual_init"
            if kind == Transformer && network.norm_placement == NormPlacement::Deepnorm =>
        {
            "norm_placement = \"deepnorm\" sets branches and weights"
        }
        "residual_init" if kind == Transformer && network.norm_placement == NormPlacement::Sandwich => {
            "norm_placement = \"sandwich\" gives branches a length of their own, whatever their weights"
        }
        "residual_init" if kind == Transformer && network.weight_norm.is_some() => {
            "weight_norm divides weights by their size, whatever they start at"
        }
        "norm" | "norm_placement" | "residual_init" if kind == Transformer && network.fixup => {
            "fixup = true sets the weights and takes the place of the norms"
        }
        "hidden_init" | "vanishing_penalty" | "antisymmetric_step" | "oscillator" | "weight_norm"
            if network.diagonal =>
        {
            "with diagonal = true there are no weights from state to state"
        }
        "vanishing_penalty" | "antisymmetric_step" | "weight_norm" if network.oscillator.is_some() => {
            "with oscillator the state swings, and the weights from state to state only couple"
        }
        "vanishing_penalty" if network.weight_norm.is_some() => {
            "with weight_norm = \"orthogonal\" the weights from state to state change no length"
        }
        "vanishing_penalty" | "weight_norm" if network.antisymmetric_step.is_some() => {
            "with antisymmetric_step the weights from state to state hardly change a length"
        }
        "branch_scale" | "learnable_scale" | "scale_per_channel" | "fixup" if network.gate_bias.is_some() => {
            "with gate_bias a gate shares out between x and F(x)"
        }
        "branch_scale" | "learnable_scale" | "scale_per_channel" | "fixup" | "gate_bias"
            if network.growth.is_some() =>
        {
            "with growth x and F(x) stand side by side"
        }
        "stochastic_depth_uniform" if network.stochastic_depth == 0.0 => "only with stochastic_depth above 0",
        "scale_per_channel" if !network.learnable_scale => "only with learnable_scale = true",
        "head_init" if kind == Transformer && network.tied => "with tied = true the head has the embedding's table",
        _ => return None,
    };
    Some(format!("has no effect: {why}"))
}

/// `"a"`, `"a" or "b"`, `"a", "b" or "c"`.
fn alternatives(kinds: &[NetworkKind]) -> String {
    let names: Vec<String> = kinds.iter().map(|kind| format!("\"{}\"", Name(kind))).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
