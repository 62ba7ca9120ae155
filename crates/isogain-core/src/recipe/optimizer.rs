//! `[optimizer]`: how a gradient becomes an update.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::width_scaling::RateFactors;

/// How a gradient becomes an update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Given")]
pub struct Optimizer {
    /// Which rule.
    pub name: OptimizerName,
    /// Step size; with a schedule the largest one.
    pub learning_rate: f64,
    /// Momentum factor.
    pub momentum: f64,
    /// Decay of the first and second moment (`adam`, `adamw`).
    pub betas: [f64; 2],
    /// Decay of the mean square (`rmsprop`).
    pub alpha: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Pull of every parameter towards zero: `weight_decay` times the parameter is added to its gradient, and with
    /// `adamw`, `muon` and `sign-sgd` subtracted from the parameter at the learning rate instead.
    pub weight_decay: f64,
    /// Whether an update that is too long for what its second moment has seen is scaled down (StableAdamW).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clip_update: bool,
    /// How many times the second moment the square of a gradient may be (SPAM); no limit where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spike_limit: Option<f64>,
    /// Updates after which both moments start again from zero (SPAM); never where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_every: Option<usize>,
    /// Whether the step of each weight tensor is as long as the learning rate times the tensor itself (LARS, LAMB).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trust_ratio: bool,
    /// Width at which every weight has the learning rate; others between layers have this over their fan-in times it (muP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_width: Option<usize>,
    /// What the step of a hidden weight matrix is multiplied by (`muon`).
    #[serde(skip_serializing_if = "AdjustLr::is_default")]
    pub adjust_lr: AdjustLr,
}

/// By its shape, what the orthogonal step of a matrix is multiplied by beside the learning rate; the names are PyTorch's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdjustLr {
    /// 0.2 sqrt(max(fan_in, fan_out)), so that its numbers have RMS 0.2, about as those of Adam's steps do (Liu et al. 2025).
    /// One learning rate then serves what AdamW moves beside it.
    #[default]
    MatchRmsAdamw,
    /// sqrt(max(1, fan_out / fan_in)) (Jordan et al. 2024).
    Original,
}

impl AdjustLr {
    /// The factor for a matrix `[fan_in, fan_out]`.
    pub fn factor(self, [fan_in, fan_out]: [usize; 2]) -> f64 {
        match self {
            Self::MatchRmsAdamw => 0.2 * (fan_in.max(fan_out) as f64).sqrt(),
            Self::Original => (fan_out as f64 / fan_in as f64).max(1.0).sqrt(),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// Plain stochastic gradient descent.
    Sgd,
    /// SGD with heavy-ball momentum.
    Momentum,
    /// SGD with Nesterov's momentum: the gradient is taken as if the velocity had acted already.
    Nesterov,
    /// Adam.
    Adam,
    /// Adam with decoupled weight decay.
    #[serde(rename = "adamw")]
    AdamW,
    /// Divided by the root of a running mean of squares.
    #[serde(rename = "rmsprop")]
    RmsProp,
    /// Divided by the root of the sum of all squares so far.
    #[serde(rename = "adagrad")]
    AdaGrad,
    /// Hidden weight matrices by orthogonal steps, all others by AdamW.
    Muon,
    /// The sign of a velocity.
    SignSgd,
}

impl OptimizerName {
    /// Every rule.
    pub const ALL: [Self; 9] = [
        Self::Sgd,
        Self::Momentum,
        Self::Nesterov,
        Self::Adam,
        Self::AdamW,
        Self::RmsProp,
        Self::AdaGrad,
        Self::Muon,
        Self::SignSgd,
    ];

    /// As people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Sgd => "SGD",
            Self::Momentum => "SGD with momentum",
            Self::Nesterov => "SGD with Nesterov momentum",
            Self::Adam => "Adam",
            Self::AdamW => "AdamW",
            Self::RmsProp => "RMSprop",
            Self::AdaGrad => "AdaGrad",
            Self::Muon => "Muon",
            Self::SignSgd => "sign descent",
        }
    }

    /// The settings that it has beside learning rate and weight decay.
    pub fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Sgd => &["trust_ratio"],
            Self::Momentum | Self::Nesterov => &["momentum", "trust_ratio"],
            Self::Adam | Self::AdamW => {
                &["betas", "eps", "clip_update", "spike_limit", "reset_every", "trust_ratio", "base_width"]
            }
            Self::RmsProp => &["alpha", "eps", "momentum", "trust_ratio"],
            Self::AdaGrad => &["eps", "trust_ratio"],
            // The length of its steps is its own.
            Self::Muon => &["momentum", "betas", "eps", "adjust_lr"],
            Self::SignSgd => &["momentum", "trust_ratio"],
        }
    }

    /// The settings of all rules.
    pub(crate) fn every_setting() -> BTreeSet<&'static str> {
        Self::ALL.iter().flat_map(|name| name.settings()).copied().collect()
    }

    /// Whether it has this setting beside learning rate and weight decay.
    pub fn has(self, setting: &str) -> bool {
        self.settings().contains(&setting)
    }

    /// Whether it divides the gradient by its own size, so that the step hardly depends on that size until `eps`, where
    /// it has one, is larger.
    pub fn rescales(self) -> bool {
        self.has("eps") || self == Self::SignSgd
    }

    /// Whether weight decay is no part of the gradient, but pulls at the parameter itself.
    pub fn is_decay_decoupled(self) -> bool {
        matches!(self, Self::AdamW | Self::Muon | Self::SignSgd)
    }
}

/// What a reader may find: what is left out has the default of its rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    name: Option<OptimizerName>,
    learning_rate: Option<f64>,
    momentum: Option<f64>,
    betas: Option<[f64; 2]>,
    alpha: Option<f64>,
    eps: Option<f64>,
    weight_decay: Option<f64>,
    clip_update: Option<bool>,
    spike_limit: Option<f64>,
    reset_every: Option<usize>,
    trust_ratio: Option<bool>,
    base_width: Option<usize>,
    adjust_lr: Option<AdjustLr>,
}

impl From<Given> for Optimizer {
    fn from(given: Given) -> Self {
        let default = Self::named(given.name.unwrap_or(OptimizerName::Sgd));
        Self {
            name: default.name,
            learning_rate: given.learning_rate.unwrap_or(default.learning_rate),
            momentum: given.momentum.unwrap_or(default.momentum),
            betas: given.betas.unwrap_or(default.betas),
            alpha: given.alpha.unwrap_or(default.alpha),
            eps: given.eps.unwrap_or(default.eps),
            weight_decay: given.weight_decay.unwrap_or(default.weight_decay),
            clip_update: given.clip_update.unwrap_or(default.clip_update),
            spike_limit: given.spike_limit,
            reset_every: given.reset_every,
            trust_ratio: given.trust_ratio.unwrap_or(default.trust_ratio),
            base_width: given.base_width,
            adjust_lr: given.adjust_lr.unwrap_or(default.adjust_lr),
        }
    }
}

impl Optimizer {
    /// A rule with PyTorch's settings (a momentum of 0.9 where the rule is about momentum).
    pub fn named(name: OptimizerName) -> Self {
        Self {
            name,
            learning_rate: 0.05,
            momentum: match name {
                OptimizerName::RmsProp => 0.0,
                OptimizerName::Muon => 0.95,
                _ => 0.9,
            },
            betas: [0.9, 0.999],
            alpha: 0.99,
            eps: if name == OptimizerName::AdaGrad { 1e-10 } else { 1e-8 },
            weight_decay: match name {
                OptimizerName::AdamW => 0.01,
                OptimizerName::Muon => 0.1,
                _ => 0.0,
            },
            clip_update: false,
            spike_limit: None,
            reset_every: None,
            trust_ratio: false,
            base_width: None,
            adjust_lr: AdjustLr::default(),
        }
    }

    /// What the learning rate of each parameter of `network` is multiplied by.
    pub fn rate_factors(&self, network: &Network) -> RateFactors {
        self.base_width.map_or_else(RateFactors::default, |width| RateFactors::new(network, width))
    }

    /// Whether a step hardly depends on the size of the gradient, by the rule or by `trust_ratio`.
    pub fn rescales(&self) -> bool {
        self.name.rescales() || self.trust_ratio
    }

    /// The `eps` that a hidden weight's gradient is divided away by where it is smaller; `None` where there is none, or where
    /// steps get their length back. For other parameters see [`crate::step_size::StepSizes::eps`].
    pub fn effective_eps(&self) -> Option<f64> {
        self.eps_of_others().filter(|_| self.name != OptimizerName::Muon)
    }

    /// The same for what is no hidden weight.
    pub(crate) fn eps_of_others(&self) -> Option<f64> {
        (self.name.has("eps") && !self.trust_ratio).then_some(self.eps)
    }

    /// Size of one step over the learning rate for a steady gradient of this size: the rules that keep a velocity add up
    /// 1 / (1 - momentum) gradients of the same direction; those that divide by the root of a mean square take g / (g +
    /// eps). For `adagrad` that of the first step, see [`Self::travel`]. What depends on more than the gradient is told by
    /// [`crate::step_size::StepSizes`].
    pub(crate) fn gain(&self, gradient: f64) -> f64 {
        let adaptive = gradient / (gradient + self.eps);
        match self.name {
            OptimizerName::Sgd => gradient,
            OptimizerName::Momentum | OptimizerName::Nesterov => gradient / (1.0 - self.momentum),
            OptimizerName::Adam | OptimizerName::AdamW | OptimizerName::AdaGrad | OptimizerName::Muon => adaptive,
            OptimizerName::RmsProp => adaptive / (1.0 - self.momentum),
            OptimizerName::SignSgd => f64::from(gradient > 0.0),
        }
    }

    /// How many first steps `steps` steps of a steady gradient add up to. AdaGrad's shrink like 1/sqrt(t).
    pub fn travel(&self, steps: f64) -> f64 {
        if self.name == OptimizerName::AdaGrad && !self.trust_ratio { 2.0 * steps.sqrt() } else { steps }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::named(OptimizerName::Sgd)
    }
}
