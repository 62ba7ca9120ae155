//! The ways through a residual operation: the branch, and what goes past it.
//!
//! A sum has two, y = S(x) + scale F(x). A gate has three on the way back, y = (1 - T(x)) x + T(x) F(x): g reaches x as
//! (1 - T) g, through the branch as J_F^T (T g), and through the gate itself as W (T' (F(x) - x) g). Side by side, y = [x, F(x)],
//! the first features of g reach x as they are and the others go through the branch.

use std::ops::Range;

use super::Values;
use super::capture::{OpCapture, OpCaptureKind};
use super::values::rms;
use crate::theory::residual::gate as opened;

/// One way, from a residual operation's output back to its input.
pub(super) struct Way<'a> {
    /// What it takes of a cotangent.
    pub(super) end: End,
    /// The operations before that.
    pub(super) ops: &'a [OpCapture],
    /// The cotangent that was measured where it begins.
    pub(super) returned: Values,
}

/// The end of a way, where all of them meet.
pub(super) enum End {
    /// Everything goes this way.
    Whole,
    /// Times these, for each feature or for each value.
    Factors(Vec<f64>),
    /// Some of so many features.
    Features {
        /// Which.
        range: Range<usize>,
        /// Of how many.
        of: usize,
    },
}

impl End {
    /// The part of a cotangent at the output that goes this way.
    pub(super) fn take(&self, g: &[f64]) -> Vec<f64> {
        match self {
            Self::Whole => g.to_vec(),
            Self::Factors(factors) => scaled(g, factors),
            Self::Features { range, of } => g.chunks_exact(*of).flat_map(|row| &row[range.clone()]).copied().collect(),
        }
    }

    /// What a change at the way's end is at the output.
    pub(super) fn give(&self, u: &[f64]) -> Vec<f64> {
        match self {
            Self::Whole => u.to_vec(),
            Self::Factors(factors) => scaled(u, factors),
            Self::Features { range, of } => {
                let mut output = vec![0.0; u.len() / range.len() * of];
                for (row, part) in output.chunks_exact_mut(*of).zip(u.chunks_exact(range.len())) {
                    row[range.clone()].copy_from_slice(part);
                }
                output
            }
        }
    }
}

/// Values times factors, for each feature or for each value.
pub(super) fn scaled(values: &[f64], factors: &[f64]) -> Vec<f64> {
    values.iter().zip(factors.iter().cycle()).map(|(value, factor)| value * factor).collect()
}

/// All ways through one residual operation.
pub(super) struct Ways<'a> {
    /// Through the branch.
    pub(super) branch: Way<'a>,
    /// The others.
    pub(super) past: Vec<Way<'a>>,
}

/// The ways through an operation; `None` where it is no residual one.
pub(super) fn ways(op: &OpCapture) -> Option<Ways<'_>> {
    let OpCaptureKind::Residual { scale, branch, branch_cotangent_in, shortcut, gate, concatenates } = &op.kind else {
        return None;
    };
    let through = |end: End| Way { end, ops: branch, returned: branch_cotangent_in.clone() };
    if *concatenates {
        let rows = op.rows.max(1);
        let (read, of) = (op.input.len() / rows, op.output.len() / rows);
        let handed_on = End::Features { range: 0..read, of };
        let returned = handed_on.take(&op.cotangent_out.to_f64()).into();
        let past = vec![Way { end: handed_on, ops: &[], returned }];
        return Some(Ways { branch: through(End::Features { range: read..of, of }), past });
    }
    let Some(under) = gate.last() else {
        let factors = branch_factors(op, *scale, branch, branch_cotangent_in);
        let returned = shortcut.first().map_or(&op.cotangent_out, |first| &first.cotangent_in).clone();
        let past = vec![Way { end: End::Whole, ops: shortcut, returned }];
        return Some(Ways { branch: through(End::Factors(factors)), past });
    };
    let open: Vec<f64> = under.output.to_f64().iter().map(|&z| opened(z)).collect();
    let (x, f) = (op.input.to_f64(), branch.last().map_or(&op.input, |last| &last.output).to_f64());
    let apart = f.iter().zip(x.iter()).map(|(f, x)| f - x);
    let steered = open.iter().zip(apart).map(|(open, apart)| open * (1.0 - open) * apart).collect();
    let carried = End::Factors(open.iter().map(|open| 1.0 - open).collect());
    let returned = carried.take(&op.cotangent_out.to_f64()).into();
    let carry = Way { end: carried, ops: &[], returned };
    let steer = Way { end: End::Factors(steered), ops: gate, returned: gate[0].cotangent_in.clone() };
    Some(Ways { branch: through(End::Factors(open)), past: vec![carry, steer] })
}

/// What a residual operation multiplies the cotangent with at its branch's end, for each feature. A capture keeps one number
/// for all of them; where they differ they are read off the buffers, of which one is the other times them. Where nothing
/// comes back to a feature its factor is unknown, and that number stands for it.
fn branch_factors(op: &OpCapture, scale: f64, branch: &[OpCapture], branch_back: &Values) -> Vec<f64> {
    let end = branch.last().map_or(branch_back, |last| &last.cotangent_out).to_f64();
    let back = op.cotangent_out.to_f64();
    let features = (back.len() / op.rows.max(1)).max(1);
    // By its size, so that no square leaves the range of f64.
    let size = rms(&back);
    if end.len() != back.len() || !(size > 0.0 && size.is_finite()) {
        return vec![scale; features];
    }
    let [mut products, mut squares] = [0; 2].map(|_| vec![0.0; features]);
    for (index, (end, back)) in end.iter().zip(back.iter()).enumerate() {
        let back = back / size;
        products[index % features] += end / size * back;
        squares[index % features] += back * back;
    }
    let factor = |(product, square): (f64, f64)| if square > 0.0 { product / square } else { scale };
    products.into_iter().zip(squares).map(factor).collect()
}
