//! Arms of a spiral in the plane, one class each, with some noise across: two numbers that no line separates.

use isogain_core::network::Shape;
use rand_chacha::ChaCha8Rng;

use super::{normal, uniform};
use crate::table::{Scaling, Table, Values, Wanted};

/// Angle from the centre to the end of an arm, radians.
const TURN: f64 = 4.0;
/// Deviation of the angle; arms of many classes are closer, and so is their noise.
const NOISE: f64 = 0.2;
const FEWEST_ARMS: f64 = 3.0;

pub(super) fn table(samples: usize, arms: usize, generator: &mut ChaCha8Rng) -> Table {
    let noise = NOISE * (FEWEST_ARMS / arms as f64).min(1.0);
    let mut inputs = Vec::with_capacity(samples * 2);
    let mut labels = Vec::with_capacity(samples);
    for sample in 0..samples {
        let arm = sample % arms;
        let radius = 1.0 - uniform(generator);
        let angle = TURN * radius + std::f64::consts::TAU * arm as f64 / arms as f64 + noise * normal(generator);
        inputs.extend([radius * angle.cos(), radius * angle.sin()]);
        labels.push(arm as u32);
    }
    Table {
        shape: Shape::vector(2),
        values: Values::Numbers(inputs),
        wanted: Wanted::Labels { labels, classes: arms, each: 1 },
        scaling: Scaling::Never,
    }
}
