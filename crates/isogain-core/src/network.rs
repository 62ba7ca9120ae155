//! A network as plain data: an ordered list of operations, residual branches nested inside.
//!
//! Recipes, Burn models and traced PyTorch models all become one of these; theory, rules and remedies read only this
//! and the record. Nothing here assumes a fully connected network: an operation states its own fans and shape.

use serde::{Deserialize, Serialize};

use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

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

/// What an operation does. Parameters are named `<op>.weight`, `<op>.bias`, `<op>.gamma`, `<op>.beta`, `<op>.scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OpKind {
    /// `y = x W + b`.
    Linear(Linear),
    /// The same at every position of a grid: `fan_in` counts the inputs of one unit, channels times taps; `fan_out` the
    /// channels that come out.
    Convolution(Linear),
    /// `y = phi(x)`, element by element.
    Activation {
        /// The function phi.
        activation: Activation,
    },
    /// `y_i = exp(x_i) / sum_j exp(x_j)` over the features of a sample.
    Softmax,
    /// Batch, layer or RMS normalisation.
    Norm(Norm),
    /// `y = x + scale * F(x)`.
    Residual(Residual),
    /// What none of the others describes, taken whole: pooling, reshaping, attention, a recurrent cell.
    Other(Other),
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
}

/// Which statistics a normalisation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// Per feature over the batch; running averages in evaluation mode.
    Batch,
    /// Per sample over the features.
    Layer,
    /// Per sample, without centring.
    Rms,
}

/// A normalisation with learnable `gamma` (starts at 1) and, except RMS, `beta` (starts at 0).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Norm {
    /// Which statistics it uses.
    pub norm: NormKind,
    /// Features of one sample.
    pub features: usize,
    /// Added to the variance.
    pub eps: f64,
}

/// `y = x + scale * F(x)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Residual {
    /// The branch F, from its input to its output; the shape of the sample does not change.
    pub branch: Vec<Op>,
    /// The factor at the start; constant unless `learnable`.
    pub scale: f64,
    /// Whether the factor is trained (SkipInit, ReZero).
    pub learnable: bool,
}

/// An operation that is measured as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// What the framework calls it: `max_pool2d`, `LSTM`.
    pub operation: String,
    /// Whether it has weights, so that people would call it a layer.
    pub weighted: bool,
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
    /// Every operation in forward order, branches after the residual operation that holds them.
    pub fn walk(&self) -> Vec<&Op> {
        let mut found = Vec::new();
        walk_into(&self.ops, &mut found);
        found
    }

    /// The linear operations in forward order, convolutions among them, those of branches included.
    pub fn linears(&self) -> impl Iterator<Item = (&Op, &Linear)> {
        self.walk().into_iter().filter_map(|op| match &op.kind {
            OpKind::Linear(linear) | OpKind::Convolution(linear) => Some((op, linear)),
            _ => None,
        })
    }

    /// The operation of that name.
    pub fn op(&self, name: &str) -> Option<&Op> {
        self.walk().into_iter().find(|op| op.name == name)
    }

    /// Index in `ops` of the head: the last linear operation (or convolution) outside of branches.
    pub fn head(&self) -> Option<usize> {
        self.ops.iter().rposition(|op| matches!(op.kind, OpKind::Linear(_) | OpKind::Convolution(_)))
    }
}

fn walk_into<'a>(ops: &'a [Op], found: &mut Vec<&'a Op>) {
    for op in ops {
        found.push(op);
        if let OpKind::Residual(residual) = &op.kind {
            walk_into(&residual.branch, found);
        }
    }
}
