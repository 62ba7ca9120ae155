//! T3: what the initialisations that nobody asked for do to a deep network: PyTorch's U(+-1/sqrt(n)) and Keras' Glorot.
//!
//! Theory follows the variances layer by layer; PyTorch's biases have a variance of 1/(3 n), which fades with the width.

use burn::tensor::DType;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::mean_field::MeanField;

use super::bench::{Sampler, init, mean, model, pass, phi, rms, slope, stack};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "default-init",
    title: "The default initialisations of PyTorch and Keras make deep gradients vanish at a known rate",
    source: "PyTorch's and Keras' own code; Schoenholz et al. 2017",
    setting: "30 layers of width 1000, inputs N(0, 1), 2 networks: slope of ln rms dL/dz per layer over layers 5 to 25",
    disproof: None,
    seconds: 30,
    run,
};

const WIDTH: usize = 1000;
const DEPTH: usize = 30;
const LAYERS: std::ops::RangeInclusive<usize> = 5..=25;
const NETWORKS: u64 = 2;
const BATCH: usize = 16;
const TOLERANCE: f64 = 0.02;

const CASES: [(&str, &str, &str); 6] = [
    ("PyTorch", "pytorch-default", "relu"),
    ("PyTorch", "pytorch-default", "tanh"),
    ("PyTorch", "pytorch-default", "sigmoid"),
    ("PyTorch", "pytorch-default", "gelu"),
    ("Keras", "keras-default", "relu"),
    ("Keras", "keras-default", "sigmoid"),
];

/// Mean of ln sqrt(chi) over the layers between the two ends, each at its own variance of pre-activations.
fn theory(initializer: &str, function: &str) -> Result<f64, Error> {
    let (init, activation) = (init(initializer, &[])?, phi(function)?);
    let weight_variance = WIDTH as f64 * init.weight_variance(WIDTH, WIDTH, activation);
    let theory = MeanField { activation, weight_variance, bias_variance: init.bias_variance(WIDTH, activation) };
    let variances = theory.trajectory(weight_variance + theory.bias_variance, DEPTH);
    let gain = |layer: usize| 0.5 * theory.chi(variances[layer - 1]).ln();
    // dL/dz of layer l follows from that of layer l + 1 through the slopes of layer l.
    Ok(mean((*LAYERS.start()..*LAYERS.end()).map(gain)))
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure =
        Figure::new("Gradient by layer", Scale::linear("layer"), Scale::log("rms of dL/dz, of the last layer's"));
    for (index, (library, initializer, function)) in CASES.into_iter().enumerate() {
        let mut logs = vec![0.0; DEPTH];
        for seed in 0..NETWORKS {
            lab.at(index * NETWORKS as usize + seed as usize, CASES.len() * NETWORKS as usize)?;
            // In f64: a sigmoid network's cotangents leave the range of f32.
            let model = model(&stack(WIDTH, DEPTH, init(initializer, &[])?, phi(function)?, None), seed, DType::F64);
            let mut sampler = Sampler::new(seed);
            let inputs = sampler.normals(BATCH * WIDTH, 1.0);
            let seen = pass(&model, &inputs, &sampler.normals(BATCH * WIDTH, 1.0), Keep::Moments).seen;
            for (layer, log) in (1..=DEPTH).zip(&mut logs) {
                *log += rms(&seen.backward, &format!("fc{layer}")).ln() / NETWORKS as f64;
            }
        }
        let points: Vec<(f64, f64)> = LAYERS.map(|layer| (layer as f64, logs[layer - 1])).collect();
        let what = format!("{library}, {function}");
        let theirs = Expected::within(-theory(initializer, function)?, TOLERANCE);
        found.rows.push(Row::new(&what, slope(&points), theirs, Basis::Exact));
        let line = logs.iter().enumerate().map(|(at, log)| ((at + 1) as f64, (log - logs[DEPTH - 1]).exp()));
        figure = figure.with(what, Mark::Line, line.collect());
    }
    found.figures.push(figure);
    Ok(found)
}
