//! He (Kaiming): Var W = gain^2 2 / fan_in, which undoes the zero half of ReLU (He et al. 2015).
//!
//! For a leaky ReLU of slope a it is 2 / ((1 + a^2) fan_in), equation 15 there, of which a linear layer is the case
//! a = 1. Every other activation is treated as a ReLU, as in common use: right for none of them (GELU and SiLU die
//! slowly; see [`super::quadrature_gain`]).

use super::{Distribution, Entry, GAIN, Layer, PLAIN};

pub(super) static NORMAL: Entry =
    Entry { name: "he-normal", parameters: &[GAIN], distribution: Distribution::Normal, weight_variance, ..PLAIN };

pub(super) static TRUNCATED: Entry = Entry {
    name: "he-truncated",
    distribution: Distribution::TruncatedNormal,
    parameters: &[GAIN],
    weight_variance,
    ..PLAIN
};

pub(super) static UNIFORM: Entry =
    Entry { name: "he-uniform", distribution: Distribution::Uniform, parameters: &[GAIN], weight_variance, ..PLAIN };

fn weight_variance(layer: &Layer) -> f64 {
    let gain = layer.values[0];
    let (below, above) = layer.activation.slopes().unwrap_or((0.0, 1.0));
    2.0 * gain * gain / ((below * below + above * above) * layer.fan_in)
}
