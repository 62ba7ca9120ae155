//! One batch with full tensors at hand: the chain rule taken apart, what single units do, and every parameter.

use std::collections::BTreeMap;
use std::sync::Arc;

use isogain_core::flow::Values;
use isogain_core::flow::capture::{Capture, OpCapture, OpCaptureKind};
use isogain_core::network::{Op, OpKind};
use isogain_core::record::{JointRecord, ParameterRecord, Snapshot};
use isogain_core::statistics::Moments;

use crate::Error;
use crate::data::Samples;
use crate::model::{Model, Value, branch_joint, to_f64};
use crate::probe::{Keep, Kept, Probes, Seen, tensor_moments};

/// Gradient of each parameter, by name.
pub type Gradients = BTreeMap<String, Value>;

/// Loss on a batch and the gradient of every parameter, training mode.
pub fn loss_and_gradients(model: &Model, batch: &Samples, probes: Option<&Probes>) -> (f64, Gradients) {
    let mut pass = model.tracked(probes);
    let outputs = model.forward(&mut pass, model.inputs(batch));
    let loss = model.loss(outputs, &batch.targets);
    let gradients = pass.gradients(&loss);
    (scalar(loss), gradients)
}

/// The value of a tensor of one element.
pub(crate) fn scalar(tensor: burn::tensor::Tensor<1>) -> f64 {
    to_f64(tensor.inner().into_data()).first().copied().unwrap_or(f64::NAN)
}

/// Measures a model on one batch, in training mode, without changing it.
///
/// # Errors
/// When the captured buffers do not fit together.
pub fn snapshot(model: &Model, batch: &Samples, step: u64) -> Result<Snapshot, Error> {
    let probes = Probes::new(Keep::Values);
    let (loss, gradients) = loss_and_gradients(model, batch, Some(&probes));
    let seen = probes.take();
    let (ops, _) = capture(model, &gradients, &seen, &model.network.ops, "input", batch.len());
    let capture = Capture::new(batch.len(), ops, loss).map_err(|error| Error::Mismatch(error.to_string()))?;
    Ok(Snapshot::of(&capture, parameter_records(model, &gradients), step))
}

/// Statistics at every joint, in forward order.
pub(crate) fn joint_records(model: &Model, seen: &Seen) -> Vec<JointRecord> {
    let empty = Moments::default;
    let record = |op: &Op| JointRecord {
        name: op.name.clone(),
        activation: seen.forward.get(op.name.as_str()).map_or_else(empty, Kept::moments),
        cotangent: seen.backward.get(op.name.as_str()).map_or_else(empty, Kept::moments),
    };
    model.network.walk().into_iter().map(record).collect()
}

fn parameter_records(model: &Model, gradients: &Gradients) -> Vec<ParameterRecord> {
    let record = |(name, value): (&String, &Value)| ParameterRecord {
        name: name.clone(),
        weight: value_moments(value),
        gradient: gradients.get(name).map_or_else(Moments::default, value_moments),
        update: Moments::default(),
    };
    model.parameters.iter().map(record).collect()
}

/// Moments of a parameter-shaped tensor.
pub(crate) fn value_moments(value: &Value) -> Moments {
    match value {
        Value::Matrix(tensor) => tensor_moments(tensor.clone()),
        Value::Vector(tensor) => tensor_moments(tensor.clone()),
    }
}

fn kept(side: &BTreeMap<Arc<str>, Kept>, joint: &str) -> Values {
    side.get(joint).and_then(Kept::values).cloned().unwrap_or_else(|| Values::from(Vec::<f64>::new()))
}

fn parameter(values: Option<&Value>) -> Values {
    Values::from(values.map(Value::to_f64).unwrap_or_default())
}

/// The operations with their buffers, given the joint that feeds the first one; also the last joint.
fn capture(
    model: &Model,
    gradients: &Gradients,
    seen: &Seen,
    ops: &[Op],
    from: &str,
    batch: usize,
) -> (Vec<OpCapture>, String) {
    let mut before = from.to_string();
    let mut captured = Vec::with_capacity(ops.len());
    for op in ops {
        let named = |parameter: &str| format!("{}.{parameter}", op.name);
        let kind = match &op.kind {
            OpKind::Linear(_) => OpCaptureKind::Linear {
                weight: parameter(model.parameters.get(&named("weight"))),
                weight_gradient: parameter(gradients.get(&named("weight"))),
            },
            OpKind::Activation { activation } => OpCaptureKind::Activation(*activation),
            OpKind::Softmax => OpCaptureKind::Other { weighted: false, states: Vec::new() },
            OpKind::Norm(norm) => OpCaptureKind::Norm {
                norm: norm.norm,
                gamma: parameter(model.parameters.get(&named("gamma"))),
                eps: norm.eps,
            },
            OpKind::Residual(residual) => {
                let joint = branch_joint(&op.name);
                let scale = model.parameters.get(&named("scale")).map(Value::to_f64);
                OpCaptureKind::Residual {
                    scale: scale.and_then(|scale| scale.first().copied()).unwrap_or(residual.scale),
                    branch: capture(model, gradients, seen, &residual.branch, &joint, batch).0,
                    branch_cotangent_in: kept(&seen.backward, &joint),
                }
            }
            OpKind::Convolution(_) | OpKind::Other(_) => unreachable!("no recipe expands to {}", op.name),
        };
        captured.push(OpCapture {
            name: op.name.clone(),
            rows: batch,
            kind,
            input: kept(&seen.forward, &before),
            output: kept(&seen.forward, &op.name),
            cotangent_in: kept(&seen.backward, &before),
            cotangent_out: kept(&seen.backward, &op.name),
        });
        before.clone_from(&op.name);
    }
    (captured, before)
}
