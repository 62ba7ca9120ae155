//! Glorot (Xavier): Var W = 2 gain^2 / (fan_in + fan_out), a compromise between the forward and the backward pass of
//! a linear net (Glorot and Bengio 2010). ReLU halves signal and gradient per layer under it.

use super::{Distribution, Entry, GAIN, Layer, PLAIN};

pub(super) static NORMAL: Entry =
    Entry { name: "glorot-normal", parameters: &[GAIN], distribution: Distribution::Normal, weight_variance, ..PLAIN };

pub(super) static TRUNCATED: Entry = Entry {
    name: "glorot-truncated",
    distribution: Distribution::TruncatedNormal,
    parameters: &[GAIN],
    weight_variance,
    ..PLAIN
};

pub(super) static UNIFORM: Entry = Entry {
    name: "glorot-uniform",
    distribution: Distribution::Uniform,
    parameters: &[GAIN],
    weight_variance,
    ..PLAIN
};

pub(super) fn weight_variance(layer: &Layer) -> f64 {
    let gain = layer.values[0];
    2.0 * gain * gain / (layer.fan_in + layer.fan_out)
}
