//! Pooling as a linear map, the forward pass being what it was: of the largest value one link from input to output, of a mean
//! one from every value.

use super::capture::OpCapture;
use crate::network::{Pool, PoolKind};

/// One input value's part in one output value.
pub(super) struct Link {
    from: usize,
    to: usize,
    share: f64,
}

/// Every link of a batch.
pub(super) fn links(pool: &Pool, op: &OpCapture) -> Vec<Link> {
    let groups = pool.groups();
    let input = op.input.to_f64();
    let features = op.output.len() / op.rows.max(1);
    let of_value = |to: usize| {
        let (row, feature) = (to / features, to % features);
        let (sample, group) = (row / groups.len(), &groups[row % groups.len()]);
        let from = move |position: &usize| (sample * pool.positions + position) * features + feature;
        let found = match pool.pool {
            // Of equal ones the first, as the way forward has it.
            PoolKind::Max => group
                .iter()
                .map(from)
                .reduce(|best, at| if input[at] > input[best] { at } else { best })
                .into_iter()
                .collect(),
            PoolKind::Average | PoolKind::Last => group.iter().map(from).collect::<Vec<_>>(),
        };
        let share = 1.0 / found.len() as f64;
        found.into_iter().map(move |from| Link { from, to, share })
    };
    (0..op.output.len()).flat_map(of_value).collect()
}

/// J u.
pub(super) fn forth(links: &[Link], op: &OpCapture, u: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; op.output.len()];
    links.iter().for_each(|link| sums[link.to] += link.share * u[link.from]);
    sums
}

/// J^T g.
pub(super) fn back(links: &[Link], op: &OpCapture, g: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; op.input.len()];
    links.iter().for_each(|link| sums[link.from] += link.share * g[link.to]);
    sums
}
