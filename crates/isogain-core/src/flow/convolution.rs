//! A convolution as a linear map: every patch through the same matrix, and its transpose.

use super::Values;
use super::capture::OpCapture;
use super::map::Map;
use super::matrix::Matrix;
use crate::network::Window;

/// The weight and where each patch lies; of one sample after the other, since all patches at once are `taps` times the input.
pub(super) struct Patches {
    /// Positions of the input under each tap of each position of the output; `None` in the padding.
    under: Vec<Option<usize>>,
    /// Of each group of channels its weight, `[taps x channels in, channels out]`.
    weights: Vec<Matrix>,
    /// The same of all groups, tap by tap.
    of_taps: Vec<f64>,
    /// Positions of one sample's input and output.
    positions: [usize; 2],
    /// Channels in and out of one group.
    channels: [usize; 2],
}

impl Patches {
    pub(super) fn of(weight: &Values, window: Window, op: &OpCapture) -> Self {
        let positions = [window.grid, window.output()].map(|grid| grid.iter().product::<usize>());
        let samples = op.rows / positions[1].max(1);
        let channels_out = op.output.len() / op.rows.max(1);
        let channels = weight.len() / (window.taps() * channels_out).max(1);
        let groups = (op.input.len() / (samples * positions[0] * channels).max(1)).max(1);
        let of_group = channels_out / groups;
        let weight = weight.to_f64();
        let of = |group: usize| Matrix::new(columns(&weight, channels_out, group * of_group, of_group), of_group);
        let weights = (0..groups).map(of).collect();
        let channels = [channels, of_group];
        let of_taps = weight.into_owned();
        Self { under: window.patches(), weights, of_taps, positions, channels }
    }

    fn fan_in(&self) -> usize {
        self.weights[0].rows()
    }

    /// Channels in and out of all groups.
    fn all_channels(&self) -> [usize; 2] {
        self.channels.map(|channels| channels * self.weights.len())
    }
}

/// Some of the columns of a matrix with rows of `width`.
fn columns(matrix: &[f64], width: usize, from: usize, count: usize) -> Vec<f64> {
    if count == width {
        return matrix.to_vec();
    }
    matrix.chunks_exact(width).flat_map(|row| &row[from..from + count]).copied().collect()
}

impl Patches {
    /// Whether each channel is a group by itself (a depthwise convolution), so that its products are those of rows.
    fn is_depthwise(&self) -> bool {
        self.channels == [1, 1] && self.weights.len() > 1
    }

    /// What each position of one sample's output does with each of the input under its taps: the weights of the tap, then the
    /// first value of either in their rows of channels.
    fn links(&self) -> impl Iterator<Item = (&[f64], [usize; 2])> {
        let (width, taps) = (self.weights.len(), self.fan_in());
        let link = move |(index, position): (usize, &Option<usize>)| {
            let weights = &self.of_taps[index % taps * width..][..width];
            Some((weights, [index / taps * width, (*position)? * width]))
        };
        self.under.iter().enumerate().filter_map(link)
    }
}

/// Adds the products of two rows to a third.
fn add_products(sums: &mut [f64], one: &[f64], other: &[f64]) {
    for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
        *sum += one * other;
    }
}

impl Map for Patches {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        let ([before, after], [channels, of_group]) = (self.positions, self.channels);
        let [all, all_out] = self.all_channels();
        let one = |sample: &[f64]| {
            let mut output = vec![0.0; after * all_out];
            if self.is_depthwise() {
                for (weights, [to, from]) in self.links() {
                    add_products(&mut output[to..][..all], weights, &sample[from..]);
                }
                return output;
            }
            for (group, weight) in self.weights.iter().enumerate() {
                let mut patches = vec![0.0; self.under.len() * channels];
                for (patch, position) in patches.chunks_exact_mut(channels).zip(&self.under) {
                    if let Some(position) = position {
                        patch.copy_from_slice(&sample[position * all + group * channels..][..channels]);
                    }
                }
                let values = weight.forth(&patches);
                for (row, values) in output.chunks_exact_mut(all_out).zip(values.chunks_exact(of_group)) {
                    row[group * of_group..][..of_group].copy_from_slice(values);
                }
            }
            output
        };
        u.chunks_exact(before * all).map(one).collect::<Vec<_>>().concat()
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        let ([before, after], [channels, of_group]) = (self.positions, self.channels);
        let [all, all_out] = self.all_channels();
        let one = |sample: &[f64]| {
            let mut sums = vec![0.0; before * all];
            if self.is_depthwise() {
                for (weights, [from, to]) in self.links() {
                    add_products(&mut sums[to..][..all], weights, &sample[from..]);
                }
                return sums;
            }
            for (group, weight) in self.weights.iter().enumerate() {
                let of_this = columns(sample, all_out, group * of_group, of_group);
                let patches = weight.back(&of_this);
                for (patch, position) in patches.chunks_exact(channels).zip(&self.under) {
                    let Some(position) = position else { continue };
                    let sums = &mut sums[position * all + group * channels..][..channels];
                    for (sum, value) in sums.iter_mut().zip(patch) {
                        *sum += value;
                    }
                }
            }
            sums
        };
        g.chunks_exact(after * all_out).map(one).collect::<Vec<_>>().concat()
    }
}
