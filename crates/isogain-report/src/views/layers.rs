//! Which recorded operations people call layers, and which parameter belongs to which.

use std::collections::BTreeSet;

use isogain_core::network::OpKind;

use crate::chart::spaced;
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

/// What there is room to draw: of more than `most` recorded operations those that are layers, which is what is chosen in
/// other views; of more layers, evenly spaced ones.
pub(crate) fn drawn<T>(run: &Digest, mut all: Vec<T>, most: usize, name: impl Fn(&T) -> &str) -> Vec<T> {
    if all.len() > most {
        let names: BTreeSet<&str> = rows(run).iter().map(|&row| run.joints()[row].as_str()).collect();
        all.retain(|one| names.contains(name(one)));
    }
    let kept: BTreeSet<usize> = spaced(all.len(), most).into_iter().collect();
    all.into_iter().enumerate().filter(|(index, _)| kept.contains(index)).map(|(_, one)| one).collect()
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
