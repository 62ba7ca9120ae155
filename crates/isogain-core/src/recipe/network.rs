//! `[network]`: a network by shape, or as an explicit list of layers.

use serde::{Deserialize, Serialize};

use super::layer::LayerRecipe;
use crate::network::{ForgetBias, NormKind, Oscillator};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;
use crate::weight_norm::WeightNorm;

/// The network, by shape or as an explicit list of layers. Which keys count for which kind is in `recipe/keys.rs`.
///
/// What is left out has the default of its kind, see [`NetworkRecipe::of`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct NetworkRecipe {
    /// Which shape.
    pub kind: NetworkKind,
    /// Hidden layers (`mlp`), stem plus residual blocks (`residual`), convolutions (`convnet`), 6n + 2 layers (`resnet`),
    /// recurrent layers, blocks (`transformer`).
    pub depth: usize,
    /// Units of each hidden layer; channels of the first stage; features at each step.
    pub width: usize,
    /// The function after each hidden layer, of each plain recurrence, inside each block.
    pub activation: Activation,
    /// How weights and biases start.
    pub init: Initializer,
    /// How the head starts, where it differs from `init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_init: Option<Initializer>,
    /// Normalisation between a layer and its activation (`mlp`, `convnet`, `resnet`), or of each branch (`residual`,
    /// `transformer`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormKind>,
    /// Groups of features for group norm.
    #[serde(skip_serializing_if = "is_eight")]
    pub norm_groups: usize,
    /// Batches over which the bounds of batch renormalisation open.
    #[serde(skip_serializing_if = "is_default_ramp")]
    pub norm_ramp: usize,
    /// Added to the variance in a normalisation.
    pub norm_eps: f64,
    /// How each hidden layer's or convolution's weights are computed from what is trained; trained themselves when left out.
    /// Around an attention `spectral` alone computes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_norm: Option<WeightNorm>,
    /// Factor on each residual branch: a number, or `depth` for 1/sqrt(number of branches).
    pub branch_scale: BranchScale,
    /// Whether that factor is trained.
    pub learnable_scale: bool,
    /// Whether each channel has a trained factor of its own (LayerScale).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub scale_per_channel: bool,
    /// After how many hidden layers each an auxiliary head stands whose loss is trained too (`mlp`, `convnet`); there are none
    /// when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supervise_every: Option<usize>,
    /// Factor on the loss of each auxiliary head; 1 on that of the last one.
    #[serde(skip_serializing_if = "is_default_share")]
    pub supervise_share: f64,
    /// Where the bias of each block's gate starts: `y = (1 - T) x + T F(x)` with `T = sigmoid(x W + b)`; a sum without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_bias: Option<f64>,
    /// Features that each block puts beside those it reads, `y = [x, F(x)]`; a sum without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<usize>,
    /// What comes after the head: an activation, or `softmax` (rarely right).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_activation: Option<OutputActivation>,
    /// Share of the values set to 0 in training: after each activation, after each recurrent layer, or at the end of each
    /// branch of a transformer and after its embedding.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Samples of a batch that share a mean and a variance in batch norm; all of them when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ghost_batch: Option<usize>,
    /// Share of the samples that the last residual branch leaves out in training; branch l of L leaves out l/L of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub stochastic_depth: f64,
    /// Whether every branch leaves out the same share.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stochastic_depth_uniform: bool,
    /// Rows and columns of a patch (`convnet`); odd.
    #[serde(skip_serializing_if = "is_three")]
    pub kernel: usize,
    /// Stages of equally many convolutions (`convnet`), each with half the positions and twice the channels.
    #[serde(skip_serializing_if = "is_one")]
    pub stages: usize,
    /// How one stage hands its positions to the next.
    #[serde(skip_serializing_if = "is_max")]
    pub pool: Pooling,
    /// What the head reads; the kind's own when left out, see [`NetworkRecipe::head`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Order of the operations in a block (`resnet`).
    #[serde(skip_serializing_if = "is_basic")]
    pub block: Block,
    /// Whether the blocks of a `resnet` have skips; without, it is the plain network of the same layers.
    #[serde(skip_serializing_if = "is_true")]
    pub skip: bool,
    /// How the weights from state to state start; as `init` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_init: Option<Initializer>,
    /// How the bias of the forget gate starts (LSTM), or of the update gate (GRU); as `init` says when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget_bias: Option<ForgetBias>,
    /// Weight of the penalty on cotangents that change their length from step to step (`rnn`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vanishing_penalty: Option<f64>,
    /// Step of the antisymmetric recurrence, which an `rnn` is with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub antisymmetric_step: Option<f64>,
    /// Whether each unit of an `rnn` keeps a share of its own state, and reads no other's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub diagonal: bool,
    /// How the oscillators swing that the plain recurrence becomes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oscillator: Option<Oscillator>,
    /// Heads of each attention.
    #[serde(skip_serializing_if = "is_four")]
    pub heads: usize,
    /// Whether queries and keys are divided by their RMS, head by head.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub qk_norm: bool,
    /// The bound c of attention logits that go through c tanh(z / c); they do not when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_cap: Option<f64>,
    /// Units of a block's feed-forward layer over `width`.
    #[serde(skip_serializing_if = "is_four")]
    pub mlp_ratio: usize,
    /// Where a transformer normalises.
    #[serde(skip_serializing_if = "is_pre")]
    pub norm_placement: NormPlacement,
    /// How a step knows its place; the data's own when left out: `learned` for tokens, `rotary` for numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Whether a step sees only itself and those before; so when left out if the head is at every step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causal: Option<bool>,
    /// Whether the head has the embedding's table, transposed, for its weight.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tied: bool,
    /// How weights that end in the residual stream start, where not as `init` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual_init: Option<NamedScale>,
    /// Whether branches start at zero and, where they have several layers, smaller before that (Fixup), or smaller for the
    /// depth (`transformer`: T-Fixup), for networks without a norm.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fixup: bool,
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
    /// `depth` times convolution, norm, activation, in stages with pooling between; then the head.
    Convnet,
    /// The residual network for CIFAR of He et al. 2016: depth 6n + 2.
    Resnet,
    /// Plain recurrent layers, one on the other; then the head.
    Rnn,
    /// Long short-term memory layers.
    Lstm,
    /// Gated recurrent units.
    Gru,
    /// Blocks of attention and a feed-forward network (Vaswani et al. 2017).
    Transformer,
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

/// A scale that depends on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedScale {
    /// 1/sqrt(number of branches).
    Depth,
}

/// What stands for many positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The largest value of each patch.
    Max,
    /// The mean of each patch.
    Average,
    /// The mean of all positions.
    Mean,
    /// The last position.
    Last,
}

/// What the head reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// The mean over all positions.
    Mean,
    /// All positions, side by side.
    Flatten,
    /// The last step.
    Last,
    /// Each step by itself: one answer for every step.
    Every,
}

/// Order of the operations in the block of a `resnet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// Convolution, norm, activation, convolution, norm; an activation after the sum (He et al. 2016a).
    Basic,
    /// Norm, activation, convolution, twice; nothing after the sum (He et al. 2016b).
    PreActivation,
}

/// Where a transformer normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormPlacement {
    /// At the start of each branch, and once before the head (GPT-2).
    Pre,
    /// At the start and at the end of each branch, and once before the head (Sandwich-LN, Ding et al. 2021).
    Sandwich,
    /// At the start of each branch and in front of its last layer, and once before the head (Sub-LN, Wang et al. 2022).
    Sub,
    /// After each sum (Vaswani et al. 2017).
    Post,
    /// After each sum, the branches scaled by (2N)^(-1/4) and the weights of values, outputs and feed-forward layers by
    /// (8N)^(-1/4), for N blocks (Wang et al. 2022, section 4.2).
    Deepnorm,
}

/// How a step knows its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// A learned row for each step, added to the embedding.
    Learned,
    /// Queries and keys are turned by angles that grow with the step (Su et al. 2021).
    Rotary,
    /// It does not.
    None,
}

impl NetworkKind {
    /// Whether the layers are recurrent.
    pub fn is_recurrent(self) -> bool {
        matches!(self, Self::Rnn | Self::Lstm | Self::Gru)
    }
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

fn is_true(flag: &bool) -> bool {
    *flag
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

fn is_three(number: &usize) -> bool {
    *number == 3
}

fn is_four(number: &usize) -> bool {
    *number == 4
}

fn is_eight(number: &usize) -> bool {
    *number == 8
}

fn is_default_ramp(number: &usize) -> bool {
    *number == NetworkRecipe::default().norm_ramp
}

fn is_default_share(share: &f64) -> bool {
    *share == NetworkRecipe::default().supervise_share
}

fn is_max(pool: &Pooling) -> bool {
    *pool == Pooling::Max
}

fn is_basic(block: &Block) -> bool {
    *block == Block::Basic
}

fn is_pre(placement: &NormPlacement) -> bool {
    *placement == NormPlacement::Pre
}
