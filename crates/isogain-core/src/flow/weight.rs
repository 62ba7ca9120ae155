//! A weight's gradient: how strong the signal from behind is, how large the input is, how much the samples agree.
//!
//! dL/dW = mean over samples of x_i d_i^T, the textbook dL/dw = dL/dy phi'(z) x, and
//! |dW|^2 = mean over pairs of <d_i, d_j> <x_i, x_j>. Where an operation treats positions alike, x_i and d_i are rows, and
//! the sum over a sample's positions is part of the coherence.

use super::WeightGradient;
use super::attribute::log;
use super::capture::{Capture, OpCapture, OpCaptureKind};

/// One entry for each linear operation, in forward order, those of a branch or an auxiliary head after the
/// operations before it.
pub(super) fn gradients(capture: &Capture) -> Vec<WeightGradient> {
    let mut found = Vec::new();
    collect(capture.ops(), capture.batch(), &mut found);
    found
}

fn collect(ops: &[OpCapture], batch: usize, found: &mut Vec<WeightGradient>) {
    for op in ops {
        match &op.kind {
            OpCaptureKind::Linear { weight_gradient, .. } | OpCaptureKind::Convolution { weight_gradient, .. } => {
                let half_log = |count: usize| 0.5 * (count as f64).ln();
                let fan_out = op.output.len() / op.rows.max(1);
                let fan_in = weight_gradient.len() / fan_out.max(1);
                let log_norm = log(weight_gradient.rms()).map(|ln| ln + half_log(weight_gradient.len()));
                let backward_signal = log(op.cotangent_out.rms() * batch as f64).map(|ln| ln + half_log(fan_out));
                let input_size = log(op.input.rms()).map(|ln| ln + half_log(fan_in));
                let rest = |norm: f64| Some(norm - backward_signal? - input_size?);
                let coherence = log_norm.and_then(rest);
                found.push(WeightGradient { name: op.name.clone(), log_norm, backward_signal, input_size, coherence });
            }
            OpCaptureKind::Residual { .. } | OpCaptureKind::AuxiliaryHead { .. } => {
                op.ways().into_iter().for_each(|way| collect(way, batch, found));
            }
            OpCaptureKind::Activation(_)
            | OpCaptureKind::Norm { .. }
            | OpCaptureKind::QkNorm { .. }
            | OpCaptureKind::Recurrent { .. }
            | OpCaptureKind::Attention { .. }
            | OpCaptureKind::Mask
            | OpCaptureKind::Pool(_)
            | OpCaptureKind::Product { .. }
            | OpCaptureKind::Other { .. } => {}
        }
    }
}
