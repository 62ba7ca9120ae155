//! `[run]` and the levels of `[rules]`: how long, from which seed, how loudly.

use serde::{Deserialize, Serialize};

use crate::statistics::NumberFormat;

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
    /// What computes the passes.
    #[serde(skip_serializing_if = "Device::is_cpu")]
    pub device: Device,
    /// What the loss is multiplied with before the way back, and gradients divided by after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
}

/// Floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
    /// bfloat16 with weights kept in 32 bits, emulated: what an operation returns, forward and back, and the weights it
    /// reads are rounded to 8 significant bits.
    Bf16,
    /// IEEE half precision with weights kept in 32 bits, emulated likewise: 11 significant bits, from 6e-8 to 65504.
    Fp16,
}

impl Precision {
    /// The 16-bit format of activations and gradients; `None` where they are as wide as the parameters.
    pub fn narrow(self) -> Option<NumberFormat> {
        match self {
            Self::F32 | Self::F64 => None,
            Self::Bf16 => Some(NumberFormat::BF16),
            Self::Fp16 => Some(NumberFormat::FP16),
        }
    }
}

/// What computes the passes of a training. Parameters are kept, clipped and updated by the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first GPU of NVIDIA's.
    Cuda,
    /// The GPU that Vulkan, Metal or DirectX 12 prefers, which may be one in software. It computes in f32 alone.
    Wgpu,
}

impl Device {
    /// Whether it is the processor.
    pub fn is_cpu(&self) -> bool {
        *self == Self::Cpu
    }
}

/// What the loss is multiplied with before the way back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LossScale {
    /// This number.
    Number(f64),
    /// As large as the format allows, found on the way.
    Named(NamedLossScale),
}

/// A loss scale that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedLossScale {
    /// Twice as large after so many steps in a row without an overflow; half as large, and the step left out, at one.
    Dynamic,
}

impl LossScale {
    /// The usual one.
    pub const DYNAMIC: Self = Self::Named(NamedLossScale::Dynamic);
    /// What a changing scale begins with (`torch.amp.GradScaler`).
    pub const FIRST: f64 = 65536.0;

    /// The scale of the first step.
    pub fn first(self) -> f64 {
        match self {
            Self::Number(scale) => scale,
            Self::Named(NamedLossScale::Dynamic) => Self::FIRST,
        }
    }
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
        Self { steps: 1000, seed: 0, precision: Precision::F32, device: Device::Cpu, loss_scale: None }
    }
}
