//! How large the slope of an activation is at the units of a deep network, by layer.

use burn::tensor::DType;
use isogain_core::network::Network;
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};
use isogain_core::theory::Activation;

use super::bench::{Sampler, model, normal, pass, phi, rms, share, stack, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::{Keep, Seen};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "saturation",
    title: "Sigmoid and tanh are flat at both ends; ReLU passes the gradient unchanged on its positive side",
    source: "Glorot & Bengio 2010; Glorot, Bordes & Bengio 2011",
    setting: "50 layers of width 64 without biases, 64 inputs N(0, 1), weights of variance v / 64: slope phi'(z) at every unit \
              and input, in layers 1, 5, 20 and 50, which are the last ones of networks of that depth. Saturated is a slope below \
              a twentieth of the largest",
    disproof: Some(
        "large weights left the slopes of sigmoid and tanh large, or a ReLU unit had a slope other than 0 and 1",
    ),
    seconds: 1,
    run,
};

const WIDTH: usize = 64;
const DEPTH: usize = 50;
const BATCH: usize = 64;
/// The layers that are drawn.
const LAYERS: [usize; 4] = [1, 5, 20, 50];
/// Part of the largest slope below which a unit counts as saturated.
const FLAT: f64 = 0.05;
const BINS: usize = 20;
/// Variances of weights times the fan-in: of Glorot, of weights ten times as large, of He.
const GLOROT: f64 = 1.0;
const LARGE: f64 = 100.0;
const HE: f64 = 2.0;

fn seen(network: &Network) -> Seen {
    let mut sampler = Sampler::new(0);
    let (inputs, cotangent) = (sampler.normals(BATCH * WIDTH, 1.0), sampler.normals(BATCH * WIDTH, 1.0));
    pass(&model(network, 0, DType::F64), &inputs, &cotangent, Keep::Values).seen
}

fn histogram(slopes: &[f64], largest: f64) -> Vec<(f64, f64)> {
    let mut counts = [0_usize; BINS];
    for slope in slopes {
        counts[((slope / largest * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let centre = |bin: usize| (bin as f64 + 0.5) / BINS as f64 * largest;
    counts.iter().enumerate().map(|(bin, count)| (centre(bin), *count as f64 / slopes.len() as f64)).collect()
}

fn slopes(seen: &Seen, phi: Activation, layer: usize) -> Vec<f64> {
    values(&seen.forward, &format!("fc{layer}")).iter().map(|z| phi.derivative(*z)).collect()
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let cases = [
        ("sigmoid", "sigmoid, v = 1 (Glorot)", GLOROT),
        ("sigmoid", "sigmoid, v = 100", LARGE),
        ("tanh", "tanh, v = 1 (Glorot)", GLOROT),
        ("tanh", "tanh, v = 100", LARGE),
        ("relu", "ReLU, v = 2 (He)", HE),
    ];
    for (index, (function, name, variance)) in cases.into_iter().enumerate() {
        lab.at(index, cases.len())?;
        let phi = phi(function)?;
        let seen = seen(&stack(WIDTH, DEPTH, normal(variance, 0.0)?, phi, None));
        let largest = phi.derivative(if function == "relu" { 1.0 } else { 0.0 });
        let all: Vec<f64> = (1..=DEPTH).flat_map(|layer| slopes(&seen, phi, layer)).collect();
        if function == "relu" {
            let other = share(&all, |slope| slope != 0.0 && slope != 1.0);
            found.exact(format!("{name}: share of slopes other than 0 and 1"), other, Expected::within(0.0, 0.0));
            let open = share(&all, |slope| slope == 1.0);
            found.claimed(format!("{name}: share of slopes of 1"), open, Expected::Near { value: 0.5, tolerance: 0.1 });
        } else {
            let flat = share(&all, |slope| slope < FLAT * largest);
            let expected =
                if variance == LARGE { Expected::Above { limit: 0.4 } } else { Expected::Below { limit: 0.02 } };
            found.claimed(format!("{name}: share of units that are saturated"), flat, expected);
        }
        if variance == LARGE {
            let z: Vec<f64> = (1..=DEPTH).flat_map(|layer| values(&seen.forward, &format!("fc{layer}"))).collect();
            let flat: Vec<f64> = z.into_iter().filter(|z| phi.derivative(*z) < FLAT * largest).collect();
            let upper = share(&flat, |z| z > 0.0);
            let what = format!("{name}: share of these at the upper end");
            found.claimed(what, upper, Expected::Near { value: 0.5, tolerance: 0.1 });
        }
        if variance == GLOROT || variance == HE {
            let last = |depth: usize| rms(&seen.backward, &format!("fc{}", DEPTH - depth + 1));
            let vanished = last(DEPTH) / last(1);
            let what = format!("{name}: gradient of layer 1 over that of layer {DEPTH}");
            let expected = match function {
                "sigmoid" => Expected::Below { limit: 1e-25 },
                _ => Expected::Between { low: 0.01, high: 100.0 },
            };
            found.claimed(what, vanished, expected);
        }
        let figure = Figure::new(&format!("Slopes: {name}"), Scale::linear("phi'(z)"), Scale::linear("share of units"));
        let draw = |figure: Figure, layer: usize| {
            figure.with(format!("layer {layer}"), Mark::Line, histogram(&slopes(&seen, phi, layer), largest))
        };
        found.figures.push(LAYERS.into_iter().fold(figure, draw));
    }
    found.notes.push(
        "Saturation is not what makes the gradient of a sigmoid network with Glorot's weights vanish: no unit is saturated there, \
         but its slope is at most a quarter, at every layer. With large weights the units are saturated at both ends."
            .to_owned(),
    );
    Ok(found)
}
