//! `[optimizer]` and `[clip]`: how a gradient becomes an update.

use serde::{Deserialize, Serialize};

/// How a gradient becomes an update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Optimizer {
    /// Which rule.
    pub name: OptimizerName,
    /// Step size.
    pub learning_rate: f64,
    /// Momentum factor (`momentum` only).
    pub momentum: f64,
    /// Decay of the first and second moment (`adam` only).
    pub betas: [f64; 2],
    /// Added to the root of the second moment (`adam` only).
    pub eps: f64,
}

/// Which update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// Plain stochastic gradient descent.
    Sgd,
    /// SGD with heavy-ball momentum.
    Momentum,
    /// Adam.
    Adam,
}

/// What happens to a gradient before the optimizer sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clip {
    /// Which kind.
    pub kind: ClipKind,
    /// Largest value, or largest L2 norm.
    pub threshold: f64,
}

/// Kind of clipping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipKind {
    /// No clipping.
    None,
    /// Each element into [-threshold, threshold]; changes the direction.
    Value,
    /// Each parameter tensor to at most this norm.
    Norm,
    /// All parameters together to at most this norm; keeps the direction.
    GlobalNorm,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self { name: OptimizerName::Sgd, learning_rate: 0.05, momentum: 0.9, betas: [0.9, 0.999], eps: 1e-8 }
    }
}

impl Default for Clip {
    fn default() -> Self {
        Self { kind: ClipKind::None, threshold: 1.0 }
    }
}
