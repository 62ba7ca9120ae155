//! A slow, exact engine for checks: forward and backward pass of a [`Network`] in f64 with plain loops.
//!
//! It shares no code with the engines that train, and its gradients are tested against finite differences, so that it
//! can be the oracle for theirs. Normalisation uses the statistics of the batch, as in training.

mod chain;
mod loss;
mod norm;
mod residual;
mod softmax;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::Values;
use super::capture::{Capture, CaptureError};
use crate::network::Network;

/// Parameters, or their gradients, by name: `<op>.weight` (row-major `[fan_in, fan_out]`), `<op>.bias`, `<op>.gamma`,
/// `<op>.beta`, `<op>.scale`. Of batch renormalisation also `<op>.running_mean`, `<op>.running_variance` and
/// `<op>.running_batches`, one number, which have no gradients.
pub type Parameters = BTreeMap<String, Vec<f64>>;

/// What the outputs are compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// The right class of each sample; a row of zeros with a one for losses that compare numbers, one zero or one where
    /// there is one output.
    Classes(Vec<usize>),
    /// The right outputs, `[batch, outputs]`, for losses that compare numbers.
    Outputs(Vec<f64>),
    /// A chosen cotangent c, `[batch, outputs]`, in place of the network's loss: mean over samples of <c, y>. Auxiliary heads
    /// have no loss then.
    Cotangent(Vec<f64>),
}

/// What came out of one batch.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The buffers at every joint; the loss in it is that of the last head.
    pub capture: Capture,
    /// The sum that is trained: that loss, and the shares of those of auxiliary heads.
    pub objective: f64,
    /// The gradient of each parameter, of that sum.
    pub gradients: Parameters,
}

/// Why a network could not be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// A parameter that is not there.
    #[error("the parameter {0} is missing")]
    MissingParameter(String),
    /// Something of the wrong length.
    #[error("{what} holds {found} values, not {expected}")]
    Length {
        /// What it is.
        what: String,
        /// Values it should hold.
        expected: usize,
        /// Values it holds.
        found: usize,
    },
    /// An operation that this engine does not run.
    #[error("{op} is neither linear, activation, softmax, norm, residual nor an auxiliary head")]
    Unsupported {
        /// The operation.
        op: String,
    },
    /// A class that no output stands for.
    #[error("the target of sample {sample} is class {class}, but the network has {outputs} outputs")]
    Class {
        /// Index in the batch.
        sample: usize,
        /// The target.
        class: usize,
        /// Outputs of the network.
        outputs: usize,
    },
    /// Targets of the wrong kind.
    #[error("the network's loss is {loss}, which these targets do not fit")]
    Targets {
        /// The network's loss.
        loss: &'static str,
    },
    /// An inconsistent capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// Runs one batch `inputs` (`[batch, network.input.values()]`) forward and backward.
///
/// # Errors
/// Missing parameters, or lengths that do not fit the network.
pub fn run(
    network: &Network,
    parameters: &Parameters,
    inputs: &[f64],
    targets: &Targets,
) -> Result<Pass, ReferenceError> {
    let batch = inputs.len().checked_div(network.input.values()).unwrap_or(0).max(1);
    expect("the input", inputs.len(), batch * network.input.values())?;
    let input = Arc::new(inputs.to_vec());
    let steps = chain::forward(&network.ops, parameters, input.clone(), batch)?;
    let output = steps.last().map_or(&input, |step| &step.output);
    expect("the output", output.len(), batch * network.outputs)?;
    let (loss, cotangent) = loss::loss(network, output, targets, batch)?;
    let mut gradients = Parameters::new();
    let mut objective = loss;
    let mut of_auxiliary = |outputs: &[f64], share: f64| {
        let (loss, cotangent) = match targets {
            Targets::Cotangent(_) => (0.0, vec![0.0; outputs.len()]),
            targets => loss::loss(network, outputs, targets, batch)?,
        };
        objective += share * loss;
        Ok(cotangent.iter().map(|g| share * g).collect())
    };
    let ops = chain::backward(&steps, parameters, Arc::new(cotangent), batch, &mut of_auxiliary, &mut gradients)?;
    Ok(Pass { capture: Capture::new(batch, ops, loss)?, objective, gradients })
}

/// A buffer that several places share.
type Shared = Arc<Vec<f64>>;

fn values(shared: &Shared) -> Values {
    Values::F64(Arc::clone(shared))
}

fn parameter<'a>(parameters: &'a Parameters, op: &str, name: &str, length: usize) -> Result<&'a [f64], ReferenceError> {
    let full = format!("{op}.{name}");
    let Some(found) = parameters.get(&full) else {
        return Err(ReferenceError::MissingParameter(full));
    };
    expect(&full, found.len(), length)?;
    Ok(found)
}

fn expect(what: &str, found: usize, expected: usize) -> Result<(), ReferenceError> {
    if found == expected { Ok(()) } else { Err(ReferenceError::Length { what: what.into(), expected, found }) }
}
