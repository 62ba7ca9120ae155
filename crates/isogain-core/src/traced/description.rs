//! What an engine hands over: the operations of one pass as JSON, their buffers by number.

use serde::Deserialize;

use crate::conservation::Units;
use crate::network::{Attention, Cell, ForgetBias, Loss, NormKind, Pool, Window};
use crate::recipe::{Optimizer, Precision};
use crate::record::{AttentionRecord, GateRecord, Sharpness};
use crate::summary::Remark;
use crate::theory::activations::Activation;

/// Index into the buffers that come with a trace.
pub type BufferId = usize;

/// One forward and backward pass of a model, in the order in which the operations ran.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traced {
    /// What the model is called: its class.
    pub model: String,
    /// Samples in the batch: what a mean loss was divided by.
    pub batch: usize,
    /// Value of the loss; `None` when it is not finite.
    pub loss: Option<f64>,
    /// Which loss it was.
    pub loss_kind: Loss,
    /// The chain of operations.
    pub ops: Vec<TracedOp>,
    /// Every parameter.
    pub parameters: Vec<TracedParameter>,
    /// What the data of this batch looks like.
    pub data: TracedData,
    /// The optimizer in a recipe's words; `None` when nobody said.
    pub optimizer: Option<Optimizer>,
    /// Planned optimizer updates; `None` when nobody said.
    pub steps: Option<usize>,
    /// Seed, for the record.
    pub seed: u64,
    /// Floating-point type of the parameters.
    pub precision: Precision,
    /// What became of the loss while a copy of the model took some steps of its optimizer on the batch; `None` where nobody tried.
    #[serde(default)]
    pub rehearsal: Option<TracedRehearsal>,
    /// Whether to tell what single factors of the gradient's way back would change, how long its paths are, and how gradients
    /// of other directions fare, which takes more ways back.
    #[serde(default)]
    pub counterfactual: bool,
    /// What was seen besides while the trace was made.
    #[serde(default)]
    pub remarks: Vec<Remark>,
    /// What a pass over neighbouring inputs gave; `None` where nobody made one.
    #[serde(default)]
    pub arc: Option<TracedArc>,
    /// Relative rounding error of the coarsest numbers of the pass.
    #[serde(default)]
    pub unit_roundoff: f64,
}

/// A pass over points that lie close together on the way from one sample to another, all with the target of the first
/// ([`crate::flow::shattering::Shattering`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedArc {
    /// Points.
    pub points: usize,
    /// dL/dx, point by point.
    pub gradient: BufferId,
    /// What the head reads, point by point.
    pub activation: BufferId,
}

/// Some steps on one batch again and again, on which a usable learning rate only goes down.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedRehearsal {
    /// The loss before.
    pub first: f64,
    /// Its largest rise above its running minimum; `None` where it stopped being finite.
    pub rise: Option<f64>,
    /// The loss after them; `None` where it stopped being finite.
    #[serde(default)]
    pub last: Option<f64>,
}

impl TracedRehearsal {
    /// In the rules' terms; without the curvature, which takes derivatives that not every model has. `None` of a loss that may
    /// fall below zero, of which no part says how much it is.
    pub(super) fn sharpness(self) -> Option<Sharpness> {
        (self.first > 0.0).then_some(Sharpness {
            gauss_newton: f64::NAN,
            rehearsal_rise: self.rise,
            rehearsal_first: self.first,
            rehearsal_last: self.last,
            seeds: 1,
        })
    }
}

/// One operation with its buffers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TracedOp {
    /// Unique in the model; `<name>.weight` is its weight.
    pub name: String,
    /// Rows of the output: samples times positions.
    pub rows: usize,
    /// What went in.
    pub input: BufferId,
    /// What came out.
    pub output: BufferId,
    /// dL/d(input).
    pub cotangent_in: BufferId,
    /// dL/d(output).
    pub cotangent_out: BufferId,
    /// What it does.
    #[serde(flatten)]
    pub kind: TracedKind,
}

/// What an operation does, with what its split needs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TracedKind {
    /// `y = x W + b`.
    Linear {
        /// W.
        weight: BufferId,
        /// dL/dW, as W; left out for a frozen weight.
        #[serde(default)]
        weight_gradient: Option<BufferId>,
        /// Which way round both are.
        units: Units,
        /// The operation whose weight it is too: the embedding that a head shares its table with.
        #[serde(default)]
        tied: Option<String>,
        /// What exact laws about its gradient need; left out where other calls have a part in that.
        #[serde(default)]
        own: Option<TracedOwn>,
    },
    /// The same at every position of a grid.
    Convolution {
        /// W, `[channels out, channels in, rows and columns of the patch]`.
        weight: BufferId,
        /// dL/dW, as W; left out for a frozen weight.
        #[serde(default)]
        weight_gradient: Option<BufferId>,
        /// Which patches; left out where a [`Window`] does not say it all.
        #[serde(default)]
        window: Option<Window>,
        /// What exact laws about its gradient need; left out where other calls have a part in that.
        #[serde(default)]
        own: Option<TracedOwn>,
    },
    /// `y = phi(x)`.
    Activation {
        /// The function.
        activation: Activation,
    },
    /// A normalisation with the statistics of this batch.
    Norm {
        /// Which statistics.
        norm: NormKind,
        /// The learnable factor, `[features]`.
        gamma: BufferId,
        /// Added to the variance.
        eps: f64,
        /// Groups of features of each sample (group norm), or parts of the batch (batch norm; 0 as 1); 0 for the others.
        #[serde(default)]
        groups: usize,
        /// Samples that the rows belong to, in order; read for group norm alone.
        #[serde(default)]
        samples: usize,
    },
    /// `y = S(x) + F(x)`.
    Residual {
        /// F.
        branch: Vec<TracedOp>,
        /// What comes back through F: `dL/dx - dL/dy` where S is the identity.
        branch_cotangent_in: BufferId,
        /// S; left out for the identity.
        #[serde(default)]
        shortcut: Vec<TracedOp>,
    },
    /// Softmax attention, queries, keys and values side by side in the input's rows.
    Attention {
        /// Features of queries, keys and values in a row.
        features: [usize; 3],
        /// Its shape, for rules.
        #[serde(flatten)]
        attention: AttentionShape,
        /// Whether queries, keys and values only are scaled and turned before they meet, and are thirds of the input of it.
        #[serde(default)]
        homogeneous: bool,
        /// How it spreads.
        detail: Option<AttentionRecord>,
        /// The same in full, input and output with all heads of a row side by side; left out where an [`Attention`] does not say it
        /// all.
        #[serde(default)]
        plain: Option<Attention>,
        /// What dropout multiplies each weight with, `[samples, heads, steps, steps]`; left out without.
        #[serde(default)]
        dropped: Option<BufferId>,
    },
    /// A recurrent layer, over all steps.
    Recurrent {
        /// Which recurrence.
        cell: Cell,
        /// phi of the plain recurrence; tanh for the others.
        activation: Activation,
        /// Features of one step's input.
        inputs: usize,
        /// Size of the state.
        units: usize,
        /// dL/d(state) after each step.
        states: States,
        /// The ways from each state to the one before, with their parts of its cotangent.
        paths: Vec<TracedPath>,
        /// How open its gates are.
        gates: Vec<GateRecord>,
        /// Bias of the gate that keeps the state.
        #[serde(default)]
        forget_bias: Option<ForgetBias>,
        /// Its weights, one direction or forward and backward; none where the buffers are not all that it computes with.
        #[serde(default)]
        directions: Vec<TracedDirection>,
    },
    /// Anything else, whole.
    Other {
        /// What the framework calls it.
        operation: String,
        /// Whether it has weights.
        weighted: bool,
        /// Whether f(c x) = c f(x) for c > 0 on the values of the batch.
        #[serde(default)]
        homogeneous: bool,
        /// Whether it multiplies every value with a number of its own (dropout).
        #[serde(default)]
        masks: bool,
        /// What it does, if it pools positions.
        #[serde(default)]
        pool: Option<Pool>,
        /// The factors, if it is a product of two ways, value by value.
        #[serde(default)]
        product: Option<[Vec<TracedOp>; 2]>,
    },
}

/// What else a weight's gradient is held against exact laws with, where it comes from one operation alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedOwn {
    /// What the operation adds.
    pub bias: Option<TracedBias>,
}

/// What an operation adds, and its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedBias {
    /// Its values.
    pub values: BufferId,
    /// Its gradient; left out when it has none.
    #[serde(default)]
    pub gradient: Option<BufferId>,
}

/// The weights of one direction of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedDirection {
    /// `[gates x units, inputs]`.
    pub weight: BufferId,
    /// `[gates x units, units]`.
    pub hidden_weight: BufferId,
    /// What is added to either product, `[gates x units]`.
    #[serde(default)]
    pub biases: Option<[BufferId; 2]>,
    /// The states before the first step, `[samples, states x units]`; left out for zeros.
    #[serde(default)]
    pub start: Option<BufferId>,
}

/// The cotangents of a recurrent operation's state, one step after the other in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct States {
    /// The values.
    pub buffer: BufferId,
    /// How many steps they are of.
    pub steps: usize,
}

/// What rules read of an attention operation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AttentionShape {
    /// Heads.
    pub heads: usize,
    /// Positions of a sample.
    pub positions: usize,
    /// Whether a position sees only itself and those before.
    pub causal: bool,
}

/// One of the ways back through time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedPath {
    /// The gate, `cell` or `carry`.
    pub name: String,
    /// Its part of dL/d(state before), for each step.
    pub states: States,
}

/// A parameter and its gradient.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedParameter {
    /// `<op>.weight`, `<op>.bias`, `<op>.gamma` ...
    pub name: String,
    /// Its values.
    pub weight: BufferId,
    /// Its gradient; left out when it has none.
    #[serde(default)]
    pub gradient: Option<BufferId>,
}

/// What the data of one batch looks like.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedData {
    /// The inputs, where they are real numbers.
    pub input: Option<BufferId>,
    /// Largest ratio between the RMS of two input features, where inputs are rows of features.
    pub feature_rms_ratio: Option<f64>,
    /// The targets, where they are real numbers.
    pub target: Option<BufferId>,
    /// Classes, where targets are classes.
    pub classes: Option<usize>,
    /// Loss of a model that learnt nothing, where it can be told.
    pub baseline_loss: Option<f64>,
}
