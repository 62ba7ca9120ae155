//! T15: how much a first step of Adam changes each layer's output, by width. With standard parametrisation the change grows
//! with the width; with muP it does not, so that a learning rate found on a narrow network suits a wide one (Yang et al.
//! 2021).

use burn::tensor::DType;
use isogain_core::network::Shape;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::{Sampler, activation, init, linear, mean, model, network, normal, pass, phi, set, slope, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::model::Model;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "width-transfer",
    title: "With muP a step changes a wide network as much as a narrow one",
    source: "Yang et al. 2021",
    setting: "3 hidden ReLU layers, widths 64 to 2048, 4 networks, one step of Adam (the gradient's sign) of 0.001: exponent \
              of the width in the rms change of each layer's output",
    disproof: None,
    seconds: 40,
    run,
};

const WIDTHS: [usize; 6] = [64, 128, 256, 512, 1024, 2048];
const NETWORKS: u64 = 4;
const INPUTS: usize = 16;
const BATCH: usize = 32;
const RATE: f64 = 1e-3;
/// The width at which both parametrisations take the same step.
const BASE: f64 = 64.0;
const TOLERANCE: f64 = 0.1;

/// Where the change is measured.
const LAYERS: [&str; 4] = ["act1", "act2", "act3", "head"];

/// Exponents of an independent program.
const STANDARD: [f64; 4] = [-0.003, 0.905, 0.904, 1.364];

fn build(width: usize, mup: bool, seed: u64) -> Result<Model, Error> {
    let (he, relu) = (init("he-normal", &[])?, phi("relu")?);
    let head = normal(if mup { 1.0 / width as f64 } else { 1.0 }, 0.0)?;
    let mut ops = vec![linear("fc1", [INPUTS, width], normal(1.0, 0.0)?, phi("linear")?), activation("act1", relu)];
    for layer in 2..=3 {
        ops.push(linear(format!("fc{layer}"), [width, width], he, relu));
        ops.push(activation(format!("act{layer}"), relu));
    }
    ops.push(linear("head", [width, 1], head, relu));
    Ok(model(&network(Shape::vector(INPUTS), 1, ops), seed, DType::F64))
}

/// Rms change of each layer's output by one step.
fn changes(width: usize, mup: bool, seed: u64) -> Result<Vec<f64>, Error> {
    let mut model = build(width, mup, seed)?;
    let mut sampler = Sampler::new(seed);
    let (inputs, targets) = (sampler.normals(BATCH * INPUTS, 1.0), sampler.normals(BATCH, 1.0));
    let zeros = [0.0; BATCH];
    let answers = pass(&model, &inputs, &zeros, Keep::Moments).outputs;
    let cotangent: Vec<f64> = answers.iter().zip(&targets).map(|(y, t)| (y - t) / BATCH as f64).collect();
    let before = pass(&model, &inputs, &cotangent, Keep::Values);
    for name in ["fc1", "fc2", "fc3", "head"] {
        let name = format!("{name}.weight");
        let rate = if mup && name != "fc1.weight" { RATE * BASE / width as f64 } else { RATE };
        let gradient = before.gradients[name.as_str()].to_f64();
        let weight = model.parameters[name.as_str()].to_f64();
        let sign = |g: f64| if g == 0.0 { 0.0 } else { g.signum() };
        let moved: Vec<f64> = weight.iter().zip(gradient).map(|(w, g)| w - rate * sign(g)).collect();
        set(&mut model, &name, &moved);
    }
    let after = pass(&model, &inputs, &zeros, Keep::Values);
    let change = |joint: &str| {
        let (before, after) = (values(&before.seen.forward, joint), values(&after.seen.forward, joint));
        mean(before.iter().zip(&after).map(|(before, after)| (after - before).powi(2))).sqrt()
    };
    Ok(LAYERS.iter().map(|joint| change(joint)).collect())
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure =
        Figure::new("Change of the output by one step", Scale::log("width"), Scale::log("rms change of the output"));
    let mut done = 0;
    for (name, mup) in [("standard", false), ("muP", true)] {
        let mut by_layer = vec![Vec::new(); LAYERS.len()];
        for width in WIDTHS {
            let mut sums = vec![0.0; LAYERS.len()];
            for seed in 0..NETWORKS {
                lab.at(done, 2 * NETWORKS as usize * WIDTHS.iter().sum::<usize>())?;
                let found = changes(width, mup, seed)?;
                sums.iter_mut().zip(found).for_each(|(sum, change)| *sum += change / NETWORKS as f64);
                done += width;
            }
            for (points, change) in by_layer.iter_mut().zip(sums) {
                points.push(((width as f64).ln(), change.ln()));
            }
        }
        for (layer, points) in by_layer.iter().enumerate() {
            let what = format!("{name}, {}: exponent of the width", LAYERS[layer]);
            let (value, basis) = if mup { (0.0, Basis::Exact) } else { (STANDARD[layer], Basis::Measured) };
            found.rows.push(Row::new(what, slope(points), Expected::Near { value, tolerance: TOLERANCE }, basis));
        }
        let head = by_layer[3].iter().map(|(width, change)| (width.exp(), change.exp())).collect();
        figure = figure.with(name, Mark::Line, head);
    }
    found.figures.push(figure);
    Ok(found)
}
