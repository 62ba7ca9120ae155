//! T7: in a He-initialised ReLU network without biases, ln|x_L|^2 and ln|g_0|^2 for one input are sums of independent
//! terms of known law (Hanin & Rolnick 2018, Hanin & Nica 2020).

use isogain_core::flow::attribute;
use isogain_core::flow::reference::{Targets, run};
use isogain_core::network::Loss;

use crate::support::{Init, Sampler, act, close, dot, every_joint, mean, network, parameters, stack};

const WIDTH: usize = 50;
const DEPTH: usize = 20;
const NETWORKS: u64 = 4000;
/// Exact mean and variance of one layer's term at width 50.
const MEAN: f64 = -0.05173878;
const VARIANCE: f64 = 0.10816813;

#[test]
fn log_norms_have_the_exact_mean_and_variance() {
    let network = network(WIDTH, WIDTH, Loss::MeanSquaredError, stack(WIDTH, DEPTH, act("relu"), None));
    let unit = vec![1.0 / (WIDTH as f64).sqrt(); WIDTH];
    let (mut forward, mut backward, mut factors) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..NETWORKS {
        let mut sampler = Sampler::new(seed);
        let parameters = parameters(&network, Init::HE, &mut sampler);
        // Of random direction: a constant cotangent would add up along the positive outputs of a ReLU layer.
        let mut cotangent = sampler.normals(WIDTH, 1.0);
        let norm = dot(&cotangent, &cotangent).sqrt();
        cotangent.iter_mut().for_each(|c| *c /= norm);
        let pass = run(&network, &parameters, &unit, &Targets::Cotangent(cotangent)).unwrap();
        let flow = attribute(&pass.capture);
        let joints = every_joint(&flow);
        let mut before = 1.0 / (WIDTH as f64).sqrt();
        for joint in joints.iter().filter(|joint| joint.kind == "activation") {
            factors.push((joint.activation_rms / before).powi(2));
            before = joint.activation_rms;
        }
        let log_square = |rms: f64| 2.0 * rms.ln() + (WIDTH as f64).ln();
        forward.push(log_square(joints[joints.len() - 1].activation_rms));
        backward.push(log_square(joints[0].cotangent_in_rms));
    }
    let (expected_mean, expected_variance) = (DEPTH as f64 * MEAN, DEPTH as f64 * VARIANCE);
    for (what, logs) in [("|x_L|^2", &forward), ("|g_0|^2", &backward)] {
        let centre = mean(logs.iter().copied());
        close(&format!("mean ln {what}"), centre, expected_mean, 0.05 * expected_mean.abs());
        let variance = mean(logs.iter().map(|log| (log - centre).powi(2)));
        close(&format!("variance of ln {what}"), variance, expected_variance, 0.05 * expected_variance);
    }
    // E|x_L|^4 / (E|x_L|^2)^2 = (1 + 5/n)^L, exactly. Layers are independent, so it is the product of the layers' ratios;
    // estimated from the whole network it would hang on the largest of the 4000 values.
    let first = mean(factors.iter().copied());
    let second = mean(factors.iter().map(|factor| factor * factor));
    close("mean factor of a layer", first, 1.0, 0.005);
    let exact = (1.0 + 5.0 / WIDTH as f64).powi(DEPTH as i32);
    close("fourth moment ratio", (second / (first * first)).powi(DEPTH as i32), exact, 0.1 * exact);
}
