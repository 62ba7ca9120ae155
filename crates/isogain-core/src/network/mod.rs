//! A network as plain data: an ordered list of operations, residual branches nested inside.
//!
//! Recipes, Burn models and traced PyTorch models all become one of these; theory, rules and remedies read only this
//! and the record. Nothing here assumes a fully connected network: an operation states its own fans and shape.

use std::collections::HashSet;
use std::fmt;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::ghost;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;
use crate::weight_norm::WeightNorm;

mod window;

pub use window::{Pool, PoolKind, Window};

/// Shape of one sample: positions, each with so many features. A batch is a matrix `[batch, positions x features]`,
/// positions in row-major order and the features of one position side by side (channels last).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Positions along each axis: none for a plain vector, `[steps]` for a sequence, `[height, width]` for an image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grid: Vec<usize>,
    /// Numbers at each position: columns, channels, width of the model.
    pub features: usize,
}

impl Shape {
    /// A plain vector.
    pub fn vector(features: usize) -> Self {
        Self { grid: Vec::new(), features }
    }

    /// A sequence of `steps` positions.
    pub fn sequence(steps: usize, features: usize) -> Self {
        Self { grid: vec![steps], features }
    }

    /// An image of `height` times `width` positions.
    pub fn image(height: usize, width: usize, channels: usize) -> Self {
        Self { grid: vec![height, width], features: channels }
    }

    /// Positions in one sample; 1 for a plain vector.
    pub fn positions(&self) -> usize {
        self.grid.iter().product()
    }

    /// Numbers in one sample.
    pub fn values(&self) -> usize {
        self.positions() * self.features
    }
}

/// Positions along each axis, then features: `8x8x16`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.grid.iter().try_for_each(|length| write!(f, "{length}x"))?;
        write!(f, "{}", self.features)
    }
}

/// A feed-forward network: operations applied in order to a batch of samples, then a loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Shape of one input sample.
    pub input: Shape,
    /// Features of one output sample: classes, or regression targets.
    pub outputs: usize,
    /// The operations from input to output. The last linear operation is the head.
    pub ops: Vec<Op>,
    /// What the output is compared with.
    pub loss: Loss,
}

/// One named operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Unique in the network: `fc3`, `relu3`, `norm3`, `block3`; inside a branch `block3.fc`.
    pub name: String,
    /// What it does.
    #[serde(flatten)]
    pub kind: OpKind,
}

/// What an operation does. Parameters are named `<op>.weight`, `<op>.bias`, `<op>.gamma`, `<op>.beta`, `<op>.scale`,
/// `<op>.hidden_weight`, `<op>.hidden_bias`, `<op>.log_decay`, `<op>.position`, `<op>.query_gamma`, `<op>.key_gamma`,
/// `<op>.gain`.
///
/// Where a sample has positions (pixels, steps), an operation that says nothing of them does the same at each: a batch
/// is then a matrix with one row for every position of every sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OpKind {
    /// `y = x W + b`.
    Linear(Linear),
    /// The same on a patch around every position of a grid: `fan_in` counts the inputs of one unit, channels times taps;
    /// `fan_out` the channels that come out.
    Convolution(Convolution),
    /// `y = phi(x)`, element by element.
    Activation {
        /// The function phi.
        activation: Activation,
    },
    /// `y_i = exp(x_i) / sum_j exp(x_j)` over the features of a position.
    Softmax,
    /// Batch, layer, RMS or group normalisation, or batch renormalisation.
    Norm(Norm),
    /// `y = x + scale * F(x)`, or `y = (1 - T(x)) x + T(x) F(x)` with a gate T, or both side by side, `y = [x, F(x)]`.
    Residual(Residual),
    /// `y = x`, and beside it a head whose loss is trained too.
    AuxiliaryHead(AuxiliaryHead),
    /// The largest or the mean value of a patch, or of all positions; or the last position.
    Pool(Pool),
    /// All positions of a sample side by side, as one vector.
    Flatten(Flatten),
    /// A random part of the values set to 0 in training, the others scaled up.
    Dropout(Dropout),
    /// All values of a random part of the samples set to 0 in training, those of the others scaled up: at the end of a
    /// residual branch, so that the sample passes the block by (Huang et al. 2016).
    StochasticDepth(Dropout),
    /// A row of a table for every token, plus one for its position.
    Embedding(Embedding),
    /// A recurrent layer, over all steps.
    Recurrent(Recurrent),
    /// Queries and keys, side by side with the values, divided by their RMS head by head.
    QkNorm(QkNorm),
    /// Softmax attention among the positions of a sample: queries, keys and values side by side go in.
    Attention(Attention),
    /// What none of the others describes, taken whole: an operation of another framework.
    Other(Other),
}

impl OpKind {
    /// Features at one position of the output, given those of the input.
    pub fn features(&self, input: usize) -> usize {
        match self {
            Self::Linear(linear) | Self::Convolution(Convolution { linear, .. }) => linear.fan_out,
            Self::Flatten(flatten) => flatten.positions * input,
            Self::Embedding(embedding) => embedding.features,
            Self::Recurrent(recurrent) => recurrent.units,
            Self::Attention(attention) => attention.features,
            Self::Residual(residual) => {
                let branch = residual.branch.iter().fold(input, |features, op| op.kind.features(features));
                if residual.concatenates { input + branch } else { branch }
            }
            Self::Activation { .. }
            | Self::Softmax
            | Self::Norm(_)
            | Self::QkNorm(_)
            | Self::AuxiliaryHead(_)
            | Self::Pool(_)
            | Self::Dropout(_)
            | Self::StochasticDepth(_)
            | Self::Other(_) => input,
        }
    }

    /// Positions of the output, given those of the input.
    pub fn positions(&self, input: usize) -> usize {
        let of = |window: Window| window.output().iter().product();
        match self {
            Self::Convolution(Convolution { window, .. }) => window.map_or(input, of),
            Self::Pool(pool) => pool.window.map_or(1, of),
            Self::Flatten(_) => 1,
            Self::Residual(residual) => {
                residual.branch.iter().fold(input, |positions, op| op.kind.positions(positions))
            }
            _ => input,
        }
    }

    /// Name and shape of each parameter; a vector has one dimension.
    pub fn parameters(&self) -> Vec<(&'static str, Vec<usize>)> {
        match self {
            Self::Linear(linear) | Self::Convolution(Convolution { linear, .. }) => {
                let weight = linear.tied.is_none().then(|| ("weight", vec![linear.fan_in, linear.fan_out]));
                let gain = linear.weight_norm.map(|norm| ("gain", vec![norm.gains(linear.fan_out)]));
                weight.into_iter().chain([("bias", vec![linear.fan_out])]).chain(gain).collect()
            }
            Self::Norm(Norm { norm: NormKind::Rms, features, .. }) => vec![("gamma", vec![*features])],
            Self::Norm(norm) => vec![("gamma", vec![norm.features]), ("beta", vec![norm.features])],
            Self::Residual(residual) => {
                if residual.learnable {
                    vec![("scale", vec![residual.channels.max(1)])]
                } else {
                    Vec::new()
                }
            }
            Self::Embedding(embedding) => {
                let table = ("weight", vec![embedding.vocabulary, embedding.features]);
                let positions = embedding.positions.then(|| ("position", vec![embedding.steps, embedding.features]));
                std::iter::once(table).chain(positions).collect()
            }
            Self::Recurrent(Recurrent { inputs, units, diagonal: true, .. }) => {
                vec![("weight", vec![*inputs, *units]), ("bias", vec![*units]), ("log_decay", vec![*units])]
            }
            Self::Recurrent(Recurrent { inputs, units, oscillator: Some(_), .. }) => vec![
                ("weight", vec![*inputs, *units]),
                ("hidden_weight", vec![2 * units, *units]),
                ("bias", vec![*units]),
            ],
            Self::Recurrent(recurrent) => {
                let gates = recurrent.cell.gates().len() * recurrent.units;
                vec![
                    ("weight", vec![recurrent.inputs, gates]),
                    ("hidden_weight", vec![recurrent.units, gates]),
                    ("bias", vec![gates]),
                    ("hidden_bias", vec![gates]),
                ]
            }
            Self::QkNorm(norm) => ["query_gamma", "key_gamma"].map(|name| (name, vec![norm.head_width()])).to_vec(),
            Self::Activation { .. }
            | Self::Softmax
            | Self::AuxiliaryHead(_)
            | Self::Pool(_)
            | Self::Flatten(_)
            | Self::Dropout(_)
            | Self::StochasticDepth(_)
            | Self::Attention(_)
            | Self::Other(_) => Vec::new(),
        }
    }
}

/// A fully connected layer, weight `[fan_in, fan_out]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// Inputs of one unit.
    pub fan_in: usize,
    /// Units.
    pub fan_out: usize,
    /// How weight and bias start.
    pub init: Initializer,
    /// The activation that follows, which gain rules and edge-of-chaos initialisation refer to.
    pub activation: Activation,
    /// The embedding whose table, transposed, is this layer's weight, where it has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tied: Option<String>,
    /// Factor at the start on the last third of the columns, the values beside queries and keys (DeepNorm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_gain: Option<f64>,
    /// How the weight is computed from what is trained, where it is not trained itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_norm: Option<WeightNorm>,
    /// Where every bias starts, where not as `init` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bias: Option<f64>,
}

impl Linear {
    /// A layer with a weight of its own.
    pub fn new(fan_in: usize, fan_out: usize, init: Initializer, activation: Activation) -> Self {
        Self { fan_in, fan_out, init, activation, tied: None, value_gain: None, weight_norm: None, first_bias: None }
    }

    /// Variance of what multiplies the inputs, before training.
    pub fn weight_variance(&self) -> f64 {
        match self.weight_norm {
            Some(norm @ (WeightNorm::Standardised | WeightNorm::Normalised)) => {
                norm.first_gain(self.activation).powi(2) / self.fan_in as f64
            }
            // Of independent values with deviation s the largest singular value is s (sqrt fan_in + sqrt fan_out).
            Some(WeightNorm::Spectral) => ((self.fan_in as f64).sqrt() + (self.fan_out as f64).sqrt()).powi(-2),
            // Each of the orthonormal vectors spreads its length 1 over as many entries as the longer side has.
            Some(norm @ WeightNorm::Orthogonal) => {
                norm.first_gain(self.activation).powi(2) / self.fan_in.max(self.fan_out) as f64
            }
            Some(WeightNorm::Norm) | None => self.init.weight_variance(self.fan_in, self.fan_out, self.activation),
        }
    }

    /// Draws weight, row-major `[fan_in, fan_out]`, and bias; `taps` are the positions of a convolution's patch, 1
    /// otherwise.
    pub fn sample(&self, taps: usize, rng: &mut ChaCha8Rng) -> (Vec<f64>, Vec<f64>) {
        let (mut weight, mut bias) = self.init.sample_layer(self.fan_in, self.fan_out, taps, self.activation, rng);
        if let Some(first) = self.first_bias {
            bias.fill(first);
        }
        if let Some(gain) = self.value_gain {
            for row in weight.chunks_exact_mut(self.fan_out) {
                row[self.fan_out / 3 * 2..].iter_mut().for_each(|w| *w *= gain);
            }
        }
        (weight, bias)
    }
}

/// A convolution, weight `[taps x channels in, channels out]`: rows of the patch, columns of the patch, channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Convolution {
    /// The layer that each patch goes through.
    #[serde(flatten)]
    pub linear: Linear,
    /// Which patches; `None` where only the layer is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

impl Convolution {
    /// Positions of one patch; 1 where only the layer is known.
    pub fn taps(&self) -> usize {
        self.window.as_ref().map_or(1, Window::taps)
    }
}

/// Which statistics a normalisation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// Per feature over the batch and all positions; running averages in evaluation mode.
    Batch,
    /// The same, corrected towards the running averages in training too ([`crate::renorm`]).
    BatchRenorm,
    /// Per position of a sample over the features.
    Layer,
    /// Per position of a sample, without centring.
    Rms,
    /// Per sample over all positions and a group of features.
    Group,
}

impl NormKind {
    /// Whether it takes its statistics over the batch: what one sample gives then depends on the others, and running
    /// averages stand for them in evaluation.
    pub fn is_over_batch(self) -> bool {
        matches!(self, Self::Batch | Self::BatchRenorm)
    }
}

impl fmt::Display for NormKind {
    /// The name that it has in a recipe.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batch => "batch",
            Self::BatchRenorm => "batch-renorm",
            Self::Layer => "layer",
            Self::Rms => "rms",
            Self::Group => "group",
        })
    }
}

/// A normalisation with learnable `gamma` (starts at 1) and, except RMS, `beta` (starts at 0).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Norm {
    /// Which statistics it uses.
    pub norm: NormKind,
    /// Features at one position.
    pub features: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Groups of features (group norm); 0 for the others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub groups: usize,
    /// Batches over which its bounds open (batch renormalisation); 0 for the others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ramp: usize,
    /// Samples that share a mean and a variance (ghost batch norm); 0 where all of a batch do.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ghost: usize,
}

impl Norm {
    /// Without groups and ramp, and over the whole batch.
    pub fn new(norm: NormKind, features: usize, eps: f64) -> Self {
        Self { norm, features, eps, groups: 0, ramp: 0, ghost: 0 }
    }

    /// Parts of a batch of so many samples that have statistics of their own, see [`crate::ghost`].
    pub fn parts(&self, samples: usize) -> usize {
        ghost::parts(samples, self.ghost)
    }

    /// What a capture of so many samples calls groups: of features, or parts of the batch.
    pub fn groups_of(&self, samples: usize) -> usize {
        if self.ghost > 0 { self.parts(samples) } else { self.groups }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// `y = S(x) + scale * F(x)`, where the skip S is the identity unless the shape changes; or, of a Highway network (Srivastava
/// et al. 2015), `y = (1 - T(x)) x + T(x) F(x)` element by element with a gate `T = sigmoid(x W + b)`; or, of a DenseNet (Huang
/// et al. 2017), `y = [x, F(x)]`, the features of x before those of F.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    /// The branch F, from its input to its output.
    pub branch: Vec<Op>,
    /// The skip S where it is not the identity: a projection to the branch's shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortcut: Vec<Op>,
    /// The factor at the start; constant unless `learnable`.
    pub scale: f64,
    /// Whether the factor is trained (SkipInit, ReZero).
    pub learnable: bool,
    /// Features of the branch's output, where each has a trained factor of its own (LayerScale); 0 for one factor for all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub channels: usize,
    /// The linear layer under the gate's sigmoid; empty for a sum. A gate takes the place of shortcut and factor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gate: Vec<Op>,
    /// Whether x and F(x) stand side by side, in the place of a sum with shortcut and factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub concatenates: bool,
}

impl Residual {
    /// With the identity for its skip.
    pub fn new(branch: Vec<Op>, scale: f64, learnable: bool) -> Self {
        Self { branch, shortcut: Vec::new(), scale, learnable, channels: 0, gate: Vec::new(), concatenates: false }
    }

    /// Whether its output is a sum.
    pub fn adds(&self) -> bool {
        self.gate.is_empty() && !self.concatenates
    }

    /// The operations of all the ways that begin at its input: the branch, then shortcut and gate where they are.
    pub fn ways(&self) -> [&[Op]; 3] {
        [&self.branch, &self.shortcut, &self.gate]
    }
}

/// A head in the middle of a network, whose loss is trained beside that of the last one (Lee et al. 2015; Szegedy et al.
/// 2015). It is there in training alone, and no part of the loss that is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuxiliaryHead {
    /// From what passes to outputs as those of the network.
    pub head: Vec<Op>,
    /// Factor on its loss in the sum that is trained; 1 on that of the last head.
    pub share: f64,
}

/// Positions become features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flatten {
    /// Positions of the input.
    pub positions: usize,
}

/// Inverted dropout, of values or of whole samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// Share of the values or samples that is set to 0 in training, in [0, 1).
    pub fraction: f64,
}

/// `y = table[token] + position[step]`; tables `[vocabulary, features]` and `[steps, features]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Different tokens.
    pub vocabulary: usize,
    /// Width of a row.
    pub features: usize,
    /// Steps of a sample.
    pub steps: usize,
    /// Whether each step has a learned row of its own.
    pub positions: bool,
    /// How both tables start.
    pub init: Initializer,
}

/// A recurrent layer, `[steps, inputs]` to `[steps, units]`, from a state of zeros. Weights `[inputs, gates x units]` and
/// `[units, gates x units]`, the gates in PyTorch's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recurrent {
    /// Which recurrence.
    pub cell: Cell,
    /// Features of one step's input.
    pub inputs: usize,
    /// Size of the state.
    pub units: usize,
    /// Steps of a sample.
    pub steps: usize,
    /// How the input weights and both biases start.
    pub init: Initializer,
    /// How the weights from state to state start, gate by gate.
    pub hidden_init: Initializer,
    /// phi of the plain recurrence; gates have theirs.
    pub activation: Activation,
    /// How the bias of the forget gate starts (the update gate of a GRU), where not as `init` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget_bias: Option<ForgetBias>,
    /// Weight of the penalty on a cotangent that changes its length from step to step, of the plain recurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vanishing_penalty: Option<f64>,
    /// Step eps of the antisymmetric recurrence, which the plain one is with it, see [`Cell::Rnn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub antisymmetric_step: Option<f64>,
    /// Whether the plain recurrence is a diagonal one, which has no weights from state to state, see [`Cell::Rnn`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub diagonal: bool,
    /// How the plain recurrence swings where it is one of coupled oscillators, see [`Cell::Rnn`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oscillator: Option<Oscillator>,
    /// Whether the weights from state to state are the orthogonal matrices nearest to what is trained, gate by gate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub orthogonal: bool,
}

/// A damped oscillator y'' = phi(...) - stiffness y - damping y', followed in steps of a fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Oscillator {
    /// dt, time per step.
    pub step: f64,
    /// gamma, the square of its frequency.
    pub stiffness: f64,
    /// epsilon, what it loses of its velocity per unit of time.
    pub damping: f64,
}

impl Default for Oscillator {
    /// What learns most over a hundred steps, see the page `oscillator-recurrence`.
    fn default() -> Self {
        Self { step: 0.1, stiffness: 1.0, damping: 1.0 }
    }
}

/// A recurrence from the state h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// `h' = phi(x W + h U + b)`, or antisymmetric `h' = h + eps phi(x W + h (U - U^T - gamma I) + b)`, a step of Euler's method
    /// along a flow that keeps lengths but for the diffusion gamma (Chang et al. 2019). Or diagonal, unit by unit
    /// `h' = lambda h + sqrt(1 - lambda^2) phi(x W + b)` with `lambda = exp(-exp(nu))`, a state-space layer of real numbers (Gu et
    /// al. 2022; Orvieto et al. 2023): nu, the logarithm of the decay in nepers per step, is the parameter `log_decay`. Or coupled
    /// oscillators, `z' = z + dt (phi(x W + y U + z V + b) - gamma y - eps z)` and `y' = y + dt z'`, of which y goes on (Rusch &
    /// Mishra 2021): `hidden_weight` is U above V, `[2 units, units]`.
    Rnn,
    /// Long short-term memory, Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates input,
    /// forget, candidate, output.
    Lstm,
    /// Gated recurrent unit, Cho et al. 2014, the reset applied after the product as in cuDNN; gates reset, update,
    /// candidate.
    Gru,
}

impl Cell {
    /// Names of the blocks of the weights, in their order.
    pub fn gates(self) -> &'static [&'static str] {
        match self {
            Self::Rnn => &["state"],
            Self::Lstm => &["input", "forget", "candidate", "output"],
            Self::Gru => &["reset", "update", "candidate"],
        }
    }
}

/// How the bias starts that decides how long a gate remembers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ForgetBias {
    /// This number for every unit.
    Number(f64),
    /// A different one for every unit.
    Named(NamedBias),
}

/// A forget bias that depends on the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBias {
    /// ln U(1, steps - 1), and the negative of it for the LSTM's input gate (Tallec & Ollivier 2018).
    Chrono,
}

/// Multi-head attention without weights: `[steps, 3 x features]` (queries, keys, values) to `[steps, features]`, logits
/// divided by the root of a head's width (Vaswani et al. 2017).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Features of all heads together.
    pub features: usize,
    /// Heads.
    pub heads: usize,
    /// Steps of a sample.
    pub steps: usize,
    /// Whether a step sees only itself and those before.
    pub causal: bool,
    /// Whether queries and keys are turned by angles that grow with the step (Su et al. 2021).
    pub rotary: bool,
    /// The bound c of logits that go through c tanh(z / c) before the softmax (Gemma 2); they do not where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logit_cap: Option<f64>,
}

impl Attention {
    /// Features of one head.
    pub fn head_width(&self) -> usize {
        self.features / self.heads.max(1)
    }

    /// Cosine and sine of the angle by which rotary positions turn each pair of features of a head, step by step: step
    /// 10000^(-pair / pairs), a pair being a feature of the head's first half and its fellow of the second.
    pub fn turns(&self) -> Vec<[f64; 2]> {
        let pairs = self.head_width() / 2;
        let angle = |step: usize, pair: usize| step as f64 * 10_000_f64.powf(-(pair as f64) / pairs as f64);
        let both = |step: usize, pair: usize| [angle(step, pair).cos(), angle(step, pair).sin()];
        (0..self.steps).flat_map(|step| (0..pairs).map(move |pair| both(step, pair))).collect()
    }
}

/// RMS norm of each head's query and key, with a learnable gamma for the features of a head that all heads share (starts
/// at 1); values pass (Dehghani et al. 2023, ViT-22B). Rows of `3 x features`: queries, keys, values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QkNorm {
    /// Features of all heads together.
    pub features: usize,
    /// Heads.
    pub heads: usize,
    /// Added to the mean square.
    pub eps: f64,
}

impl QkNorm {
    /// Features of one head.
    pub fn head_width(&self) -> usize {
        self.features / self.heads.max(1)
    }
}

/// An operation that is measured as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// What the framework calls it: `max_pool2d`, `LSTM`.
    pub operation: String,
    /// Whether it has weights, so that people would call it a layer.
    pub weighted: bool,
    /// Whether f(c x) = c f(x) for c > 0 on the values of the batch, as a pooling has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub homogeneous: bool,
}

/// What the output is compared with; always the mean over the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Softmax cross-entropy on class indices; the outputs are logits.
    CrossEntropy,
    /// Mean over batch and outputs of the squared error; classes are compared as rows of zeros with a one.
    MeanSquaredError,
    /// Mean over batch and outputs of the sigmoid cross-entropy of each output; the outputs are logits.
    BinaryCrossEntropy,
    /// Any other scalar function of the outputs.
    Other,
}

impl Network {
    /// Every operation in forward order, branches, projections, gates and auxiliary heads after the operation that holds them.
    pub fn walk(&self) -> Vec<&Op> {
        let mut found = Vec::new();
        walk_into(&self.ops, true, &mut found);
        found
    }

    /// The same without auxiliary heads: what the output is computed from.
    pub fn body(&self) -> Vec<&Op> {
        let mut found = Vec::new();
        walk_into(&self.ops, false, &mut found);
        found.retain(|op| !matches!(op.kind, OpKind::AuxiliaryHead(_)));
        found
    }

    /// The auxiliary heads with their names, in forward order.
    pub fn auxiliary_heads(&self) -> impl Iterator<Item = (&Op, &AuxiliaryHead)> {
        self.walk().into_iter().filter_map(|op| match &op.kind {
            OpKind::AuxiliaryHead(auxiliary) => Some((op, auxiliary)),
            _ => None,
        })
    }

    /// The linear operations in forward order that the signal goes through: convolutions among them, those of branches
    /// included, those of auxiliary heads and under gates not.
    pub fn linears(&self) -> impl Iterator<Item = (&Op, &Linear)> {
        let body = self.body();
        let under_gates: HashSet<&str> = body
            .iter()
            .filter_map(|op| match &op.kind {
                OpKind::Residual(residual) => Some(residual.gate.iter().map(|op| op.name.as_str())),
                _ => None,
            })
            .flatten()
            .collect();
        body.into_iter().filter_map(move |op| match &op.kind {
            OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. }) => {
                (!under_gates.contains(op.name.as_str())).then_some((op, linear))
            }
            _ => None,
        })
    }

    /// The weights that multiply what other layers gave, by parameter, with their shape `[fan_in, fan_out]`: neither tables
    /// nor what reads the data, whose fan-in is no width. Branches included, in forward order.
    pub fn weights_between_layers(&self) -> Vec<(String, [usize; 2])> {
        let mut found = Vec::new();
        between_layers(&self.ops, true, &mut found);
        found
    }

    /// Those of them that are no head's.
    pub fn hidden_weights(&self) -> Vec<(String, [usize; 2])> {
        let heads: Vec<String> = self.heads().into_iter().map(|head| format!("{}.weight", head.name)).collect();
        let mut found = self.weights_between_layers();
        found.retain(|(parameter, _)| !heads.contains(parameter));
        found
    }

    /// Rows of outputs that one sample gets: one, or one for each position that is left.
    pub fn answers(&self) -> usize {
        self.ops.iter().fold(self.input.positions(), |positions, op| op.kind.positions(positions))
    }

    /// Products of numbers that one sample costs on the way forward, those with weights and of attention.
    pub fn products(&self) -> f64 {
        fn of(ops: &[Op], mut positions: usize) -> f64 {
            let mut sum = 0.0;
            for op in ops {
                let before = positions;
                positions = op.kind.positions(positions);
                sum += match &op.kind {
                    OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. }) => {
                        (linear.fan_in * linear.fan_out) as f64 * positions as f64
                    }
                    OpKind::Recurrent(Recurrent { inputs, units, steps, diagonal: true, .. }) => {
                        ((inputs + 2) * units * steps) as f64
                    }
                    OpKind::Recurrent(Recurrent { inputs, units, steps, oscillator: Some(_), .. }) => {
                        ((inputs + 2 * units) * units * steps) as f64
                    }
                    OpKind::Recurrent(Recurrent { cell, inputs, units, steps, .. }) => {
                        ((inputs + units) * cell.gates().len() * units * steps) as f64
                    }
                    OpKind::Attention(attention) => {
                        2.0 * (attention.steps * attention.steps * attention.features) as f64
                    }
                    OpKind::Residual(residual) => residual.ways().into_iter().map(|way| of(way, before)).sum(),
                    OpKind::AuxiliaryHead(auxiliary) => of(&auxiliary.head, before),
                    _ => 0.0,
                };
            }
            sum
        }
        of(&self.ops, self.input.positions())
    }

    /// The operation of that name.
    pub fn op(&self, name: &str) -> Option<&Op> {
        self.walk().into_iter().find(|op| op.name == name)
    }

    /// Index in `ops` of the head: the last linear operation (or convolution) outside of branches.
    pub fn head(&self) -> Option<usize> {
        last_linear(&self.ops)
    }

    /// The last linear operation of each auxiliary head, in forward order, and the head.
    pub fn heads(&self) -> Vec<&Op> {
        let auxiliary = self.auxiliary_heads().map(|(_, auxiliary)| auxiliary.head.as_slice());
        auxiliary.chain([self.ops.as_slice()]).filter_map(|ops| ops.get(last_linear(ops)?)).collect()
    }
}

/// Index of the last linear operation or convolution outside of branches.
fn last_linear(ops: &[Op]) -> Option<usize> {
    ops.iter().rposition(|op| matches!(op.kind, OpKind::Linear(_) | OpKind::Convolution(_)))
}

/// Of these operations, of which the first may read the data; whether what follows them does so still.
fn between_layers(ops: &[Op], mut reads_data: bool, found: &mut Vec<(String, [usize; 2])>) -> bool {
    for op in ops {
        let weights = match &op.kind {
            OpKind::Embedding(_) => Vec::new(),
            OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. }) => {
                // The table that a tied layer multiplies by is an embedding's.
                if linear.tied.is_none() { vec![("weight", [linear.fan_in, linear.fan_out])] } else { Vec::new() }
            }
            OpKind::Recurrent(Recurrent { inputs, units, diagonal: true, .. }) => vec![("weight", [*inputs, *units])],
            OpKind::Recurrent(Recurrent { inputs, units, oscillator: Some(_), .. }) => {
                vec![("weight", [*inputs, *units]), ("hidden_weight", [2 * units, *units])]
            }
            OpKind::Recurrent(Recurrent { cell, inputs, units, .. }) => {
                let gates = cell.gates().len() * units;
                vec![("weight", [*inputs, gates]), ("hidden_weight", [*units, gates])]
            }
            OpKind::Residual(residual) => {
                // All ways begin where the block does.
                let still = residual.ways().map(|way| between_layers(way, reads_data, found));
                reads_data = still.into_iter().all(|still| still);
                continue;
            }
            OpKind::AuxiliaryHead(auxiliary) => {
                between_layers(&auxiliary.head, reads_data, found);
                continue;
            }
            _ => continue,
        };
        for (name, shape) in weights {
            if !(reads_data && name == "weight") {
                found.push((format!("{}.{name}", op.name), shape));
            }
        }
        reads_data = false;
    }
    reads_data
}

fn walk_into<'a>(ops: &'a [Op], with_auxiliary: bool, found: &mut Vec<&'a Op>) {
    for op in ops {
        found.push(op);
        match &op.kind {
            OpKind::Residual(residual) => {
                residual.ways().into_iter().for_each(|way| walk_into(way, with_auxiliary, found));
            }
            OpKind::AuxiliaryHead(auxiliary) if with_auxiliary => walk_into(&auxiliary.head, true, found),
            _ => {}
        }
    }
}
