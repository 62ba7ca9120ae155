//! `[network]`: a network by shape, or as an explicit list of layers.

use serde::{Deserialize, Serialize};

use crate::network::NormKind;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// The network, by shape or as an explicit list of layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkRecipe {
    /// Which shape.
    pub kind: NetworkKind,
    /// Hidden layers (`mlp`), or stem plus residual blocks (`residual`).
    pub depth: usize,
    /// Units of each hidden layer.
    pub width: usize,
    /// The function after each hidden layer.
    pub activation: Activation,
    /// How weights and biases start.
    pub init: Initializer,
    /// How the head starts, where it differs from `init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_init: Option<Initializer>,
    /// Normalisation between linear and activation (`mlp`) or at the start of each branch (`residual`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormKind>,
    /// Added to the variance in a normalisation.
    pub norm_eps: f64,
    /// Factor on each residual branch: a number, or `depth` for 1/sqrt(depth).
    pub branch_scale: BranchScale,
    /// Whether that factor is trained.
    pub learnable_scale: bool,
    /// What comes after the head: an activation, or `softmax` (rarely right).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_activation: Option<OutputActivation>,
    /// The layers of kind `layers`; empty otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerRecipe>,
}

/// Shape of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// `depth` times linear, norm, activation; then the head.
    Mlp,
    /// A linear stem, `depth - 1` blocks x + a W phi(norm(x)), a last activation, the head.
    Residual,
    /// The explicit list in `layers`; the head is its last linear layer.
    Layers,
}

/// What comes after the head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OutputActivation {
    /// A softmax over the outputs of a sample.
    Named(NamedOutput),
    /// A function of each output.
    Elementwise(Activation),
}

/// What may follow the head and is no function of each output alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedOutput {
    /// exp(z) over its sum.
    Softmax,
}

impl OutputActivation {
    /// The softmax.
    pub const SOFTMAX: Self = Self::Named(NamedOutput::Softmax);
}

impl From<Activation> for OutputActivation {
    fn from(activation: Activation) -> Self {
        Self::Elementwise(activation)
    }
}

/// Factor on a residual branch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BranchScale {
    /// This number.
    Number(f64),
    /// 1/sqrt(number of blocks).
    Named(NamedScale),
}

/// A branch scale that depends on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedScale {
    /// 1/sqrt(number of blocks).
    Depth,
}

/// One entry of an explicit list of layers; exactly one of `linear`, `activation`, `norm`, `residual` is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayerRecipe {
    /// Units of a linear layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear: Option<usize>,
    /// How this linear layer starts, where it differs from the network's `init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<Initializer>,
    /// An activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// A normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormKind>,
    /// The layers of a branch F in y = x + scale F(x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<Vec<LayerRecipe>>,
    /// Factor on that branch; 1 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Whether that factor is trained.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub learnable: bool,
}

impl Default for NetworkRecipe {
    fn default() -> Self {
        Self {
            kind: NetworkKind::Mlp,
            depth: 30,
            width: 64,
            activation: Activation::relu(),
            init: Initializer::PYTORCH_DEFAULT,
            head_init: None,
            norm: None,
            norm_eps: 1e-5,
            branch_scale: BranchScale::Number(1.0),
            learnable_scale: false,
            output_activation: None,
            layers: Vec::new(),
        }
    }
}
