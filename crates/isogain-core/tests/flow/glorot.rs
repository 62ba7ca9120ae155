//! T16: the network of Glorot & Bengio 2010, figures 6 and 7: five tanh layers of width 1000, by mean-field theory.

use crate::support::{Init, Sampler, act, close, every_joint, network, parameters, random_pass, stack};
use isogain_core::flow::attribute;
use isogain_core::network::Loss;

const WIDTH: usize = 1000;
const DEPTH: usize = 5;

/// RMS of each layer's output, and of dL/dz relative to the last layer's, within 2 %.
fn check(weight: f64, outputs: [f64; DEPTH], cotangents: [f64; DEPTH]) {
    let network = network(WIDTH, WIDTH, Loss::MeanSquaredError, stack(WIDTH, DEPTH, act("tanh"), None));
    let mut sampler = Sampler::new(0);
    let init = Init { weight, bias: 0.0, uniform: true };
    let parameters = parameters(&network, init, &mut sampler);
    let flow = attribute(&random_pass(&network, &parameters, 100, &mut sampler).capture);
    let joints = every_joint(&flow);
    let last = joints[2 * DEPTH - 2].cotangent_rms;
    for layer in 0..DEPTH {
        let (linear, activation) = (joints[2 * layer], joints[2 * layer + 1]);
        let (output, cotangent) = (outputs[layer], cotangents[layer]);
        close(&activation.name, activation.activation_rms, output, 0.02 * output);
        close(&linear.name, linear.cotangent_rms / last, cotangent, 0.02 * cotangent);
    }
}

#[test]
fn standard_initialisation() {
    check(1.0 / 3.0, [0.4603, 0.2495, 0.1412, 0.08099, 0.04666], [0.08319, 0.1764, 0.32468, 0.57359, 1.0]);
}

#[test]
fn normalised_initialisation() {
    check(1.0, [0.62793, 0.48626, 0.40824, 0.35764, 0.32162], [0.40983, 0.60139, 0.75377, 0.88421, 1.0]);
}
