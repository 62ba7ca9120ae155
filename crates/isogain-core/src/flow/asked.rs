//! The answer to a question that costs something, or why it was not answered.

use serde::{Deserialize, Serialize};

use super::capture::{OpCapture, OpCaptureKind};

/// Products of two numbers that an answer may take for more samples or probes than the fewest: a tenth of a second of one core.
pub(super) const ENOUGH_PRODUCTS: f64 = 1e9;

/// Those beyond which nothing is computed, not even with the fewest: about a second.
const MOST_PRODUCTS: f64 = 1e10;

/// As many products each weight costs before the first way: it is widened and turned round.
const PREPARED: f64 = 32.0;

/// As many products a unit's step of a recurrence costs: slopes by its gates and states, and a share of what finds them.
const UNIT: f64 = 48.0;

/// An answer, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Asked<T> {
    /// It was computed.
    Told(T),
    /// It was not.
    LeftOut {
        /// Why, as a sentence without a full stop.
        left_out: String,
    },
}

impl<T> From<Result<T, String>> for Asked<T> {
    fn from(answer: Result<T, String>) -> Self {
        answer.map_or_else(|left_out| Self::LeftOut { left_out }, Self::Told)
    }
}

/// Whether so many more ways back through these operations are few enough.
pub(super) fn check_cost(ops: &[OpCapture], ways: usize) -> Result<(), String> {
    let cost = ways as f64 * products(ops) + prepared(ops);
    if ways == 0 || cost <= MOST_PRODUCTS {
        return Ok(());
    }
    Err(format!("{ways} more ways back would take {cost:.3e} products, and {MOST_PRODUCTS:.0e} are the most"))
}

/// Products of two numbers of one way back, in what can be followed for any direction.
pub(super) fn products(ops: &[OpCapture]) -> f64 {
    let of = |op: &OpCapture| match &op.kind {
        OpCaptureKind::Linear { weight, .. } | OpCaptureKind::Convolution { weight, .. } => {
            weight.len() as f64 * op.rows as f64
        }
        OpCaptureKind::Recurrent { recurrence: Some(recurrence), .. } => {
            recurrence.weights() as f64 * op.rows as f64 + UNIT * op.output.len() as f64
        }
        OpCaptureKind::Attention { attention: Some(attention), .. } => {
            // Logits, values, and what both take back to queries and keys.
            4.0 * (op.rows * attention.steps * attention.features) as f64
        }
        _ => op.ways().into_iter().map(products).sum(),
    };
    ops.iter().map(of).sum()
}

/// What weights cost before the first way, in products.
pub(super) fn prepared(ops: &[OpCapture]) -> f64 {
    let of = |op: &OpCapture| match &op.kind {
        OpCaptureKind::Linear { weight, .. } | OpCaptureKind::Convolution { weight, .. } => {
            PREPARED * weight.len() as f64
        }
        OpCaptureKind::Recurrent { recurrence: Some(recurrence), .. } => PREPARED * recurrence.weights() as f64,
        _ => op.ways().into_iter().map(prepared).sum(),
    };
    ops.iter().map(of).sum()
}
