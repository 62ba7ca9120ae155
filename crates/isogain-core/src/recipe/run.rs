//! `[run]` and the levels of `[rules]`: how long, from which seed, how loudly.

use serde::{Deserialize, Serialize};

/// How long, from which seed, in which precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Optimizer updates.
    pub steps: usize,
    /// Seed of initialisation, split and order of the data.
    pub seed: u64,
    /// Floating-point type of parameters, activations and gradients.
    pub precision: Precision,
}

/// Floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// How loudly a rule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Silent.
    Allow,
    /// No illness, worth knowing.
    Note,
    /// Training suffers.
    Warn,
    /// Training fails. Called `deny` in a recipe, `error` in messages.
    Deny,
}

impl Default for Run {
    fn default() -> Self {
        Self { steps: 1000, seed: 0, precision: Precision::F32 }
    }
}
