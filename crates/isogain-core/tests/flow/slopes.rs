//! T3 and T28: slopes of random networks against mean-field theory (Poole et al. 2016, Schoenholz et al. 2017).

use isogain_core::flow::profile::Profile;
use isogain_core::theory::activations::Activation;

use crate::support::{Init, act, body_flow, close, mean, stack};

const WIDTH: usize = 500;
/// Over 20 layers the slope of one network of this width wanders by 3 % of Keras' slope.
const SEEDS: u64 = 6;

/// E f(sqrt(q) Z) for a standard normal Z, by the trapezoidal rule.
fn gaussian(q: f64, f: impl Fn(f64) -> f64) -> f64 {
    const STEPS: i32 = 40_000;
    let step = 20.0 / f64::from(STEPS);
    let density = |z: f64| (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    (0..=STEPS).map(|i| f64::from(i) * step - 10.0).map(|z| step * density(z) * f(q.sqrt() * z)).sum()
}

/// 1/2 ln chi at the fixed point of the length map.
fn theory(function: Activation, init: Init) -> f64 {
    let mut q = 1.0;
    for _ in 0..200 {
        q = init.weight * gaussian(q, |z| function.value(z).powi(2)) + init.bias;
    }
    0.5 * (init.weight * gaussian(q, |z| function.derivative(z).powi(2))).ln()
}

/// Slope of ln rms(dL/dz) per layer, from layer 25 back to layer 5 of 30, on average over networks.
fn measured(function: Activation, init: Init, width: usize) -> f64 {
    mean((0..SEEDS).map(|seed| {
        let flow = body_flow(width, stack(width, 30, function, None), init, 32, seed);
        let layers = Profile::of(&flow).layers;
        (layers[4].cotangent_rms / layers[24].cotangent_rms).ln() / 20.0
    }))
}

fn check(function: &str, init: Init, published: Option<f64>) {
    let function = act(function);
    let theory = theory(function, init);
    if let Some(published) = published {
        close("theory", theory, published, 1e-3);
    }
    close(function.name(), measured(function, init, WIDTH), theory, 0.02 * theory.abs());
}

/// Weight variance 1/(3 fan_in) and bias variance 1/3; normal, because a bias this large shapes the pre-activation, which
/// the theory takes to be Gaussian.
const THIRD: Init = Init { weight: 1.0 / 3.0, bias: 1.0 / 3.0, uniform: false };

#[test]
fn relu() {
    check("relu", THIRD, Some(-0.8959));
}

#[test]
fn tanh() {
    check("tanh", THIRD, Some(-0.7825));
}

#[test]
fn sigmoid() {
    check("sigmoid", THIRD, Some(-2.0213));
}

#[test]
fn gelu() {
    check("gelu", THIRD, Some(-1.0251));
}

/// Keras: Glorot weights, zero biases.
#[test]
fn relu_keras() {
    check("relu", Init { weight: 1.0, bias: 0.0, uniform: true }, Some(-0.3466));
}

// PyTorch draws biases within 1/sqrt(fan_in) too: variance 1/(3 fan_in), which is almost none. ReLU does not notice.
#[test]
fn pytorch_relu() {
    check("relu", Init::pytorch(WIDTH), Some(-0.8959));
}

#[test]
fn pytorch_tanh() {
    check("tanh", Init::pytorch(WIDTH), None);
}

#[test]
fn pytorch_sigmoid() {
    check("sigmoid", Init::pytorch(WIDTH), None);
}

#[test]
fn pytorch_gelu() {
    check("gelu", Init::pytorch(WIDTH), None);
}

/// T28: SELU with PyTorch's recommended gain 3/4, as measured in pytorch/pytorch#50664, over 100 layers.
#[test]
fn selu_with_gain_three_quarters() {
    let init = Init::normal(0.75 * 0.75);
    let networks: Vec<_> = (0..4)
        .map(|seed| Profile::of(&body_flow(WIDTH, stack(WIDTH, 100, act("selu"), None), init, 16, seed)).layers)
        .collect();
    for (layer, rms) in [(1, 0.7975), (11, 0.3126), (21, 0.2412)] {
        let found = mean(networks.iter().map(|layers| layers[layer - 1].activation_rms.powi(2))).sqrt();
        close(&format!("output of layer {layer}"), found, rms, 0.03 * rms);
    }
    let late = networks.iter().flat_map(|layers| &layers[40..90]);
    close("gain per layer", mean(late.map(|layer| layer.log_gain.unwrap())).exp(), 1.0018, 0.005);
}
