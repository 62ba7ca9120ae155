//! What rules can say of curves: those that ask for sizes, zeros, what is not finite and the course of the loss, and for
//! nothing of the network.

use crate::network::OpKind;
use crate::online::{Description, LossKind, Observed, Online, Operation, OperationKind};
use crate::record::Run;
use crate::rules::Finding;

/// The findings, in the order in which they were made.
pub(super) fn findings(run: &Run) -> Vec<Finding> {
    let operation = |op: &crate::network::Op| {
        let OpKind::Other(other) = &op.kind else { return None };
        Some(Operation { name: op.name.clone(), kind: OperationKind::Other(other.clone()), reads_previous: false })
    };
    let has_loss = run.steps.iter().any(|step| !step.loss.is_nan());
    let mut online = Online::new(Description {
        operations: run.header.network.ops.iter().filter_map(operation).collect(),
        source: run.header.data.source.clone(),
        loss: if has_loss { LossKind::Other } else { LossKind::Unknown },
        ..Description::default()
    });
    let mut found = Vec::new();
    for step in &run.steps {
        if has_loss {
            online.loss(step.step, step.loss);
        }
        let measured = !step.joints.is_empty() || !step.parameters.is_empty();
        if measured || online.loss_alarms() {
            let record = measured.then(|| step.clone());
            found.extend(online.observe(&Observed { record, loss_scale: 1.0, processes: 1, ..Observed::default() }));
        }
    }
    found
}
