//! From the buffers of one batch to the chain rule taken apart.

use super::Values;
use super::capture::{Capture, OpCapture, OpCaptureKind, PathCapture};
use super::{
    Cause, Flow, Joint, Part, activation, attention, head, linear, norm, qk_norm, recurrent, residual, weight,
};

/// Takes one batch's gradient apart, operation by operation.
///
/// Every log-gain comes from the RMS of the cotangents themselves in f64, so their sum over the chain telescopes to the
/// total. The last part of a split is the remainder; tests hold it against its own formula.
///
/// Cotangents in the flow have the 1/batch of the mean loss divided out.
pub fn attribute(capture: &Capture) -> Flow {
    let batch = capture.batch();
    let (body, tail) = capture.ops().split_at(capture.head());
    let total_log_gain = match (body.first(), body.last()) {
        (Some(first), Some(last)) => log_ratio(first.cotangent_in.rms(), last.cotangent_out.rms()),
        _ => Some(0.0),
    };
    Flow {
        total_log_gain,
        joints: joints(body, batch),
        head: head::head(capture, joints(tail, batch)),
        weights: weight::gradients(capture),
        counterfactual: None,
        path_lengths: None,
        jacobian: None,
    }
}

/// The joints of a chain of operations, in forward order.
pub(super) fn joints(ops: &[OpCapture], batch: usize) -> Vec<Joint> {
    ops.iter().map(|op| joint(op, batch)).collect()
}

fn joint(op: &OpCapture, batch: usize) -> Joint {
    let (rms_in, rms_out) = (op.cotangent_in.rms(), op.cotangent_out.rms());
    let log_gain = log_ratio(rms_in, rms_out);
    let split = log_gain.map(|gain| match &op.kind {
        OpCaptureKind::Linear { weight, .. } | OpCaptureKind::Convolution { weight, .. } => {
            linear::split(weight, op, gain)
        }
        OpCaptureKind::Activation(activation) => activation::split(*activation, op, gain),
        OpCaptureKind::Norm { norm, gamma, eps, groups, samples, ratio } => {
            let statistics = norm::Statistics::new(*norm, *eps, *groups, *samples, ratio.as_ref());
            norm::split(&statistics, gamma, op, rms_out, gain)
        }
        OpCaptureKind::Residual { .. } => vec![Part { cause: Cause::BranchSum, log_gain: gain }],
        OpCaptureKind::AuxiliaryHead { .. } => vec![Part { cause: Cause::AuxiliaryHead, log_gain: gain }],
        OpCaptureKind::QkNorm { gammas, eps } => qk_norm::split(gammas, *eps, op, rms_out, gain),
        OpCaptureKind::Attention { features, .. } => attention::split(*features, op, gain),
        OpCaptureKind::Recurrent { .. }
        | OpCaptureKind::Mask
        | OpCaptureKind::Pool(_)
        | OpCaptureKind::Product { .. }
        | OpCaptureKind::Other { .. } => {
            vec![Part { cause: Cause::Whole, log_gain: gain }]
        }
    });
    let branch = match &op.kind {
        OpCaptureKind::Residual { branch_cotangent_in, .. } => Some(residual::branch(op, branch_cotangent_in, batch)),
        OpCaptureKind::AuxiliaryHead { head_cotangent_in, .. } => Some(residual::branch(op, head_cotangent_in, batch)),
        _ => None,
    };
    let (states, paths): (&[Values], &[PathCapture]) = match &op.kind {
        OpCaptureKind::Recurrent { states, paths, .. } => (states, paths),
        _ => (&[], &[]),
    };
    Joint {
        name: op.name.clone(),
        kind: op.kind_name().into(),
        log_gain,
        split: split.unwrap_or_default(),
        cotangent_rms: rms_out * batch as f64,
        cotangent_in_rms: rms_in * batch as f64,
        activation_rms: op.output.rms(),
        branch,
        states: states.iter().map(|state| state.rms() * batch as f64).collect(),
        paths: recurrent::shares(paths),
    }
}

/// ln(a / b); `None` unless both are positive and finite. The difference of logarithms, so that a chain of them
/// telescopes.
pub(super) fn log_ratio(a: f64, b: f64) -> Option<f64> {
    Some(log(a)? - log(b)?)
}

/// ln(a); `None` unless positive and finite.
pub(super) fn log(a: f64) -> Option<f64> {
    (a > 0.0 && a.is_finite()).then(|| a.ln())
}

/// Two parts that add up to `gain`: the first measured, the second the remainder. Where the first cannot be told (an
/// engine whose derivative at a kink differs from ours, say) the second is all of it.
pub(super) fn two_parts(first: Cause, measured: f64, second: Cause, gain: f64) -> Vec<Part> {
    if !measured.is_finite() {
        return vec![Part { cause: second, log_gain: gain }];
    }
    vec![Part { cause: first, log_gain: measured }, Part { cause: second, log_gain: gain - measured }]
}
