//! One batch with full tensors at hand: the chain rule taken apart, what single units do, and every parameter.

use std::collections::BTreeMap;
use std::sync::Arc;

use isogain_core::flow::Values;
use isogain_core::flow::attribute;
use isogain_core::flow::capture::{Capture, OpCapture, OpCaptureKind};
use isogain_core::network::{Op, OpKind};
use isogain_core::record::{JointRecord, ParameterRecord, Snapshot, UnitRecord};
use isogain_core::statistics::{Moments, unit_statistics};
use isogain_core::theory::activations::Activation;

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
    let (ops, _) = capture(model, &gradients, &seen, &model.network.ops, "input");
    let capture = Capture::new(batch.len(), ops, loss).map_err(|error| Error::Mismatch(error.to_string()))?;
    Ok(Snapshot {
        step,
        batch: batch.len(),
        flow: attribute(&capture),
        units: unit_records(model, batch.len(), &seen),
        parameters: parameter_records(model, &gradients),
        joints: joint_records(model, &seen),
        sharpness: None,
    })
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
fn capture(model: &Model, gradients: &Gradients, seen: &Seen, ops: &[Op], from: &str) -> (Vec<OpCapture>, String) {
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
                    branch: capture(model, gradients, seen, &residual.branch, &joint).0,
                    branch_cotangent_in: kept(&seen.backward, &joint),
                }
            }
        };
        captured.push(OpCapture {
            name: op.name.clone(),
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

/// Values of |phi'| below this count as saturated.
const SATURATED_SLOPE: f64 = 0.01;

fn unit_records(model: &Model, batch: usize, seen: &Seen) -> Vec<UnitRecord> {
    let mut records = Vec::new();
    unit_records_of(&model.network.ops, "input", batch, seen, &mut records);
    records
}

fn unit_records_of(ops: &[Op], from: &str, batch: usize, seen: &Seen, records: &mut Vec<UnitRecord>) {
    let mut before = from.to_string();
    for op in ops {
        match &op.kind {
            OpKind::Activation { activation } => {
                let (input, output) = (kept(&seen.forward, &before), kept(&seen.forward, &op.name));
                records.push(unit_record(&op.name, *activation, batch, &input.to_f64(), &output.to_f64()));
            }
            OpKind::Residual(residual) => {
                unit_records_of(&residual.branch, &branch_joint(&op.name), batch, seen, records);
            }
            OpKind::Linear(_) | OpKind::Norm(_) => {}
        }
        before.clone_from(&op.name);
    }
}

fn unit_record(name: &str, activation: Activation, batch: usize, input: &[f64], output: &[f64]) -> UnitRecord {
    let units = output.len() / batch.max(1);
    let smooth = activation.kinks().is_empty() || !is_piecewise_linear(activation);
    let saturated = input.iter().filter(|&&z| smooth && activation.derivative(z).abs() < SATURATED_SLOPE).count();
    let mean_square = output.iter().map(|y| y * y).sum::<f64>() / output.len().max(1) as f64;
    // The buffer came whole from a probe, so its length fits; an empty one has no units to report on.
    let report = unit_statistics(output, batch, units).ok();
    let (dead, duplicates, variance) = report.map_or((0, 0, 0.0), |report| {
        let variances = report.variance.iter().flatten();
        let variance = variances.sum::<f64>() / units.max(1) as f64;
        (report.dead_count(), report.duplicate_count(), variance)
    });
    UnitRecord {
        name: name.into(),
        units,
        dead: dead as usize,
        duplicates: duplicates as usize,
        saturated_fraction: saturated as f64 / input.len().max(1) as f64,
        signal_fraction: if mean_square > 0.0 { (variance / mean_square).clamp(0.0, 1.0) } else { 0.0 },
    }
}

/// Whether phi' takes the same value at all points between kinks: such an activation is dead or alive, not saturated.
fn is_piecewise_linear(activation: Activation) -> bool {
    [(-3.0, -2.5), (0.2, 0.7), (2.5, 3.0)].iter().all(|&(a, b)| activation.derivative(a) == activation.derivative(b))
}
