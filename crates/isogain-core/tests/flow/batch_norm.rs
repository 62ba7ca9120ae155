//! T6: batch norm makes the gradient grow by a known factor per layer (Yang et al. 2019), for every batch size.

use isogain_core::flow::profile::Profile;
use isogain_core::network::NormKind;

use crate::support::{Init, act, body_flow, close, mean, stack};

const WIDTH: usize = 500;
const DEPTH: usize = 40;

/// The factor of the summed squared cotangent per layer, geometric mean over 25 interior layers and 3 seeds.
fn factor(function: &str, batch: usize) -> f64 {
    let ops = stack(WIDTH, DEPTH, act(function), Some((NormKind::Batch, 0.0)));
    mean((0..3).map(|seed| {
        let profile = Profile::of(&body_flow(WIDTH, ops.clone(), Init::XAVIER, batch, seed));
        let squared = mean(profile.layers[10..DEPTH - 5].iter().map(|layer| 2.0 * layer.log_gain.unwrap()));
        squared.exp()
    }))
}

#[track_caller]
fn check(function: &str, batch: usize, theory: f64) {
    close(&format!("{function}, batch {batch}"), factor(function, batch), theory, 0.02 * theory);
}

// Linear: (B - 2) / (B - 3).
#[test]
fn linear() {
    check("linear", 8, 1.2);
    check("linear", 32, 1.034483);
}

#[test]
fn relu_small_batches() {
    check("relu", 8, 1.788190);
    check("relu", 16, 1.589950);
    check("relu", 32, 1.521953);
}

#[test]
fn relu_large_batch() {
    check("relu", 128, 1.479681);
}

#[test]
fn tanh() {
    check("tanh", 32, 1.2086);
}
