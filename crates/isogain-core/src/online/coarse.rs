//! A snapshot from statistics alone: sizes in the order of execution, no splits.
//!
//! Which operation feeds which is unknown, and a branch off the main path (a query projection, a gate, an auxiliary
//! head) may have a far smaller cotangent than what flows past it. So a layer counts only if nothing shows that the
//! gradient went around it: where the gradient shrinks on its way back, a layer nearer to the input with a larger
//! cotangent is such a sign; where it grows, a layer nearer to the output.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::describe::{Description, Operation, OperationKind};
use super::{Observed, measured};
use crate::flow::{Flow, Head, Joint};
use crate::network::Network;
use crate::record::{JointRecord, ParameterRecord, Snapshot, StepRecord};
use crate::statistics::Moments;

/// Factor by which a layer's cotangent may fall short of one that the gradient reaches through it.
const SLACK: f64 = 3.0;
/// Factor between the first and the last third of the layers from which on it is called a trend.
const TREND: f64 = 10.0;

/// The last known statistics of everything.
#[derive(Debug, Default)]
pub(super) struct Known {
    joints: BTreeMap<String, JointRecord>,
    parameters: Vec<ParameterRecord>,
    /// Where a parameter stands in `parameters`.
    places: BTreeMap<String, usize>,
}

impl Known {
    /// Takes in what a step measured, and keeps the rest.
    pub(super) fn absorb(&mut self, record: &StepRecord) {
        for joint in &record.joints {
            let known = self.joints.entry(joint.name.clone()).or_insert_with(|| JointRecord {
                name: joint.name.clone(),
                activation: Moments::default(),
                cotangent: Moments::default(),
                detail: None,
            });
            replace(&mut known.activation, &joint.activation);
            replace(&mut known.cotangent, &joint.cotangent);
            known.detail = joint.detail.clone().or_else(|| known.detail.take());
        }
        for parameter in &record.parameters {
            let at = *self.places.entry(parameter.name.clone()).or_insert_with(|| {
                let empty = Moments::default();
                let name = parameter.name.clone();
                self.parameters.push(ParameterRecord { name, weight: empty, gradient: empty, update: empty });
                self.parameters.len() - 1
            });
            let known = &mut self.parameters[at];
            replace(&mut known.weight, &parameter.weight);
            replace(&mut known.update, &parameter.update);
            // A parameter without a gradient at this step is not one with an old gradient.
            known.gradient = parameter.gradient;
        }
    }

    /// The network now, as a snapshot that rules read.
    pub(super) fn snapshot(
        &self,
        description: &Description,
        network: &Network,
        observed: &Observed,
        step: u64,
        loss: f64,
    ) -> Snapshot {
        let joints: Vec<JointRecord> =
            description.operations.iter().filter_map(|operation| self.joints.get(&operation.name).cloned()).collect();
        let batch = description.batch.max(1) * description.passes.max(1);
        let head = network.head().map(|head| network.ops[head].name.clone());
        let flow = flow(description, &joints, head.as_deref(), batch as f64, loss);
        let parameters = self.judged(network, description);
        Snapshot {
            step,
            batch,
            flow,
            units: observed.units.clone(),
            parameters,
            joints,
            sharpness: None,
            shattering: None,
            broken_laws: Vec::new(),
        }
    }

    /// Parameters with their gradients. A gradient that is exactly zero is shown as unknown where something that starts
    /// at zero and has a gradient may be what blocks its way for now (ReZero, adaLN-zero, LoRA, a zero gamma).
    fn judged(&self, network: &Network, description: &Description) -> Vec<ParameterRecord> {
        let zero = |moments: &Moments| moments.count > 0 && moments.zeros == moments.count;
        let is_bias = |name: &str| {
            name.strip_suffix(".bias")
                .is_some_and(|op| description.operations.iter().any(|operation| operation.name == op))
        };
        let opens = self
            .parameters
            .iter()
            .any(|parameter| zero(&parameter.weight) && !zero(&parameter.gradient) && !is_bias(&parameter.name));
        let mut parameters = self.parameters.clone();
        for parameter in &mut parameters {
            // The second call of a module whose first call was cut off, or an expert that no sample chose, is no weight
            // of the network's description either.
            let unknown = parameter.gradient.count == 0;
            if unknown || (opens && zero(&parameter.gradient)) {
                parameter.gradient = Moments::default();
            }
        }
        let ops: HashSet<&str> = network.ops.iter().map(|op| op.name.as_str()).collect();
        parameters.retain(|parameter| {
            let op = parameter.name.strip_suffix(".weight");
            parameter.gradient.count > 0 || !op.is_some_and(|op| ops.contains(op))
        });
        parameters
    }
}

fn replace(known: &mut Moments, new: &Moments) {
    if measured(new) {
        *known = *new;
    }
}

fn flow(description: &Description, joints: &[JointRecord], head: Option<&str>, batch: f64, loss: f64) -> Flow {
    let rms = |moments: &Moments| moments.rms().filter(|_| measured(moments)).unwrap_or(f64::NAN);
    let at_head = joints.iter().position(|joint| Some(joint.name.as_str()) == head).unwrap_or(joints.len());
    // The first of a name, as the description lists them.
    let operations: HashMap<&str, &Operation> =
        description.operations.iter().rev().map(|operation| (operation.name.as_str(), operation)).collect();
    let mut chain: Vec<Joint> = Vec::with_capacity(joints.len());
    for (at, record) in joints.iter().enumerate() {
        let operation = operations.get(record.name.as_str());
        let before = at.checked_sub(1).map(|before| &joints[before].cotangent);
        let reads = operation.is_some_and(|operation| operation.reads_previous);
        let (inside, outside) = (before.filter(|_| reads).map_or(f64::NAN, |c| batch * rms(c)), rms(&record.cotangent));
        let outside = batch * outside;
        let log_gain = (inside / outside).ln();
        chain.push(Joint {
            name: record.name.clone(),
            kind: operation.map_or("other", |operation| kind(&operation.kind)).into(),
            log_gain: log_gain.is_finite().then_some(log_gain),
            split: Vec::new(),
            cotangent_rms: outside,
            cotangent_in_rms: inside,
            activation_rms: rms(&record.activation),
            branch: None,
            states: Vec::new(),
            paths: Vec::new(),
        });
    }
    let ends = chain.split_off(at_head.min(chain.len()));
    let outputs = joints.last();
    let head = Head {
        loss,
        output_rms: outputs.map_or(f64::NAN, |joint| rms(&joint.activation)),
        output_spread_rms: f64::NAN,
        cotangent_rms: outputs.map_or(f64::NAN, |joint| batch * rms(&joint.cotangent)),
        joints: ends,
    };
    let body = if description.is_chain() { chain } else { main_path(chain) };
    Flow {
        total_log_gain: None,
        joints: body,
        head,
        weights: Vec::new(),
        counterfactual: None,
        path_lengths: None,
        jacobian: None,
    }
}

fn kind(kind: &OperationKind) -> &'static str {
    match kind {
        OperationKind::Linear { .. } => "linear",
        OperationKind::Convolution { .. } => "convolution",
        OperationKind::Activation { .. } => "activation",
        OperationKind::Norm { .. } => "norm",
        OperationKind::Other(other) if other.weighted => "module",
        OperationKind::Other(_) => "other",
    }
}

/// The layers that the gradient did not go around, each a linear operation with what ran after it.
///
/// Layers within a branch differ from those at its end by the branch's own gain, which says nothing of the way back. So
/// there must be a trend as well, between the first and the last third of the layers; without one, only the layers that
/// are like the last one are left.
fn main_path(chain: Vec<Joint>) -> Vec<Joint> {
    let mut layers: Vec<Vec<Joint>> = Vec::new();
    // What arrives at or before each layer, through whatever operation: an embedding shows what flows past the branches.
    let (mut arrives, mut most) = (Vec::new(), 0.0_f64);
    for joint in chain {
        most = if joint.cotangent_rms.is_finite() { most.max(joint.cotangent_rms) } else { most };
        match layers.last_mut() {
            Some(layer) if !joint.begins_layer() => layer.push(joint),
            _ => {
                layers.push(vec![joint]);
                arrives.push(most);
            }
        }
    }
    // An embedding of places is shared by all samples, and a cell of its own kind has sizes of its own: only outputs of
    // matrix products are compared with each other.
    let compared = |layer: &[Joint]| {
        matches!(layer[0].kind.as_str(), "linear" | "convolution")
            && layer[0].cotangent_rms.is_finite()
            && layer[0].cotangent_rms > 0.0
    };
    let (layers, arrives): (Vec<_>, Vec<_>) =
        layers.into_iter().zip(arrives).filter(|(layer, _)| compared(layer)).unzip();
    let sizes: Vec<f64> = layers.iter().map(|layer| layer[0].cotangent_rms).collect();
    if sizes.is_empty() {
        return Vec::new();
    }
    let third = sizes.len().div_ceil(3);
    let (first, last) = (middle(&sizes[..third]), middle(&sizes[sizes.len() - third..]));
    let (shrinks, grows) = (first * TREND < last, first > last * TREND);
    // The layer that all others are compared with must be on the path as well: a small one would feign growth.
    let end = (0..sizes.len()).rev().find(|&at| sizes[at] * SLACK >= last).unwrap_or(sizes.len() - 1);
    let kept = |at: usize| {
        at <= end
            && if shrinks {
                arrives[at] <= SLACK * sizes[at]
            } else if grows {
                sizes[at + 1..].iter().all(|other| *other <= SLACK * sizes[at])
            } else {
                (1.0 / SLACK..=SLACK).contains(&(sizes[at] / sizes[end]))
            }
    };
    layers.into_iter().enumerate().filter(|(at, _)| kept(*at)).flat_map(|(_, layer)| layer).collect()
}

fn middle(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
