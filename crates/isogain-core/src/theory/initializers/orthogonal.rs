//! Orthonormal rows or columns, whichever are fewer, times a gain: an isometry, so that a linear net of any depth
//! passes signal and gradient unchanged (Saxe et al. 2014).

use super::{Distribution, Entry, GAIN, Layer, PLAIN};

pub(super) static ENTRY: Entry =
    Entry { name: "orthogonal", parameters: &[GAIN], distribution: Distribution::Orthogonal, weight_variance, ..PLAIN };

/// Each of the min(fan_in, fan_out) orthonormal vectors spreads its length 1 over max(fan_in, fan_out) entries.
pub(super) fn weight_variance(layer: &Layer) -> f64 {
    layer.values[0] * layer.values[0] / layer.fan_in.max(layer.fan_out)
}
