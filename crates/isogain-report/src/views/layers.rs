//! Which recorded operations people call layers, and which parameter belongs to which.

use isogain_core::network::OpKind;

use crate::digest::Digest;

/// Rows of the operations that are layers, in forward order; all recorded ones where the network names none of them.
pub(crate) fn rows(run: &Digest) -> Vec<usize> {
    let is_layer = |kind: &OpKind| match kind {
        OpKind::Linear(_) | OpKind::Convolution(_) | OpKind::Residual(_) => true,
        OpKind::Recurrent(_) | OpKind::Embedding(_) => true,
        OpKind::Other(other) => other.weighted,
        _ => false,
    };
    let ops = &run.overview().header.network.ops;
    let mut found: Vec<usize> =
        ops.iter().filter(|op| is_layer(&op.kind)).filter_map(|op| run.joint_row(&op.name)).collect();
    found.sort_unstable();
    if found.is_empty() { (0..run.joints().len()).collect() } else { found }
}

/// Rows of the weights, in the order of their operations; all parameters where none is called so.
pub(crate) fn weights(run: &Digest) -> Vec<usize> {
    let names = run.parameters().iter().enumerate();
    let mut found: Vec<usize> = names.filter(|(_, name)| name.ends_with("weight")).map(|(row, _)| row).collect();
    if found.is_empty() {
        found = (0..run.parameters().len()).collect();
    }
    // A record may have them by name, fc10 before fc2.
    let place = |row: usize| {
        let (operation, _) = run.parameters()[row].rsplit_once('.')?;
        run.joint_row(operation)
    };
    found.sort_by_key(|&row| place(row).unwrap_or(usize::MAX));
    found
}
