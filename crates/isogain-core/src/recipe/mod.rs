//! The recipe: a network, its data and its training, as a short TOML file.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::network::NormKind;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// A whole recipe. Every table but `network` may be left out; unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// What the network is trained on.
    pub data: Data,
    /// The network.
    pub network: NetworkRecipe,
    /// How a gradient becomes an update.
    pub optimizer: Optimizer,
    /// What happens to a gradient before the optimizer sees it.
    pub clip: Clip,
    /// How long, from which seed, in which precision.
    pub run: Run,
    /// Level of each rule that should not have its default: `vanishing-gradient = "allow"`.
    pub rules: BTreeMap<String, Level>,
}

/// What the network is trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// `digits` (built in), or the path of a CSV file relative to the recipe.
    pub source: String,
    /// Column of the target in a CSV file; the last one when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Classes or numbers.
    pub task: Task,
    /// Samples in one step.
    pub batch: usize,
    /// Share of the samples kept for testing.
    pub test_fraction: f64,
    /// Whether each input feature is shifted and scaled to mean 0 and deviation 1 (statistics of the training part).
    pub standardize: bool,
    /// Whether a regression target is shifted and scaled likewise.
    pub standardize_target: bool,
    /// Factor on every input after standardisation.
    pub input_scale: f64,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One class of several; cross-entropy.
    Classification,
    /// One number; mean squared error.
    Regression,
}

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
    /// An activation after the head (rarely right).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_activation: Option<Activation>,
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

impl Default for Recipe {
    /// The built-in recipe: the most common real case of a vanishing gradient.
    fn default() -> Self {
        Self {
            data: Data::default(),
            network: NetworkRecipe::default(),
            optimizer: Optimizer::default(),
            clip: Clip::default(),
            run: Run::default(),
            rules: BTreeMap::new(),
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            source: "digits".into(),
            target: String::new(),
            task: Task::Classification,
            batch: 64,
            test_fraction: 0.2,
            standardize: true,
            standardize_target: true,
            input_scale: 1.0,
        }
    }
}

impl Default for NetworkRecipe {
    fn default() -> Self {
        Self {
            kind: NetworkKind::Mlp,
            depth: 30,
            width: 64,
            activation: Activation::RELU,
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

impl Default for Run {
    fn default() -> Self {
        Self { steps: 1000, seed: 0, precision: Precision::F32 }
    }
}
