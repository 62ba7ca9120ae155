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

/// Rows of the weights; all parameters where none is called so.
pub(crate) fn weights(run: &Digest) -> Vec<usize> {
    let names = run.parameters().iter().enumerate();
    let found: Vec<usize> = names.filter(|(_, name)| name.ends_with("weight")).map(|(row, _)| row).collect();
    if found.is_empty() { (0..run.parameters().len()).collect() } else { found }
}
