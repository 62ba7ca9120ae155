//! What a prescription changes, for an engine that has a model instead of a recipe.

use serde::Serialize;

use super::Subject;
use crate::network::NormKind;
use crate::recipe::expand::branch_scale;
use crate::recipe::{Clip, NetworkKind, NetworkRecipe, OptimizerName, Recipe};
use crate::weight_norm::WeightNorm;

/// The differences between the recipe of a model and a treated one. What stays as it is, is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Changes {
    /// How weights are drawn, as a recipe writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// How the head's weights are drawn, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_init: Option<String>,
    /// The hidden activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<String>,
    /// A normalisation to insert: `batch`, `group(groups = 8)`; `batch(ghost = 64)` in the place of batch norm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<String>,
    /// How hidden layers' weights are to be computed from what is trained: `norm`, `spectral`,
    /// `standardised(gain = 1.7)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_norm: Option<String>,
    /// Skip connections to add, or their new scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<Skip>,
    /// `null` where the activation after the head goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_activation: Option<()>,
    /// Settings of the optimizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Settings>,
    /// Clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// `standardise`: shift and scale inputs to mean 0 and deviation 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<&'static str>,
    /// The same for regression targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'static str>,
}

/// `y = x + scale F(x)`, or `y = (1 - T) x + T F(x)`, or `y = [x, F(x)]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Skip {
    /// The factor at the start.
    pub scale: f64,
    /// Whether it is trained.
    pub learnable: bool,
    /// Whether each channel has one of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub per_channel: bool,
    /// Where the bias of the gate T starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_bias: Option<f64>,
    /// How many features of F(x) stand beside x instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<usize>,
    /// Share of the samples that every branch leaves out in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<f64>,
}

/// Settings of the optimizer that change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Settings {
    /// Step size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Adam's epsilon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Whether steps are shortened while Adam's second moment is behind the gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_update: Option<bool>,
    /// Whether steps are as long as a part of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_ratio: Option<bool>,
    /// How many times its second moment the square of a gradient may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spike_limit: Option<f64>,
    /// Updates after which Adam's moments start again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_every: Option<usize>,
    /// Whether the steps of hidden weight matrices are made orthogonal, and all others AdamW's (Muon).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muon: Option<bool>,
    /// Momentum of a velocity whose sign alone is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_momentum: Option<f64>,
    /// Width at which every weight has the learning rate; others have this over their fan-in times it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_width: Option<usize>,
}

const STANDARDISE: &str = "standardise";

impl Subject {
    /// What a prescription for this model changes.
    pub fn changes(&self, treated: &Recipe) -> Changes {
        let (before, after) = (&self.recipe, treated);
        let (old, new) = (&before.network, &after.network);
        let skip = |network: &NetworkRecipe| {
            let factor = (network.branch_scale, network.learnable_scale, network.scale_per_channel);
            (network.kind, factor, network.gate_bias, network.growth, network.stochastic_depth)
        };
        let becomes = |name| before.optimizer.name != name && after.optimizer.name == name;
        let settings = Settings {
            learning_rate: changed(&before.optimizer.learning_rate, &after.optimizer.learning_rate),
            eps: changed(&before.optimizer.eps, &after.optimizer.eps),
            clip_update: changed(&before.optimizer.clip_update, &after.optimizer.clip_update),
            trust_ratio: changed(&before.optimizer.trust_ratio, &after.optimizer.trust_ratio),
            spike_limit: after.optimizer.spike_limit.filter(|_| before.optimizer.spike_limit.is_none()),
            reset_every: after.optimizer.reset_every.filter(|_| before.optimizer.reset_every.is_none()),
            muon: becomes(OptimizerName::Muon).then_some(true),
            sign_momentum: becomes(OptimizerName::SignSgd).then_some(after.optimizer.momentum),
            base_width: after.optimizer.base_width.filter(|_| before.optimizer.base_width.is_none()),
        };
        Changes {
            init: (old.init != new.init).then(|| new.init.to_string()),
            head_init: new.head_init.filter(|_| old.head_init != new.head_init).map(|init| init.to_string()),
            activation: (old.activation != new.activation).then(|| new.activation.to_string()),
            norm: new.norm.filter(|_| (old.norm, old.ghost_batch) != (new.norm, new.ghost_batch)).map(
                |norm| match norm {
                    NormKind::Batch if let Some(ghost) = new.ghost_batch => format!("{norm}(ghost = {ghost})"),
                    NormKind::Group => format!("{norm}(groups = {})", new.norm_groups),
                    NormKind::BatchRenorm => format!("{norm}(ramp = {})", new.norm_ramp),
                    _ => norm.to_string(),
                },
            ),
            weight_norm: new.weight_norm.filter(|_| old.weight_norm != new.weight_norm).map(|norm| {
                let with_gain = |name: &str| format!("{name}(gain = {:.4})", norm.first_gain(new.activation));
                match norm {
                    WeightNorm::Standardised => with_gain("standardised"),
                    WeightNorm::Normalised => with_gain("normalised"),
                    WeightNorm::Orthogonal => with_gain("orthogonal"),
                    WeightNorm::Norm => "norm".to_owned(),
                    WeightNorm::Spectral => "spectral".to_owned(),
                }
            }),
            skip: (new.kind == NetworkKind::Residual && skip(old) != skip(new)).then(|| Skip {
                // A stem comes before the blocks.
                scale: branch_scale(new.branch_scale, new.depth.saturating_sub(1)),
                learnable: new.learnable_scale,
                per_channel: new.scale_per_channel,
                gate_bias: new.gate_bias,
                growth: new.growth,
                dropped: (new.stochastic_depth > 0.0).then_some(new.stochastic_depth),
            }),
            output_activation: (old.output_activation.is_some() && new.output_activation.is_none()).then_some(()),
            optimizer: (settings != Settings::default()).then_some(settings),
            clip: changed(&before.clip, &after.clip),
            input: (after.data.standardize && !before.data.standardize).then_some(STANDARDISE),
            target: (after.data.standardize_target && !before.data.standardize_target).then_some(STANDARDISE),
        }
    }
}

fn changed<T: PartialEq + Clone>(before: &T, after: &T) -> Option<T> {
    (before != after).then(|| after.clone())
}
