//! Pooling as a linear map, the forward pass being what it was: of the largest value one link from input to output, of a mean
//! one from every value.

use super::capture::OpCapture;
use super::map::Map;
use crate::network::{Pool, PoolKind};

/// One input value's part in one output value.
struct Link {
    from: usize,
    to: usize,
    share: f64,
}

/// Every link of a batch.
pub(super) struct Links {
    links: Vec<Link>,
    /// Values of the input and of the output.
    values: [usize; 2],
}

impl Links {
    pub(super) fn of(pool: &Pool, op: &OpCapture) -> Self {
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
        let links = (0..op.output.len()).flat_map(of_value).collect();
        Self { links, values: [op.input.len(), op.output.len()] }
    }
}

impl Map for Links {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.values[1]];
        self.links.iter().for_each(|link| sums[link.to] += link.share * u[link.from]);
        sums
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.values[0]];
        self.links.iter().for_each(|link| sums[link.from] += link.share * g[link.to]);
        sums
    }
}
