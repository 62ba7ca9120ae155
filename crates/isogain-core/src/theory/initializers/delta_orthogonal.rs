//! Delta-orthogonal: a convolution whose patch is zero but for its middle, which is an orthogonal matrix times a gain
//! (Xiao et al. 2018). Every position then passes signal and gradient on as an orthogonal layer does, edges included, so
//! that a plain convolutional network has the isometry of a fully connected one. A linear layer starts orthogonal.

use super::{Distribution, Entry, GAIN, Layer, PLAIN};

pub(super) static ENTRY: Entry = Entry {
    name: "delta-orthogonal",
    parameters: &[GAIN],
    distribution: Distribution::Orthogonal,
    weight_variance,
    draw: Some(draw),
    ..PLAIN
};

/// Over all taps, most of which are zero.
fn weight_variance(layer: &Layer) -> f64 {
    middle_variance(layer) / layer.taps as f64
}

fn middle_variance(layer: &Layer) -> f64 {
    let channels = layer.fan_in / layer.taps as f64;
    layer.values[0] * layer.values[0] / channels.max(layer.fan_out)
}

fn draw(layer: &Layer, rng: &mut super::ChaCha8Rng) -> Vec<f64> {
    let (channels, fan_out) = (layer.fan_in as usize / layer.taps, layer.fan_out as usize);
    let middle = Distribution::Orthogonal.matrix(channels, fan_out, middle_variance(layer).sqrt(), rng);
    let mut weight = vec![0.0; layer.taps * channels * fan_out];
    // An even patch has no middle; the tap after it is as good.
    weight[layer.taps / 2 * channels * fan_out..][..middle.len()].copy_from_slice(&middle);
    weight
}
