//! From the buffers of one batch to what is kept of them.

use super::{Detail, JointRecord, ParameterRecord, Snapshot, UnitRecord};
use crate::flow::attribute;
use crate::flow::capture::{Capture, OpCapture, OpCaptureKind};
use crate::statistics::unit_statistics;
use crate::theory::activations::Activation;

/// Values of |phi'| below this count as saturated.
const SATURATED_SLOPE: f64 = 0.01;

impl Snapshot {
    /// Takes the chain rule apart and reduces every buffer, `step` optimizer updates after the start.
    pub fn of(capture: &Capture, parameters: Vec<ParameterRecord>, step: u64) -> Self {
        let ops = capture.walk();
        Self {
            step,
            batch: capture.batch(),
            flow: attribute(capture),
            units: ops.iter().filter_map(|op| unit_record(op)).collect(),
            parameters,
            joints: ops.iter().map(|op| joint_record(op, capture.batch())).collect(),
            sharpness: None,
            shattering: None,
            broken_laws: Vec::new(),
        }
    }
}

fn joint_record(op: &OpCapture, batch: usize) -> JointRecord {
    JointRecord {
        name: op.name.clone(),
        activation: op.output.moments(),
        cotangent: op.cotangent_out.moments(),
        detail: spread(op, batch).map(Detail::Spread),
    }
}

/// How much the positions of a sample differ after a residual operation; `None` for others, and without positions.
fn spread(op: &OpCapture, batch: usize) -> Option<f64> {
    let positions = op.rows / batch;
    if positions < 2 || !matches!(op.kind, OpCaptureKind::Residual { .. }) {
        return None;
    }
    let output = op.output.to_f64();
    let features = output.len() / op.rows;
    let (mut apart, mut all) = (0.0, 0.0);
    for sample in output.chunks_exact(positions * features) {
        for feature in 0..features {
            let values = || sample.iter().skip(feature).step_by(features);
            let mean = values().sum::<f64>() / positions as f64;
            apart += values().map(|value| (value - mean) * (value - mean)).sum::<f64>();
            all += values().map(|value| value * value).sum::<f64>();
        }
    }
    (all > 0.0).then(|| (apart / all).sqrt())
}

/// What the units of an activation do; `None` for other operations.
fn unit_record(op: &OpCapture) -> Option<UnitRecord> {
    let OpCaptureKind::Activation(activation) = op.kind else { return None };
    let (input, output) = (op.input.to_f64(), op.output.to_f64());
    let units = output.len() / op.rows.max(1);
    let smooth = activation.kinks().is_empty() || !is_piecewise_linear(activation);
    let saturated = input.iter().filter(|&&z| smooth && activation.derivative(z).abs() < SATURATED_SLOPE).count();
    let mean_square = output.iter().map(|y| y * y).sum::<f64>() / output.len().max(1) as f64;
    // A capture's buffers have whole rows; an empty one has no units to report on.
    let report = unit_statistics(&output, op.rows, units).ok();
    let (dead, duplicates, variance) = report.map_or((0, 0, 0.0), |report| {
        let variances = report.variance.iter().flatten();
        let variance = variances.sum::<f64>() / units.max(1) as f64;
        (report.dead_count(), report.duplicate_count(), variance)
    });
    Some(UnitRecord {
        name: op.name.clone(),
        units,
        dead: dead as usize,
        duplicates: duplicates as usize,
        saturated_fraction: saturated as f64 / input.len().max(1) as f64,
        signal_fraction: if mean_square > 0.0 { (variance / mean_square).clamp(0.0, 1.0) } else { 0.0 },
    })
}

/// Whether phi' takes the same value at all points between kinks: such an activation is dead or alive, not saturated.
fn is_piecewise_linear(activation: Activation) -> bool {
    [(-3.0, -2.5), (0.2, 0.7), (2.5, 3.0)].iter().all(|&(a, b)| activation.derivative(a) == activation.derivative(b))
}
