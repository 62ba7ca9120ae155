//! Ten networks of 20 layers, width and batch 256, against the same networks measured in PyTorch (float64, five seeds):
//! log10 of the total gain and the mean gain of an interior layer, each within three standard deviations over seeds.

use isogain_core::flow::profile::Profile;
use isogain_core::network::{NormKind, Op};

use crate::support::{Init, act, blocks, body_flow, close, mean, stack};

const WIDTH: usize = 256;
const DEPTH: usize = 20;

/// A published mean and its standard deviation over seeds.
type Measured = (f64, f64);

fn check(ops: &[Op], init: Init, total: Measured, interior: Option<Measured>) {
    let flows: Vec<_> = (0..5).map(|seed| body_flow(WIDTH, ops.to_vec(), init, WIDTH, seed)).collect();
    let log10 = mean(flows.iter().map(|flow| flow.total_log_gain.unwrap() / std::f64::consts::LN_10));
    close("log10 total gain", log10, total.0, 3.0 * total.1);
    if let Some(interior) = interior {
        let profiles = flows.iter().map(Profile::of);
        let gain = mean(profiles.map(|profile| {
            assert_eq!(profile.interior(), 2..DEPTH - 2, "interior is layers 3 to 18");
            profile.slope().unwrap().exp()
        }));
        close("interior gain per layer", gain, interior.0, 3.0 * interior.1);
    }
}

fn plain(function: &str) -> Vec<Op> {
    stack(WIDTH, DEPTH, act(function), None)
}

/// N(0, 0.02^2).
fn fixed() -> Init {
    Init::normal(0.02 * 0.02 * WIDTH as f64)
}

#[test]
fn relu_he() {
    check(&plain("relu"), Init::HE, (0.038, 0.036), Some((1.0036, 0.0052)));
}

#[test]
fn sigmoid_glorot() {
    check(&plain("sigmoid"), Init::XAVIER, (-12.606, 0.013), Some((0.2354, 0.0004)));
}

// For the two rows without a published deviation the one of the same activation under Glorot stands in.
#[test]
fn sigmoid_he() {
    check(&plain("sigmoid"), Init::HE, (-10.054, 0.013), None);
}

#[test]
fn sigmoid_fixed() {
    check(&plain("sigmoid"), fixed(), (-22.016, 0.016), Some((0.0793, 0.0001)));
}

#[test]
fn tanh_glorot() {
    check(&plain("tanh"), Init::XAVIER, (-0.731, 0.013), Some((0.9382, 0.0019)));
}

#[test]
fn tanh_he() {
    check(&plain("tanh"), Init::HE, (0.257, 0.013), None);
}

#[test]
fn relu_fixed() {
    check(&plain("relu"), fixed(), (-12.870, 0.036), Some((0.2271, 0.0012)));
}

#[test]
fn relu_he_batch_norm() {
    let ops = stack(WIDTH, DEPTH, act("relu"), Some((NormKind::Batch, 1e-5)));
    check(&ops, Init::HE, (1.425, 0.017), Some((1.2106, 0.0034)));
}

#[test]
fn relu_he_skip() {
    check(&blocks(WIDTH, DEPTH, act("relu"), false, 1.0), Init::HE, (3.617, 0.070), Some((1.5151, 0.0147)));
}

#[test]
fn relu_he_batch_norm_skip() {
    check(&blocks(WIDTH, DEPTH, act("relu"), true, 1.0), Init::HE, (0.651, 0.003), Some((1.0685, 0.0003)));
}
