//! What a framework tells of a network and its training, and the plain data that rules read.

use serde::{Deserialize, Serialize};

use super::losses::Losses;
use crate::network::{Convolution, Linear, Loss, Network, Norm, NormKind, Op, OpKind, Other, Shape};
use crate::recipe::{Optimizer, OptimizerName, Precision, Recipe};
use crate::record::DataSummary;
use crate::statistics::Moments;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// Steps that a run is taken to have where nobody said: rules that ask how far a weight can travel then err on the side
/// of silence.
const ASSUMED_STEPS: usize = 10_000;
/// Part of the loss of knowing nothing below which a first loss belongs to a network that was trained before.
const TRAINED: f64 = 0.7;

/// A network and its training as a framework sees them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Description {
    /// Operations in the order in which they ran first.
    pub operations: Vec<Operation>,
    /// Samples of one batch.
    pub batch: usize,
    /// Batches of one step, where gradients accumulate.
    pub passes: usize,
    /// Name of the data or of the program, for the record.
    pub source: String,
    /// The optimizer; `None` where it is not known.
    pub optimizer: Option<OptimizerSeen>,
    /// Updates planned; `None` where nobody said.
    pub steps: Option<u64>,
    /// Loss of a network that knows nothing, where the loss's kind tells it.
    pub baseline: Option<f64>,
    /// Which loss it is.
    pub loss: LossKind,
    /// The values that enter the network, where they are numbers.
    pub input: Option<Moments>,
    /// Targets of a regression.
    pub target: Option<Moments>,
    /// Whether parameters have double precision.
    pub double_precision: bool,
    /// Seed, if the user told it.
    pub seed: u64,
}

/// One operation: a module of the framework at one of its calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// The module's name; from its second call on with `#1`, `#2` ...
    pub name: String,
    /// What it does.
    pub kind: OperationKind,
    /// Whether its input is the output of the operation before it, in the same memory.
    #[serde(default)]
    pub reads_previous: bool,
}

/// What an operation does, as far as rules ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum OperationKind {
    /// A matrix product.
    Linear {
        /// Inputs of one unit.
        fan_in: usize,
        /// Units.
        fan_out: usize,
        /// Statistics of its weight before training.
        #[serde(default)]
        weight: Moments,
    },
    /// A convolution.
    Convolution {
        /// Inputs of one unit, those of all positions of a kernel.
        fan_in: usize,
        /// Channels that come out.
        fan_out: usize,
        /// Statistics of its weight before training.
        #[serde(default)]
        weight: Moments,
    },
    /// An element-wise function.
    Activation {
        /// Its name in a recipe.
        activation: String,
        /// Its parameter (a slope), if it has one.
        #[serde(default)]
        parameter: Option<f64>,
    },
    /// A normalisation.
    Norm {
        /// Which statistics it uses.
        norm: NormKind,
        /// Features.
        features: usize,
        /// Added to the variance.
        eps: f64,
    },
    /// Anything else.
    Other(Other),
}

/// Which loss is minimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Cross-entropy on logits.
    CrossEntropy,
    /// Mean squared error.
    MeanSquaredError,
    /// Some number, handed over.
    Other,
    /// Nobody tells its value.
    #[default]
    Unknown,
}

/// An optimizer as far as rules ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSeen {
    /// Its family.
    pub name: OptimizerName,
    /// Largest learning rate of its groups.
    pub learning_rate: f64,
    /// Momentum of SGD.
    #[serde(default)]
    pub momentum: f64,
    /// Adam's eps.
    #[serde(default)]
    pub eps: f64,
}

impl Description {
    /// Whether every operation reads the output of the one before it.
    pub fn is_chain(&self) -> bool {
        self.operations.len() > 1
            && self.operations.iter().skip(1).all(|operation| operation.reads_previous)
            && !self.operations.iter().any(|operation| matches!(operation.kind, OperationKind::Other(_)))
    }

    /// Whether a value of the loss will be told.
    pub(super) fn loss_known(&self) -> bool {
        self.loss != LossKind::Unknown
    }

    /// Whether the first loss is that of a network that knows nothing; not where nothing tells.
    pub(super) fn starts_untrained(&self, losses: &Losses) -> bool {
        losses.first_over_baseline().is_some_and(|ratio| ratio > TRAINED)
    }

    /// The operations that rules know, in order of execution. A matrix that is all zero breaks no symmetry where what
    /// feeds it is unknown, and has no size to compare a step with: it is left out.
    pub(super) fn network(&self) -> Network {
        let ops: Vec<Op> = self.operations.iter().enumerate().filter_map(|(at, _)| self.op(at)).collect();
        let features = |op: Option<&Op>, output: bool| match op.map(|op| &op.kind) {
            Some(OpKind::Linear(linear)) => {
                if output {
                    linear.fan_out
                } else {
                    linear.fan_in
                }
            }
            _ => 0,
        };
        let is_linear = |op: &&Op| matches!(op.kind, OpKind::Linear(_) | OpKind::Convolution(_));
        let linears: Vec<&Op> = ops.iter().filter(is_linear).collect();
        let (inputs, outputs) = (features(linears.first().copied(), false), features(linears.last().copied(), true));
        let loss = match self.loss {
            LossKind::CrossEntropy => Loss::CrossEntropy,
            LossKind::MeanSquaredError => Loss::MeanSquaredError,
            LossKind::Other | LossKind::Unknown => Loss::Other,
        };
        Network { input: Shape::vector(inputs), outputs, ops, loss }
    }

    fn op(&self, at: usize) -> Option<Op> {
        let Operation { name, kind, .. } = &self.operations[at];
        let kind = match kind {
            OperationKind::Linear { fan_in, fan_out, weight } => {
                OpKind::Linear(self.linear(at, *fan_in, *fan_out, weight)?)
            }
            OperationKind::Convolution { fan_in, fan_out, weight } => {
                OpKind::Convolution(Convolution { linear: self.linear(at, *fan_in, *fan_out, weight)?, window: None })
            }
            OperationKind::Activation { activation, parameter } => {
                OpKind::Activation { activation: named(activation, *parameter)? }
            }
            OperationKind::Norm { norm, features, eps, .. } => OpKind::Norm(Norm::new(*norm, *features, *eps)),
            OperationKind::Other(other) => OpKind::Other(other.clone()),
        };
        Some(Op { name: name.clone(), kind })
    }

    /// A weighted operation, unless its weights are all zero.
    fn linear(&self, at: usize, fan_in: usize, fan_out: usize, weight: &Moments) -> Option<Linear> {
        let activation = self.activation_after(at);
        let init = initializer(weight, fan_in, fan_out, activation);
        (weight.count == 0 || weight.abs_max > 0.0).then_some(Linear::new(fan_in, fan_out, init, activation))
    }

    fn activation_after(&self, at: usize) -> Activation {
        let next = self.operations[at + 1..].iter().find_map(|operation| match &operation.kind {
            OperationKind::Activation { activation, parameter } => Some(named(activation, *parameter)),
            OperationKind::Linear { .. } | OperationKind::Convolution { .. } => Some(None),
            _ => None,
        });
        next.flatten().unwrap_or_else(Activation::linear)
    }

    pub(super) fn recipe(&self) -> Recipe {
        let mut recipe = Recipe::default();
        if let Some(seen) = &self.optimizer {
            recipe.optimizer = Optimizer {
                name: seen.name,
                learning_rate: seen.learning_rate,
                momentum: seen.momentum,
                eps: seen.eps,
                ..Optimizer::default()
            };
        }
        recipe.run.steps = self.steps.map_or(ASSUMED_STEPS, |steps| steps as usize);
        recipe.run.precision = if self.double_precision { Precision::F64 } else { Precision::F32 };
        recipe.run.seed = self.seed;
        recipe.data.source.clone_from(&self.source);
        recipe.data.batch = self.batch.max(1);
        recipe
    }

    pub(super) fn data(&self) -> DataSummary {
        let head = self.operations.iter().rev().find_map(|operation| match operation.kind {
            OperationKind::Linear { fan_out, .. } | OperationKind::Convolution { fan_out, .. } => Some(fan_out),
            _ => None,
        });
        // What enters another kind of operation has a scale of its own.
        let reads_numbers = matches!(
            self.operations.first().map(|operation| &operation.kind),
            Some(OperationKind::Linear { .. } | OperationKind::Convolution { .. })
        );
        DataSummary {
            source: self.source.clone(),
            train_samples: 0,
            test_samples: 0,
            // Inputs of a first operation that is not linear have a scale of their own.
            input: self.input.filter(|_| reads_numbers).unwrap_or_default(),
            feature_rms_ratio: 1.0,
            target: self.target,
            classes: head.filter(|_| self.loss == LossKind::CrossEntropy),
            baseline_loss: self.baseline.unwrap_or(f64::NAN),
        }
    }
}

fn named(name: &str, parameter: Option<f64>) -> Option<Activation> {
    let activation = Activation::named(name).ok()?;
    match (activation.parameter(), parameter) {
        (Some((key, _)), Some(value)) => activation.with_parameter(key, value).ok(),
        _ => Some(activation),
    }
}

/// The initialiser that a weight's variance tells: PyTorch's default where it fits, else a normal one of that variance.
fn initializer(weight: &Moments, fan_in: usize, fan_out: usize, activation: Activation) -> Initializer {
    let default = Initializer::PYTORCH_DEFAULT;
    let Some(variance) = weight.mean_square() else { return default };
    let expected = default.weight_variance(fan_in, fan_out, activation);
    // Three standard errors of the variance of n uniform values, sqrt(0.8 / n).
    let tolerated = 3.0 * (0.8 / weight.count as f64).sqrt();
    if (variance / expected - 1.0).abs() <= tolerated {
        return default;
    }
    let normal = Initializer::named("normal").ok();
    normal.and_then(|normal| normal.with_parameter("weight_variance", fan_in as f64 * variance).ok()).unwrap_or(default)
}
