//! `[clip]`: what happens to a gradient before the optimizer sees it.

use serde::{Deserialize, Serialize};

/// What happens to a gradient before the optimizer sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clip {
    /// Which kind.
    pub kind: ClipKind,
    /// What may not be exceeded; of which quantity, depends on the kind.
    pub threshold: f64,
    /// Which percentile of all norms so far is the largest norm, in [0, 100] (`auto-clip`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// What an average of norms keeps of itself from step to step, in (0, 1) (`z-clip`, `ada-gc`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay: Option<f64>,
    /// Steps from which the averages start (`z-clip`, `ada-gc`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<usize>,
    /// Largest norm of all gradients together during those steps (`ada-gc`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<f64>,
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
    /// Each unit to at most this many times the norm of its own weights (Brock et al. 2021).
    Agc,
    /// All parameters together to a percentile of all norms so far (Seetharaman et al. 2020).
    AutoClip,
    /// All parameters together where the norm is this many deviations above its mean (Kumar et al. 2025).
    ZClip,
    /// Each parameter tensor to this many times its own average norm (Wang et al. 2025).
    AdaGc,
}

impl ClipKind {
    /// Every kind that clips.
    pub const ALL: [Self; 7] =
        [Self::Value, Self::Norm, Self::GlobalNorm, Self::Agc, Self::AutoClip, Self::ZClip, Self::AdaGc];

    /// The settings that it has.
    pub fn settings(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Value | Self::Norm | Self::GlobalNorm | Self::Agc => &["threshold"],
            Self::AutoClip => &["percentile"],
            Self::ZClip => &["threshold", "decay", "warm_up"],
            Self::AdaGc => &["threshold", "decay", "warm_up", "start"],
        }
    }

    /// As people call it: `clipping by value`.
    pub fn title(self) -> &'static str {
        match self {
            Self::None => "no clipping",
            Self::Value => "clipping by value",
            Self::Norm => "clipping by norm",
            Self::GlobalNorm => "clipping by global norm",
            Self::Agc => "adaptive clipping by unit (AGC)",
            Self::AutoClip => "clipping by a percentile of the norms so far (AutoClip)",
            Self::ZClip => "clipping of outliers (ZClip)",
            Self::AdaGc => "adaptive clipping by tensor (AdaGC)",
        }
    }
}

impl Clip {
    /// A kind with its paper's settings.
    pub fn of(kind: ClipKind) -> Self {
        let threshold = match kind {
            ClipKind::Agc => 0.01,
            ClipKind::ZClip => 2.5,
            ClipKind::AdaGc => 1.04,
            ClipKind::None | ClipKind::Value | ClipKind::Norm | ClipKind::GlobalNorm | ClipKind::AutoClip => 1.0,
        };
        Self { kind, threshold, percentile: None, decay: None, warm_up: None, start: None }
    }

    /// A kind at this threshold.
    pub fn at(kind: ClipKind, threshold: f64) -> Self {
        Self { threshold, ..Self::of(kind) }
    }

    /// The percentile of `auto-clip`; 10 in the paper.
    pub fn percentile(&self) -> f64 {
        self.percentile.unwrap_or(10.0)
    }

    /// What an average of norms keeps of itself: alpha of ZClip, beta of AdaGC.
    pub fn decay(&self) -> f64 {
        self.decay.unwrap_or(if self.kind == ClipKind::AdaGc { 0.99 } else { 0.97 })
    }

    /// Steps from which the averages start.
    pub fn warm_up(&self) -> usize {
        self.warm_up.unwrap_or(if self.kind == ClipKind::AdaGc { 100 } else { 25 })
    }

    /// Largest norm during these steps, where there is one.
    pub fn start(&self) -> f64 {
        self.start.unwrap_or(1.0)
    }
}

impl Default for Clip {
    fn default() -> Self {
        Self::of(ClipKind::None)
    }
}
