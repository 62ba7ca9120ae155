//! A trace as the network that rules read.

use std::collections::HashMap;

use crate::flow::capture::{OpCapture, OpCaptureKind};
use crate::network::{Attention, Convolution, Linear, Norm, NormKind, Op, OpKind, Other, Recurrent, Residual};
use crate::record::{Detail, Snapshot};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

use super::description::{TracedKind, TracedOp};

/// What attention and gates tell beside their output, into the joints of the same names.
pub(super) fn details(traced: &[TracedOp], start: &mut Snapshot) {
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
pub(super) fn ops(
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
        TracedKind::Norm { norm, eps, groups, samples, .. } => {
            let features = found(&op.name).map_or(0, |capture| capture.output.len() / capture.rows.max(1));
            let new = Norm::new(*norm, features, *eps);
            OpKind::Norm(match norm {
                NormKind::Batch if *groups > 1 => Norm { ghost: samples / groups, ..new },
                _ => Norm { groups: *groups, ..new },
            })
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
                oscillator: None,
                orthogonal: false,
            })
        }
        TracedKind::Other { operation, weighted, homogeneous, .. } => {
            OpKind::Other(Other { operation: operation.clone(), weighted: *weighted, homogeneous: *homogeneous })
        }
    };
    traced.iter().map(|op| Op { name: op.name.clone(), kind: kind(op) }).collect()
}

/// A softmax that is all that is left of the way to the loss is the output's. Elsewhere it is some part of a larger thing.
pub(super) fn with_output(mut ops: Vec<Op>) -> Vec<Op> {
    if let Some(Op { kind, .. }) = ops.last_mut()
        && matches!(kind, OpKind::Other(other) if other.operation.eq_ignore_ascii_case("softmax"))
    {
        *kind = OpKind::Softmax;
    }
    ops
}
