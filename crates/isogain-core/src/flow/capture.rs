//! What an engine hands over for one batch: the buffers at every joint, with full tensors at hand.
//!
//! Plain data, so that a diagnosis reads the same whichever engine ran the network.

use thiserror::Error;

use super::Values;
use super::unrolled::{Direction, Recurrence, StateRule};
use crate::conservation::Units;
use crate::network::{Attention, NormKind, Pool, Window};
use crate::theory::activations::Activation;

/// One batch through a network, forward and backward, in training mode.
#[derive(Clone, Debug)]
pub struct Capture {
    batch: usize,
    ops: Vec<OpCapture>,
    loss: f64,
}

/// One operation: what went in, what came out, and the cotangents of both (of the mean loss, 1/batch included).
///
/// The output of one operation is the input of the next, and so are their cotangents: share the buffers. Buffers are
/// matrices `[rows, features]`: a row for each sample, or for each position of each sample where an operation treats all
/// positions alike (tokens, pixels). All buffers of an operation that keeps the shape are in the same order.
#[derive(Clone, Debug)]
pub struct OpCapture {
    /// The operation's name.
    pub name: String,
    /// What it does, with what its split needs.
    pub kind: OpCaptureKind,
    /// Rows of the output.
    pub rows: usize,
    /// Its input, `[rows, features]`.
    pub input: Values,
    /// Its output, `[rows, features]`.
    pub output: Values,
    /// dL/d(input), as the input.
    pub cotangent_in: Values,
    /// dL/d(output), as the output.
    pub cotangent_out: Values,
}

/// The operations of the two factors of a product.
pub type Gated = [Vec<OpCapture>; 2];

/// The kind of an operation.
#[derive(Clone, Debug)]
pub enum OpCaptureKind {
    /// `y = x W + b`.
    Linear {
        /// W.
        weight: Values,
        /// dL/dW, as W.
        weight_gradient: Values,
        /// Which way round both are.
        units: Units,
    },
    /// The same on a patch around every position: the input has its own number of rows.
    Convolution {
        /// W: as many values as patches have, times output channels; `[taps x channels in, channels out]` with a window, in any
        /// order without. Of groups the channels that one of them reads: those of the input are several times as many.
        weight: Values,
        /// dL/dW, as W.
        weight_gradient: Values,
        /// Which patches; `None` where only the layer is known.
        window: Option<Window>,
    },
    /// Every value times a number of its own, the same way back: dropout at work.
    Mask,
    /// Many positions become fewer: the largest, the mean or the last of them.
    Pool(Pool),
    /// `y = phi(x)`.
    Activation(Activation),
    /// A normalisation with the statistics of this batch.
    Norm {
        /// Which statistics.
        norm: NormKind,
        /// The learnable factor, `[features]`.
        gamma: Values,
        /// Added to the variance.
        eps: f64,
        /// Groups of features (group norm), or parts of the batch (batch norm; 0 as 1); 0 for the others.
        groups: usize,
        /// Samples in the batch, each of which has groups of its own.
        samples: usize,
        /// r of each feature (batch renormalisation), `[features]`; 1 for the others.
        ratio: Option<Values>,
    },
    /// `y = S(x) + scale F(x)`, or with a gate `y = (1 - T(x)) x + T(x) F(x)`, or `y = [x, F(x)]`.
    Residual {
        /// The factor as it is now; of one for each channel, and of a gate, see [`one_factor`].
        scale: f64,
        /// The operations of F; the cotangent at the output of the last one is `scale * dL/dy`, or `T dL/dy`, or its last features.
        branch: Vec<OpCapture>,
        /// What came back through the branch, scale included, as the input: `dL/dx - dL/dy` where S is the identity.
        branch_cotangent_in: Values,
        /// The operations of S; empty for the identity.
        shortcut: Vec<OpCapture>,
        /// The layer under the gate's sigmoid; empty for a sum.
        gate: Vec<OpCapture>,
        /// Whether x and F(x) stand side by side.
        concatenates: bool,
    },
    /// `y = x`, and beside it a head whose loss is trained too.
    AuxiliaryHead {
        /// The operations of the head; the cotangent at the output of the last one has the factor on its loss in it.
        head: Vec<OpCapture>,
        /// What came back through the head, as the input: `dL/dx - dL/dy`.
        head_cotangent_in: Values,
    },
    /// A recurrent layer, over all steps.
    Recurrent {
        /// dL/d(state) after each time step, first step first; of the LSTM, h and c side by side.
        states: Vec<Values>,
        /// The ways from each state to the one before.
        paths: Vec<PathCapture>,
        /// What it computes with; `None` where nobody says.
        recurrence: Option<Recurrence>,
    },
    /// RMS norm of each head's query and key; values pass.
    QkNorm {
        /// Learnable factors of queries and of keys, `[features of a head]` each, shared by the heads.
        gammas: [Values; 2],
        /// Added to the mean square.
        eps: f64,
    },
    /// Softmax attention; the input's features are queries, keys and values side by side.
    Attention {
        /// Features of queries, keys and values; those of keys and values may be fewer, several heads sharing them.
        features: [usize; 3],
        /// Its heads and what each step sees; `None` where only the features are known.
        attention: Option<Attention>,
        /// What dropout multiplies each weight with behind the softmax, `[samples, heads, steps, steps]`; `None` where it does not.
        dropped: Option<Values>,
    },
    /// `y = A(x) B(x)`, value by value, taken whole.
    Product {
        /// The operations of A and of B.
        ways: Gated,
        /// Whether it has weights, so that people would call it a layer.
        weighted: bool,
    },
    /// Anything else, taken whole; input and output may have any shape.
    Other {
        /// Whether it has weights, so that people would call it a layer.
        weighted: bool,
    },
}

/// One of the ways by which the cotangent of a state reaches the state before: a gate, or the cell itself.
#[derive(Clone, Debug)]
pub struct PathCapture {
    /// The gate's name.
    pub name: String,
    /// For each step: its part of the cotangent of the state before. The parts of all paths add up to what the recurrence
    /// carries.
    pub cotangents: Vec<Values>,
}

/// What stands for the factors of a residual branch: the factor, or the RMS of several: one for each channel, what a gate lets
/// through of each value.
pub fn one_factor(factors: &[f64]) -> f64 {
    match factors {
        [factor] => *factor,
        factors => super::values::rms(factors),
    }
}

/// Why a capture makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CaptureError {
    /// A capture of no samples.
    #[error("the batch of a capture is empty")]
    EmptyBatch,
    /// A buffer of the wrong length.
    #[error("{op}: {buffer} holds {found} values, not {expected}")]
    Length {
        /// The operation.
        op: String,
        /// The buffer.
        buffer: &'static str,
        /// Values it should hold.
        expected: usize,
        /// Values it holds.
        found: usize,
    },
}

impl Capture {
    /// Operations in forward order over `batch` samples, and the value of the loss.
    ///
    /// # Errors
    /// An empty batch, or buffers whose lengths do not fit together.
    pub fn new(batch: usize, ops: Vec<OpCapture>, loss: f64) -> Result<Self, CaptureError> {
        if batch == 0 {
            return Err(CaptureError::EmptyBatch);
        }
        check_chain(&ops)?;
        Ok(Self { batch, ops, loss })
    }

    /// Samples in the batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The operations in forward order.
    pub fn ops(&self) -> &[OpCapture] {
        &self.ops
    }

    /// Value of the loss.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// Index of the head, the last linear operation or convolution outside of branches; the number of operations without
    /// one.
    pub fn head(&self) -> usize {
        let is_linear =
            |op: &OpCapture| matches!(op.kind, OpCaptureKind::Linear { .. } | OpCaptureKind::Convolution { .. });
        self.ops.iter().rposition(is_linear).unwrap_or(self.ops.len())
    }

    /// The operations between the first layer and the head; none without a layer.
    pub(super) fn after_first_layer(&self) -> &[OpCapture] {
        let body = &self.ops[..self.head()];
        &body[body.iter().position(OpCapture::begins_layer).map_or(body.len(), |first| first + 1)..]
    }

    /// Every operation in forward order, branches, projections, gates and auxiliary heads after the operation that holds them; what
    /// is taken whole is one.
    pub fn walk(&self) -> Vec<&OpCapture> {
        fn walk<'a>(ops: &'a [OpCapture], found: &mut Vec<&'a OpCapture>) {
            for op in ops {
                found.push(op);
                if matches!(op.kind, OpCaptureKind::Product { .. }) {
                    continue;
                }
                op.ways().into_iter().for_each(|way| walk(way, found));
            }
        }
        let mut found = Vec::new();
        walk(&self.ops, &mut found);
        found
    }
}

impl OpCapture {
    /// The kind's name, as in [`super::Joint::kind`].
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            OpCaptureKind::Linear { .. } => "linear",
            OpCaptureKind::Convolution { .. } => "convolution",
            OpCaptureKind::Activation(_) => "activation",
            OpCaptureKind::Norm { .. } | OpCaptureKind::QkNorm { .. } => "norm",
            OpCaptureKind::Residual { .. } => "residual",
            OpCaptureKind::AuxiliaryHead { .. } => "auxiliary-head",
            OpCaptureKind::Recurrent { .. } => "recurrent",
            OpCaptureKind::Attention { .. } => "attention",
            OpCaptureKind::Product { weighted: true, .. } | OpCaptureKind::Other { weighted: true } => "module",
            OpCaptureKind::Mask
            | OpCaptureKind::Pool(_)
            | OpCaptureKind::Product { weighted: false, .. }
            | OpCaptureKind::Other { weighted: false } => "operation",
        }
    }

    /// Whether people would say that a layer begins here, as [`super::Joint::begins_layer`].
    pub(super) fn begins_layer(&self) -> bool {
        !matches!(self.kind_name(), "activation" | "norm" | "attention" | "auxiliary-head" | "operation")
    }

    /// The operations inside of a residual one: of the branch, of shortcut and gate where they are; of an auxiliary head its own;
    /// of a product those of its factors; empty for others.
    pub(super) fn ways(&self) -> [&[OpCapture]; 3] {
        match &self.kind {
            OpCaptureKind::Residual { branch, shortcut, gate, .. } => [branch, shortcut, gate],
            OpCaptureKind::AuxiliaryHead { head, .. } => [head, &[], &[]],
            OpCaptureKind::Product { ways: [one, other], .. } => [one, other, &[]],
            _ => [&[]; 3],
        }
    }

    fn expect(&self, buffer: &'static str, found: &Values, expected: usize) -> Result<(), CaptureError> {
        let found = found.len();
        if found == expected {
            return Ok(());
        }
        Err(CaptureError::Length { op: self.name.clone(), buffer, expected, found })
    }
}

fn check_recurrence(op: &OpCapture, recurrence: &Recurrence) -> Result<(), CaptureError> {
    let Recurrence { rule, steps, directions } = recurrence;
    let (rows, steps, ways) = (op.rows.max(1), (*steps).max(1), directions.len().max(1));
    let samples = op.rows / steps;
    let (inputs, units) = (op.input.len() / rows, op.output.len() / rows / ways);
    op.expect("input", &op.input, inputs * samples * steps)?;
    op.expect("output", &op.output, units * ways * samples * steps)?;
    let width = rule.blocks() * units;
    for Direction { weight, hidden_weight, biases, start, .. } in directions {
        op.expect("weight", weight, inputs * width)?;
        op.expect("hidden_weight", hidden_weight, rule.read_states() * units * width)?;
        for (name, bias) in ["bias", "hidden_bias"].into_iter().zip(biases) {
            op.expect(name, bias, if bias.is_empty() { 0 } else { width })?;
        }
        op.expect("start", start, if start.is_empty() { 0 } else { samples * rule.states() * units })?;
    }
    match rule {
        StateRule::Diagonal { log_decay, .. } => op.expect("log_decay", log_decay, units),
        _ => Ok(()),
    }
}

fn check_chain(ops: &[OpCapture]) -> Result<(), CaptureError> {
    let mut before: Option<&OpCapture> = None;
    for op in ops {
        let rows = op.rows.max(1);
        // Whole rows: the nearest multiple is what the length should have been.
        op.expect("output", &op.output, op.output.len() / rows * rows)?;
        if let Some(before) = before {
            op.expect("input", &op.input, before.output.len())?;
        }
        op.expect("cotangent_in", &op.cotangent_in, op.input.len())?;
        op.expect("cotangent_out", &op.cotangent_out, op.output.len())?;
        let (fan_in, fan_out) = (op.input.len() / rows, op.output.len() / rows);
        match &op.kind {
            OpCaptureKind::Linear { weight, weight_gradient, .. } => {
                op.expect("input", &op.input, fan_in * rows)?;
                op.expect("weight", weight, fan_in * fan_out)?;
                op.expect("weight_gradient", weight_gradient, fan_in * fan_out)?;
            }
            OpCaptureKind::Convolution { weight, weight_gradient, window } => {
                op.expect("weight", weight, weight.len() / fan_out.max(1) * fan_out)?;
                op.expect("weight_gradient", weight_gradient, weight.len())?;
                if let Some(window) = window {
                    let channels = weight.len() / (window.taps() * fan_out).max(1);
                    op.expect("weight", weight, window.taps() * channels * fan_out)?;
                    // Of as many channels as a unit reads, or several times as many: groups of them.
                    let group = positions(window.grid, window.output(), op.rows) * channels;
                    let groups = (op.input.len() / group.max(1)).clamp(1, fan_out.max(1));
                    op.expect("input", &op.input, group * groups)?;
                    op.expect("output", &op.output, fan_out / groups * groups * op.rows)?;
                }
            }
            OpCaptureKind::Pool(pool) => {
                let output = pool.window.map_or([1, 1], |window| window.output());
                op.expect("input", &op.input, positions([pool.positions, 1], output, op.rows) * fan_out)?;
            }
            OpCaptureKind::Other { .. } | OpCaptureKind::Recurrent { recurrence: None, .. } => {}
            OpCaptureKind::Recurrent { recurrence: Some(recurrence), .. } => check_recurrence(op, recurrence)?,
            OpCaptureKind::Product { ways, .. } => {
                for way in ways {
                    check_chain(way)?;
                    let last = way.last().map_or(&op.input, |last| &last.output);
                    op.expect("output", &op.output, last.len())?;
                    let first = way.first().map_or(&op.input, |first| &first.input);
                    op.expect("input", &op.input, first.len())?;
                }
            }
            OpCaptureKind::Attention { features, attention, dropped } => {
                op.expect("input", &op.input, features.iter().sum::<usize>() * op.rows)?;
                if let (Some(attention), Some(dropped)) = (attention, dropped) {
                    op.expect("dropped", dropped, op.rows * attention.heads * attention.steps)?;
                }
            }
            OpCaptureKind::Activation(_) | OpCaptureKind::Mask => op.expect("output", &op.output, op.input.len())?,
            OpCaptureKind::Norm { gamma, ratio, .. } => {
                op.expect("output", &op.output, op.input.len())?;
                op.expect("gamma", gamma, fan_in)?;
                ratio.as_ref().map_or(Ok(()), |ratio| op.expect("ratio", ratio, fan_in))?;
            }
            OpCaptureKind::QkNorm { gammas, .. } => {
                op.expect("output", &op.output, op.input.len())?;
                let width = gammas[0].len();
                op.expect("query_gamma", &gammas[0], width.max(1))?;
                op.expect("key_gamma", &gammas[1], width)?;
                // Queries, keys and values of whole heads.
                op.expect("input", &op.input, op.input.len() / (3 * width * rows) * (3 * width * rows))?;
            }
            OpCaptureKind::Residual { branch, branch_cotangent_in, shortcut, concatenates, .. } => {
                if *concatenates {
                    let added = branch.last().map_or(&op.input, |last| &last.output).len();
                    op.expect("output", &op.output, op.input.len() + added)?;
                } else if shortcut.is_empty() {
                    op.expect("output", &op.output, op.input.len())?;
                }
                op.expect("branch_cotangent_in", branch_cotangent_in, op.input.len())?;
                op.ways().into_iter().try_for_each(check_chain)?;
            }
            OpCaptureKind::AuxiliaryHead { head, head_cotangent_in } => {
                op.expect("output", &op.output, op.input.len())?;
                op.expect("head_cotangent_in", head_cotangent_in, op.input.len())?;
                check_chain(head)?;
            }
        }
        before = Some(op);
    }
    Ok(())
}

/// Positions of the input of an operation on a grid that gives so many rows.
fn positions(input: [usize; 2], output: [usize; 2], rows: usize) -> usize {
    let [input, output] = [input, output].map(|grid| grid.iter().product::<usize>());
    rows / output.max(1) * input
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(input: usize, output: usize, weight: usize) -> OpCapture {
        let zeros = |n: usize| Values::from(vec![0.0_f64; n]);
        OpCapture {
            name: "fc1".into(),
            rows: 2,
            kind: OpCaptureKind::Linear {
                weight: zeros(weight),
                weight_gradient: zeros(weight),
                units: Units::Columns,
            },
            input: zeros(input),
            output: zeros(output),
            cotangent_in: zeros(input),
            cotangent_out: zeros(output),
        }
    }

    #[test]
    fn lengths_must_fit() {
        assert!(Capture::new(2, vec![linear(6, 4, 6)], 0.0).is_ok());
        assert_eq!(Capture::new(0, vec![], 0.0).unwrap_err(), CaptureError::EmptyBatch);
        let error = Capture::new(2, vec![linear(6, 4, 5)], 0.0).unwrap_err();
        assert_eq!(error.to_string(), "fc1: weight holds 5 values, not 6");
        let error = Capture::new(2, vec![linear(7, 4, 6)], 0.0).unwrap_err();
        assert_eq!(error.to_string(), "fc1: input holds 7 values, not 6");
        let error = Capture::new(2, vec![linear(6, 4, 6), linear(6, 4, 6)], 0.0).unwrap_err();
        assert_eq!(error.to_string(), "fc1: input holds 6 values, not 4");
    }
}
