//! Randomized asymmetric initialisation: in each unit one number among its weights and its bias, drawn at random, is
//! positive, from Beta(2, 1); all others are N(0, 0.6007^2 / fan_in) (Lu et al. 2019, and the authors' code). A narrow deep
//! ReLU network is then far less likely to be born dead, where all units of a layer are zero for every input.

use super::super::sampling::{standard_normal, uniform};
use super::{Entry, Layer, PLAIN};

pub(super) static ENTRY: Entry = Entry {
    name: "randomized-asymmetric",
    weight_variance: variance,
    bias_variance: variance,
    weight_mean: mean,
    bias_mean: mean,
    draw_all: Some(draw),
    ..PLAIN
};

/// Deviation of the symmetric numbers times the root of fan_in.
const SYMMETRIC: f64 = 0.6007;

/// How likely a number is the positive one.
fn share(layer: &Layer) -> f64 {
    1.0 / (layer.fan_in + 1.0)
}

/// Beta(2, 1) has the mean 2/3.
fn mean(layer: &Layer) -> f64 {
    share(layer) * 2.0 / 3.0
}

/// Beta(2, 1) has the mean square 1/2.
fn variance(layer: &Layer) -> f64 {
    let share = share(layer);
    (1.0 - share) * SYMMETRIC * SYMMETRIC / layer.fan_in + share * 0.5 - mean(layer).powi(2)
}

fn draw(layer: &Layer, rng: &mut super::ChaCha8Rng) -> (Vec<f64>, Vec<f64>) {
    let (rows, columns) = (layer.fan_in as usize, layer.fan_out as usize);
    let deviation = SYMMETRIC / layer.fan_in.sqrt();
    let mut weight: Vec<f64> = (0..rows * columns).map(|_| deviation * standard_normal(rng)).collect();
    let mut bias: Vec<f64> = (0..columns).map(|_| deviation * standard_normal(rng)).collect();
    for (unit, bias) in bias.iter_mut().enumerate() {
        let chosen = (uniform(rng) * (rows + 1) as f64) as usize;
        // Its distribution function is x^2.
        let positive = uniform(rng).sqrt();
        match weight.get_mut(chosen * columns + unit).filter(|_| chosen < rows) {
            Some(weight) => *weight = positive,
            None => *bias = positive,
        }
    }
    (weight, bias)
}
