//! The gradient of an early weight taken apart into every path to the loss, and into one factor for each layer.

use burn::tensor::DType;
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};
use isogain_core::theory::{Activation, Initializer};

use super::bench::{Sampler, init, mean, model, normal, pass, phi, rms, stack, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "chain-product",
    title: "The gradient of an early weight is a product of many factors, so it shrinks or grows exponentially with depth",
    source: "the chain rule; Hochreiter 1991; Bengio, Simard & Frasconi 1994",
    setting: "6 sigmoid layers of width 4, one sample: all 1024 paths from one weight of the first layer to the output, \
              multiplied out; then 30 layers of width 64, 3 networks of each kind: root mean square (rms) of dL/dz by layer",
    disproof: Some(
        "the products of all paths did not add up to the gradient that backpropagation computes, or the gradient \
         fell in equal steps and not by equal factors",
    ),
    seconds: 1,
    run,
};

const WIDTH: usize = 4;
const DEPTH: usize = 6;

/// For the factors of whole layers.
const WIDE: usize = 64;
const DEEP: usize = 30;
const NETWORKS: u64 = 3;

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    lab.at(0, 2)?;
    let mut found = Found::default();
    paths(&mut found)?;
    lab.at(1, 2)?;
    layers(&mut found)?;
    Ok(found)
}

/// The factors of one path, in order from the input to the loss.
fn paths(found: &mut Found) -> Result<(), Error> {
    let sigmoid = phi("sigmoid")?;
    let model = model(&stack(WIDTH, DEPTH, init("glorot-normal", &[])?, sigmoid, None), 0, DType::F64);
    let mut sampler = Sampler::new(0);
    let (inputs, cotangent) = (sampler.normals(WIDTH, 1.0), sampler.normals(WIDTH, 1.0));
    let passed = pass(&model, &inputs, &cotangent, Keep::Values);
    let layer = |layer: usize| -> (Vec<f64>, Vec<f64>) {
        let z = values(&passed.seen.forward, &format!("fc{layer}"));
        let slopes = z.iter().map(|z| sigmoid.derivative(*z)).collect();
        (model.parameters[&format!("fc{layer}.weight")].to_f64(), slopes)
    };
    let layers: Vec<_> = (1..=DEPTH).map(layer).collect();

    let hidden = (DEPTH - 1) as u32;
    let factors = |path: usize| -> Vec<f64> {
        let mut unit = 0;
        let mut factors = vec![inputs[0], layers[0].1[0]];
        for (at, (weight, slopes)) in layers[1..].iter().enumerate() {
            let next = path / WIDTH.pow(at as u32) % WIDTH;
            factors.extend([weight[unit * WIDTH + next], slopes[next]]);
            unit = next;
        }
        factors.push(cotangent[unit]);
        factors
    };
    let mut paths: Vec<Vec<f64>> = (0..WIDTH.pow(hidden)).map(factors).collect();
    let product = |factors: &[f64]| factors.iter().product::<f64>();
    let sum: f64 = paths.iter().map(|factors| product(factors)).sum();
    let gradient = passed.gradients["fc1.weight"].to_f64()[0];
    let what = "sum of the products of all 1024 paths, over the gradient from backpropagation";
    found.exact(what, sum / gradient, Expected::Near { value: 1.0, tolerance: 1e-9 });
    let largest = layers.iter().flat_map(|layer| &layer.1).fold(0.0_f64, |largest, slope| largest.max(*slope));
    found.exact("largest slope of the sigmoid on any path", largest, Expected::Between { low: 0.0, high: 0.25 });

    paths.sort_by(|a, b| product(a).abs().total_cmp(&product(b).abs()));
    let mut figure = Figure::new(
        "One weight's gradient, factor by factor",
        Scale::linear("factors multiplied, from the input to the loss"),
        Scale::log("product so far, without its sign"),
    );
    for (name, at) in [("strongest path", paths.len() - 1), ("middle path", paths.len() / 2), ("weakest path", 0)] {
        let mut so_far = 1.0;
        let points = paths[at].iter().enumerate().map(|(at, factor)| {
            so_far *= factor.abs();
            ((at + 1) as f64, so_far)
        });
        figure = figure.with(name, Mark::Line, points.collect());
    }
    found.figures.push(figure);
    Ok(())
}

/// The logarithm of each layer's gradient over the last one's, mean over networks.
fn profile(init: Initializer, phi: Activation) -> Vec<f64> {
    let network = stack(WIDE, DEEP, init, phi, None);
    let profiles: Vec<Vec<f64>> = (0..NETWORKS)
        .map(|seed| {
            let mut sampler = Sampler::new(seed);
            let (inputs, cotangent) = (sampler.normals(8 * WIDE, 1.0), sampler.normals(8 * WIDE, 1.0));
            let seen = pass(&model(&network, seed, DType::F64), &inputs, &cotangent, Keep::Moments).seen;
            let at = |layer: usize| rms(&seen.backward, &format!("fc{layer}")).ln();
            (1..=DEEP).map(|layer| at(layer) - at(DEEP)).collect()
        })
        .collect();
    (0..DEEP).map(|layer| mean(profiles.iter().map(|profile| profile[layer]))).collect()
}

fn layers(found: &mut Found) -> Result<(), Error> {
    let mut figure = Figure::new(
        "The whole layer's gradient: a straight line is an equal factor at each layer",
        Scale::linear("layer"),
        Scale::log("rms of dL/dz, of the last layer's"),
    );
    let cases = [
        ("sigmoid, Glorot's weights", "sigmoid", init("glorot-normal", &[])?),
        ("ReLU, He's weights", "relu", normal(2.0, 0.0)?),
        ("ReLU, weights twice He's", "relu", normal(8.0, 0.0)?),
    ];
    for (at, (name, function, weights)) in cases.into_iter().enumerate() {
        let logs = profile(weights, phi(function)?);
        let factor = (logs[0] / (DEEP - 1) as f64).exp();
        let what = format!("{name}: mean factor per layer");
        match at {
            0 => found.exact(what, factor, Expected::Between { low: 0.0, high: 0.25 }),
            1 => found.exact(what, factor, Expected::within(1.0, 0.1)),
            _ => found.exact(what, factor, Expected::within(2.0, 0.1)),
        }
        let whole = logs[0].exp();
        let what = format!("{name}: gradient of layer 1 over that of layer {DEEP}");
        match at {
            0 => found.claimed(what, whole, Expected::Below { limit: 1e-9 }),
            1 => found.claimed(what, whole, Expected::Between { low: 0.1, high: 10.0 }),
            _ => found.claimed(what, whole, Expected::Above { limit: 1e6 }),
        }
        let points = logs.iter().enumerate().map(|(layer, log)| ((layer + 1) as f64, log.exp()));
        figure = figure.with(name, Mark::Line, points.collect());
    }
    found.figures.push(figure);
    Ok(())
}
