//! One operation's way back for any cotangent, from its buffers alone, the forward pass being what it was.

use std::cell::OnceCell;

use super::capture::{OpCapture, OpCaptureKind};
use super::reference::{product, transpose};
use super::values::rms;
use super::{Values, norm};

/// g to J^T g; `None` for an operation whose buffers do not tell it (a convolution, attention, a recurrence, what is taken
/// whole) and for a residual one, which is a sum of two ways.
pub(super) fn back(op: &OpCapture) -> Option<Box<dyn Fn(&[f64]) -> Vec<f64> + '_>> {
    match &op.kind {
        OpCaptureKind::Linear { weight, .. } => {
            let [fan_in, fan_out] = [op.input.len(), op.output.len()].map(|values| values / op.rows.max(1));
            let transposed = OnceCell::new();
            Some(Box::new(move |g| {
                let weight = transposed.get_or_init(|| transpose(&weight.to_f64(), fan_in, fan_out));
                product(g, weight, [op.rows, fan_out, fan_in])
            }))
        }
        OpCaptureKind::Activation(activation) => {
            let slopes: Vec<f64> = op.input.to_f64().iter().map(|&z| activation.derivative(z)).collect();
            Some(Box::new(move |g| g.iter().zip(&slopes).map(|(g, slope)| g * slope).collect()))
        }
        OpCaptureKind::Norm { norm, gamma, eps, groups, samples } => {
            let statistics = norm::Statistics { norm: *norm, eps: *eps, groups: *groups, batch: *samples };
            Some(Box::new(move |g| norm::back(&statistics, gamma, op, g)))
        }
        OpCaptureKind::Residual { .. }
        | OpCaptureKind::Convolution { .. }
        | OpCaptureKind::Recurrent { .. }
        | OpCaptureKind::QkNorm { .. }
        | OpCaptureKind::Attention { .. }
        | OpCaptureKind::Other { .. } => None,
    }
}

/// What a residual operation multiplies the cotangent with at its branch's end, for each feature. A capture keeps one number
/// for all of them; where they differ they are read off the buffers, of which one is the other times them. Where nothing
/// comes back to a feature its factor is unknown, and that number stands for it.
pub(super) fn branch_factors(op: &OpCapture, scale: f64, branch: &[OpCapture], branch_back: &Values) -> Vec<f64> {
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
