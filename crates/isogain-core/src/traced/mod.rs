//! A model of another framework, as it ran on one batch: an engine lists the operations and hands over the buffers, and
//! everything after that is the same as for a recipe's network.
//!
//! The list is JSON ([`Traced`]); buffers are numbers into a list of [`Values`]. A model has no recipe, and rules and
//! remedies read one: [`Subject::recipe`] says in a recipe's words what the model amounts to.

mod changes;
mod laws;
mod recipe;

use std::collections::HashMap;

use serde::Deserialize;
use thiserror::Error;

use crate::conservation::Units;
use crate::flow::Values;
use crate::flow::capture::{Capture, CaptureError, OpCapture, OpCaptureKind, PathCapture};
use crate::flow::counterfactual::counterfactual;
use crate::flow::jacobian::jacobian;
use crate::flow::path_lengths::path_lengths;
use crate::flow::shattering::Shattering;
use crate::forecast;
use crate::network::{
    Attention, Cell, Convolution, ForgetBias, Linear, Loss, Network, Norm, NormKind, Op, OpKind, Other, Recurrent,
    Residual, Shape,
};
use crate::recipe::{Optimizer, Precision, Recipe};
use crate::record::{AttentionRecord, DataSummary, Detail, GateRecord, ParameterRecord, Sharpness, Snapshot};
use crate::remedies::Prescription;
use crate::remedies::prescriptions::prescriptions;
use crate::rules::differential::differential;
use crate::rules::{Case, Finding, diagnose};
use crate::statistics::Moments;
use crate::summary::{CheckReport, Remark};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;
use crate::theory::limits::Limits;

pub use changes::{Changes, Settings, Skip};

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
/// ([`Shattering`]).
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
    fn sharpness(self) -> Option<Sharpness> {
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
        /// W, in any order.
        weight: BufferId,
        /// dL/dW; left out for a frozen weight.
        #[serde(default)]
        weight_gradient: Option<BufferId>,
        /// The operation whose weight it is too: the embedding that a head shares its table with.
        #[serde(default)]
        tied: Option<String>,
        /// What exact laws about its gradient need; left out where other calls have a part in that.
        #[serde(default)]
        own: Option<TracedOwn>,
    },
    /// The same at every position of a grid.
    Convolution {
        /// W, in any order.
        weight: BufferId,
        /// dL/dW; left out for a frozen weight.
        #[serde(default)]
        weight_gradient: Option<BufferId>,
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
        /// Groups of features of each sample (group norm); 0 for the others.
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
    },
}

/// What else a weight's gradient is held against exact laws with, where it comes from one operation alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracedOwn {
    /// What the operation adds.
    pub bias: Option<TracedBias>,
    /// Where in the weight its units are.
    pub units: Units,
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

/// Why a trace cannot be used.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The description is not what it should be.
    #[error("the trace cannot be read: {0}")]
    Description(#[from] serde_json::Error),
    /// A number of a buffer that does not exist.
    #[error("{op}: buffer {buffer} is not among the {count} that came with the trace")]
    Buffer {
        /// The operation or parameter.
        op: String,
        /// The number.
        buffer: BufferId,
        /// Buffers there are.
        count: usize,
    },
    /// Buffers that do not fit together.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// A traced model, ready for rules and remedies.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The model as plain data.
    pub network: Network,
    /// What it amounts to in a recipe's words.
    pub recipe: Recipe,
    /// What the batch looks like.
    pub data: DataSummary,
    /// The batch, with full tensors at hand.
    pub start: Snapshot,
    /// What theory expects.
    pub limits: Limits,
    /// What was seen besides.
    pub remarks: Vec<Remark>,
}

impl Subject {
    /// Reads a trace.
    ///
    /// # Errors
    /// A description that is not one, or buffers that do not fit it.
    pub fn new(description: &str, buffers: &[Values]) -> Result<Self, TraceError> {
        let traced: Traced = serde_json::from_str(description)?;
        let buffers = Buffers(buffers);
        let capture = Capture::new(traced.batch, buffers.captures(&traced.ops)?, traced.loss.unwrap_or(f64::NAN))?;
        let parameters = buffers.parameters(&traced.parameters)?;
        let mut start = Snapshot::of(&capture, parameters, 0);
        if traced.counterfactual {
            start.flow.counterfactual = Some(counterfactual(&capture));
            start.flow.path_lengths = path_lengths(&capture);
            start.flow.jacobian = Some(jacobian(&capture));
        }
        start.shattering = traced.arc.map(|arc| buffers.shattering(arc)).transpose()?.flatten();
        details(&traced.ops, &mut start);
        let data = buffers.data(&traced)?;
        // Of an unknown loss nobody knows what much is.
        let rehearsal = traced.rehearsal.filter(|_| traced.loss_kind != Loss::Other);
        start.sharpness = rehearsal.and_then(TracedRehearsal::sharpness);
        let initializer = recipe::initializer(&capture);
        let activation = recipe::activation(&capture);
        // The first of a name. A search through the list for each operation would grow with the square of the depth.
        let captured = capture.walk().into_iter().rev().map(|op| (op.name.as_str(), op)).collect();
        let network = Network {
            input: Shape::vector(capture.ops().first().map_or(0, |op| op.input.len() / traced.batch)),
            outputs: capture.ops().last().map_or(0, |op| op.output.len() / op.rows.max(1)),
            ops: with_output(ops(&traced.ops, &captured, initializer, activation)),
            loss: traced.loss_kind,
        };
        start.broken_laws = laws::broken_laws(&traced, &network, &capture, buffers)?;
        let recipe = recipe::recipe(&traced, &network, &data, initializer, activation);
        let limits = forecast::limits(&network, &recipe, &start);
        Ok(Self { network, recipe, data, start, limits, remarks: traced.remarks })
    }

    /// What rules look at before training.
    pub fn case(&self) -> Case<'_> {
        Case::before_training(&self.network, &self.recipe, &self.data, &self.start, &self.limits)
    }

    /// What is wrong before training.
    pub fn findings(&self) -> Vec<Finding> {
        diagnose(&self.case())
    }

    /// What to try against these findings, best first; without what cannot be told as a change of a model.
    pub fn prescriptions(&self, findings: &[Finding]) -> Vec<Prescription> {
        // A model's branches have no ends that could be told from outside.
        prescriptions(&self.case(), &self.recipe, findings, |prescription| {
            !prescription.recipe.network.fixup && self.changes(&prescription.recipe) != Changes::default()
        })
    }

    /// The same document that a check of a recipe gives.
    pub fn report(&self) -> CheckReport {
        CheckReport::new(self.recipe.clone(), self.findings(), self.start.flow.clone(), self.limits.clone())
            .with_differential(differential(&self.case()))
            .with_remarks(self.remarks.clone())
    }
}

/// The buffers of a trace, with a clear error for a number that is none of them.
#[derive(Clone, Copy)]
struct Buffers<'a>(&'a [Values]);

impl Buffers<'_> {
    fn get(self, op: &str, buffer: BufferId) -> Result<Values, TraceError> {
        let missing = || TraceError::Buffer { op: op.to_owned(), buffer, count: self.0.len() };
        self.0.get(buffer).cloned().ok_or_else(missing)
    }

    fn captures(self, ops: &[TracedOp]) -> Result<Vec<OpCapture>, TraceError> {
        ops.iter().map(|op| self.capture(op)).collect()
    }

    fn capture(self, op: &TracedOp) -> Result<OpCapture, TraceError> {
        let get = |buffer: BufferId| self.get(&op.name, buffer);
        // A frozen weight has no gradient: exactly zero is what the optimizer sees.
        let gradient = |weight: &Values, gradient: Option<BufferId>| match gradient {
            Some(buffer) => get(buffer),
            None => Ok(Values::from(vec![0.0_f64; weight.len()])),
        };
        let kind = match &op.kind {
            TracedKind::Linear { weight, weight_gradient, .. } => {
                let weight = get(*weight)?;
                OpCaptureKind::Linear { weight_gradient: gradient(&weight, *weight_gradient)?, weight }
            }
            TracedKind::Convolution { weight, weight_gradient, .. } => {
                let weight = get(*weight)?;
                OpCaptureKind::Convolution { weight_gradient: gradient(&weight, *weight_gradient)?, weight }
            }
            TracedKind::Activation { activation } => OpCaptureKind::Activation(*activation),
            TracedKind::Norm { norm, gamma, eps, groups, samples } => {
                // Batch renormalisation's own factor is a part of the gamma that a framework multiplies with.
                let (gamma, ratio) = (get(*gamma)?, None);
                OpCaptureKind::Norm { norm: *norm, gamma, eps: *eps, groups: *groups, samples: *samples, ratio }
            }
            TracedKind::Residual { branch, branch_cotangent_in, shortcut } => OpCaptureKind::Residual {
                scale: 1.0,
                branch: self.captures(branch)?,
                branch_cotangent_in: get(*branch_cotangent_in)?,
                shortcut: self.captures(shortcut)?,
            },
            TracedKind::Attention { features, .. } => OpCaptureKind::Attention { features: *features },
            TracedKind::Recurrent { states, paths, .. } => {
                let path = |path: &TracedPath| {
                    let cotangents = self.states(&op.name, path.states)?;
                    Ok(PathCapture { name: path.name.clone(), cotangents })
                };
                OpCaptureKind::Recurrent {
                    states: self.states(&op.name, *states)?,
                    paths: paths.iter().map(path).collect::<Result<_, TraceError>>()?,
                }
            }
            TracedKind::Other { weighted, .. } => OpCaptureKind::Other { weighted: *weighted },
        };
        Ok(OpCapture {
            name: op.name.clone(),
            rows: op.rows,
            kind,
            input: get(op.input)?,
            output: get(op.output)?,
            cotangent_in: get(op.cotangent_in)?,
            cotangent_out: get(op.cotangent_out)?,
        })
    }

    /// One buffer for each step.
    fn states(self, op: &str, states: States) -> Result<Vec<Values>, TraceError> {
        let whole = self.get(op, states.buffer)?.to_f64().into_owned();
        let each = (whole.len() / states.steps.max(1)).max(1);
        Ok(whole.chunks_exact(each).map(|step| Values::from(step.to_vec())).collect())
    }

    fn parameters(self, parameters: &[TracedParameter]) -> Result<Vec<ParameterRecord>, TraceError> {
        let record = |parameter: &TracedParameter| {
            let moments = |buffer| self.get(&parameter.name, buffer).map(|values| values.moments());
            Ok(ParameterRecord {
                name: parameter.name.clone(),
                weight: moments(parameter.weight)?,
                gradient: parameter.gradient.map_or(Ok(Moments::default()), moments)?,
                update: Moments::default(),
            })
        };
        parameters.iter().map(record).collect()
    }

    fn shattering(self, arc: TracedArc) -> Result<Option<Shattering>, TraceError> {
        let [gradient, activation] = [self.get("arc", arc.gradient)?, self.get("arc", arc.activation)?];
        Ok(Shattering::between(&gradient.to_f64(), &activation.to_f64(), arc.points))
    }

    fn data(self, traced: &Traced) -> Result<DataSummary, TraceError> {
        let moments = |buffer| self.get("data", buffer).map(|values| values.moments());
        let target = traced.data.target.map(moments).transpose()?;
        Ok(DataSummary {
            source: "one batch".into(),
            train_samples: traced.batch,
            test_samples: 0,
            input: traced.data.input.map_or(Ok(Moments::default()), moments)?,
            feature_rms_ratio: traced.data.feature_rms_ratio.unwrap_or(1.0),
            target,
            classes: traced.data.classes,
            // The loss before training is what knowing nothing costs, or more.
            baseline_loss: traced.data.baseline_loss.or(traced.loss).unwrap_or(f64::NAN),
        })
    }
}

/// What attention and gates tell beside their output, into the joints of the same names.
fn details(traced: &[TracedOp], start: &mut Snapshot) {
    for op in traced {
        let detail = match &op.kind {
            TracedKind::Attention { detail, .. } => detail.map(Detail::Attention),
            TracedKind::Recurrent { gates, .. } => (!gates.is_empty()).then(|| Detail::Gates(gates.clone())),
            TracedKind::Residual { branch, shortcut, .. } => {
                details(branch, start);
                details(shortcut, start);
                None
            }
            _ => None,
        };
        if let Some(joint) = start.joints.iter_mut().find(|joint| joint.name == op.name).filter(|_| detail.is_some()) {
            joint.detail = detail;
        }
    }
}

/// The description that rules read. `captured` are the same operations by name.
fn ops(
    traced: &[TracedOp],
    captured: &HashMap<&str, &OpCapture>,
    init: Initializer,
    activation: Activation,
) -> Vec<Op> {
    let found = |name: &str| captured.get(name);
    let linear = |op: &TracedOp| {
        let capture = found(&op.name);
        let fan_out = capture.map_or(0, |capture| capture.output.len() / capture.rows.max(1));
        let values = capture.map_or(0, |capture| match &capture.kind {
            OpCaptureKind::Linear { weight, .. } | OpCaptureKind::Convolution { weight, .. } => weight.len(),
            _ => 0,
        });
        Linear::new(values / fan_out.max(1), fan_out, init, activation)
    };
    let kind = |op: &TracedOp| match &op.kind {
        TracedKind::Linear { tied, .. } => OpKind::Linear(Linear { tied: tied.clone(), ..linear(op) }),
        TracedKind::Convolution { .. } => OpKind::Convolution(Convolution { linear: linear(op), window: None }),
        TracedKind::Activation { activation } => OpKind::Activation { activation: *activation },
        TracedKind::Norm { norm, eps, groups, .. } => {
            let features = found(&op.name).map_or(0, |capture| capture.output.len() / capture.rows.max(1));
            OpKind::Norm(Norm { groups: *groups, ..Norm::new(*norm, features, *eps) })
        }
        TracedKind::Residual { branch, shortcut, .. } => OpKind::Residual(Residual {
            shortcut: ops(shortcut, captured, init, activation),
            ..Residual::new(ops(branch, captured, init, activation), 1.0, false)
        }),
        TracedKind::Attention { attention, .. } => OpKind::Attention(Attention {
            features: found(&op.name).map_or(0, |capture| capture.output.len() / capture.rows.max(1)),
            heads: attention.heads,
            steps: attention.positions,
            causal: attention.causal,
            rotary: false,
            logit_cap: None,
        }),
        TracedKind::Recurrent { cell, activation, inputs, units, states, forget_bias, .. } => {
            OpKind::Recurrent(Recurrent {
                cell: *cell,
                inputs: *inputs,
                units: *units,
                steps: states.steps,
                init,
                hidden_init: init,
                activation: *activation,
                forget_bias: *forget_bias,
                vanishing_penalty: None,
                antisymmetric_step: None,
                diagonal: false,
                orthogonal: false,
            })
        }
        TracedKind::Other { operation, weighted, homogeneous } => {
            OpKind::Other(Other { operation: operation.clone(), weighted: *weighted, homogeneous: *homogeneous })
        }
    };
    traced.iter().map(|op| Op { name: op.name.clone(), kind: kind(op) }).collect()
}

/// A softmax that is all that is left of the way to the loss is the output's. Elsewhere it is some part of a larger thing.
fn with_output(mut ops: Vec<Op>) -> Vec<Op> {
    if let Some(Op { kind, .. }) = ops.last_mut()
        && matches!(kind, OpKind::Other(other) if other.operation.eq_ignore_ascii_case("softmax"))
    {
        *kind = OpKind::Softmax;
    }
    ops
}

#[cfg(test)]
mod tests;
