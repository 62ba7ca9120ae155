//! What `keras.layers.Dense` does when nobody asks: Glorot uniform weights, zero biases.

use super::{Distribution, Entry, PLAIN};

pub(super) static ENTRY: Entry = Entry {
    name: "keras-default",
    distribution: Distribution::Uniform,
    weight_variance: |layer| 2.0 / (layer.fan_in + layer.fan_out),
    ..PLAIN
};
