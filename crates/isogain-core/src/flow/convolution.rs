//! A convolution as a linear map: every patch through the same matrix, and its transpose.

use std::cell::OnceCell;

use super::Values;
use super::capture::OpCapture;
use super::map::Map;
use crate::matmul::{product, transpose};
use crate::network::Window;

/// The weight and where each patch lies; of one sample after the other, since all patches at once are `taps` times the input.
pub(super) struct Patches {
    /// Positions of the input under each tap of each position of the output; `None` in the padding.
    under: Vec<Option<usize>>,
    /// `[taps x channels in, channels out]`.
    weight: Vec<f64>,
    transposed: OnceCell<Vec<f64>>,
    /// Positions of one sample's input and output.
    positions: [usize; 2],
    /// Channels in and out.
    channels: [usize; 2],
}

impl Patches {
    pub(super) fn of(weight: &Values, window: Window, op: &OpCapture) -> Self {
        let positions = [window.grid, window.output()].map(|grid| grid.iter().product());
        let channels_out = op.output.len() / op.rows.max(1);
        Self {
            under: window.patches(),
            weight: weight.to_f64().into_owned(),
            transposed: OnceCell::new(),
            positions,
            channels: [weight.len() / (window.taps() * channels_out).max(1), channels_out],
        }
    }
}

impl Map for Patches {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        let ([before, after], [channels, channels_out]) = (self.positions, self.channels);
        let fan_in = self.weight.len() / channels_out.max(1);
        let one = |sample: &[f64]| {
            let mut patches = vec![0.0; self.under.len() * channels];
            for (patch, position) in patches.chunks_exact_mut(channels).zip(&self.under) {
                if let Some(position) = position {
                    patch.copy_from_slice(&sample[position * channels..][..channels]);
                }
            }
            product(&patches, &self.weight, [after, fan_in, channels_out])
        };
        u.chunks_exact(before * channels).flat_map(one).collect()
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        let ([before, after], [channels, channels_out]) = (self.positions, self.channels);
        let fan_in = self.weight.len() / channels_out.max(1);
        let transposed = self.transposed.get_or_init(|| transpose(&self.weight, fan_in, channels_out));
        let one = |sample: &[f64]| {
            let patches = product(sample, transposed, [after, channels_out, fan_in]);
            let mut sums = vec![0.0; before * channels];
            for (patch, position) in patches.chunks_exact(channels).zip(&self.under) {
                let Some(position) = position else { continue };
                for (sum, value) in sums[position * channels..][..channels].iter_mut().zip(patch) {
                    *sum += value;
                }
            }
            sums
        };
        g.chunks_exact(after * channels_out).flat_map(one).collect()
    }
}
