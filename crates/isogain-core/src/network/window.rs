//! Operations on a grid: which positions of the input each position of the output reads.

use serde::{Deserialize, Serialize};

/// The patches that an operation on a grid reads. A sequence is a grid of height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Height and width of the input's grid.
    pub grid: [usize; 2],
    /// Height and width of a patch.
    pub size: [usize; 2],
    /// Positions from one patch to the next.
    pub stride: [usize; 2],
    /// Rows and columns added on every side (of zeros; left out by pooling).
    pub padding: [usize; 2],
    /// Positions from one tap of a patch to the next: 1 where they are neighbours.
    #[serde(default = "Window::of_neighbours", skip_serializing_if = "Window::is_of_neighbours")]
    pub dilation: [usize; 2],
}

impl Window {
    /// The dilation of taps that are neighbours.
    pub const fn of_neighbours() -> [usize; 2] {
        [1, 1]
    }

    fn is_of_neighbours(dilation: &[usize; 2]) -> bool {
        *dilation == Self::of_neighbours()
    }

    /// Positions of one patch.
    pub fn taps(&self) -> usize {
        self.size.iter().product()
    }

    /// Height and width of the output's grid: patches that fit.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let length = self.grid[axis] + 2 * self.padding[axis];
            // From the first tap of a patch to the last.
            let reach = self.size[axis].saturating_sub(1).saturating_mul(self.dilation[axis]) + 1;
            length.checked_sub(reach).map_or(0, |rest| rest / self.stride[axis] + 1)
        })
    }

    /// For each position of the output, the positions of the input under its taps: rows of the patch, columns of the patch;
    /// `None` in the padding. `taps` of them for each.
    pub fn patches(&self) -> Vec<Option<usize>> {
        let Self { grid, size, stride, padding, dilation } = *self;
        let along = |axis: usize, at: usize, tap: usize| {
            (at * stride[axis] + tap * dilation[axis]).checked_sub(padding[axis]).filter(|&at| at < grid[axis])
        };
        let [height, width] = self.output();
        let outputs = (0..height).flat_map(|y| (0..width).map(move |x| [y, x]));
        let taps = || (0..size[0]).flat_map(|row| (0..size[1]).map(move |column| [row, column]));
        let under =
            |at: [usize; 2], tap: [usize; 2]| Some(along(0, at[0], tap[0])? * grid[1] + along(1, at[1], tap[1])?);
        outputs.flat_map(|at| taps().map(move |tap| under(at, tap))).collect()
    }
}

/// Many positions become fewer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// What stands for the values of a patch.
    pub pool: PoolKind,
    /// Which patches; all positions become one without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Positions of the input.
    pub positions: usize,
}

/// What stands for the values of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// The largest; cotangents go to it alone.
    Max,
    /// The mean.
    Average,
    /// The last one; without patches only.
    Last,
}

impl Pool {
    /// For each position of the output, the positions of the input that it stands for.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        match self.window {
            Some(window) => {
                let patches = window.patches();
                patches.chunks(window.taps().max(1)).map(|patch| patch.iter().flatten().copied().collect()).collect()
            }
            None if self.pool == PoolKind::Last => vec![vec![self.positions - 1]],
            None => vec![(0..self.positions).collect()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_leave_the_padding_out() {
        let dilation = Window::of_neighbours();
        let window = Window { grid: [2, 3], size: [2, 2], stride: [1, 2], padding: [0, 1], dilation };
        assert_eq!(window.output(), [1, 2]);
        let under = [[None, Some(0), None, Some(3)], [Some(1), Some(2), Some(4), Some(5)]];
        assert_eq!(window.patches(), under.as_flattened());
        let apart = Window { grid: [1, 6], size: [1, 3], stride: [1, 1], padding: [0, 1], dilation: [5, 2] };
        assert_eq!(apart.output(), [1, 4]);
        assert_eq!(apart.patches()[..6], [None, Some(1), Some(3), Some(0), Some(2), Some(4)]);
        let groups = |pool, window| Pool { pool, window, positions: 6 }.groups();
        assert_eq!(groups(PoolKind::Max, Some(window)), [vec![0, 3], vec![1, 2, 4, 5]]);
        assert_eq!(groups(PoolKind::Average, None), [vec![0, 1, 2, 3, 4, 5]]);
        assert_eq!(groups(PoolKind::Last, None), [vec![5]]);
    }
}
