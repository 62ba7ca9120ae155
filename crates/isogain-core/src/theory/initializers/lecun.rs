//! LeCun: Var W = gain^2 / fan_in, which holds the signal where phi has slope 1, and SELU's fixed point (LeCun et al.
//! 1998; Klambauer et al. 2017).

use super::{Distribution, Entry, GAIN, Layer, PLAIN};

pub(super) static NORMAL: Entry =
    Entry { name: "lecun-normal", parameters: &[GAIN], distribution: Distribution::Normal, weight_variance, ..PLAIN };

pub(super) static TRUNCATED: Entry = Entry {
    name: "lecun-truncated",
    distribution: Distribution::TruncatedNormal,
    parameters: &[GAIN],
    weight_variance,
    ..PLAIN
};

pub(super) static UNIFORM: Entry =
    Entry { name: "lecun-uniform", distribution: Distribution::Uniform, parameters: &[GAIN], weight_variance, ..PLAIN };

fn weight_variance(layer: &Layer) -> f64 {
    layer.values[0] * layer.values[0] / layer.fan_in
}
