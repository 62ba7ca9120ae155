//! T7: over random He-initialised ReLU networks the gradient's size is log-normal, with a mean and a variance that are
//! known exactly (Hanin & Rolnick 2018; Hanin & Nica 2020).

use burn::tensor::DType;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::finite_width::{relu_layer, relu_moment_ratio};

use super::bench::{Sampler, init, mean, model, pass, phi, rms, stack};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "log-normal-gradients",
    title: "Gradients of random networks scatter by a log-normal law that width and depth set",
    source: "Hanin & Rolnick 2018; Hanin & Nica 2020",
    setting: "4000 ReLU networks of 20 layers of width 50, He weights, one input each: ln of the squared length",
    disproof: None,
    seconds: 20,
    run,
};

const WIDTH: usize = 50;
const DEPTH: usize = 20;
const NETWORKS: u64 = 4000;
/// Three standard errors of the mean and of the variance of 4000 normal numbers are 7 % and 7 % here.
const TOLERANCE: f64 = 0.07;

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let network = stack(WIDTH, DEPTH, init("he-normal", &[])?, phi("relu")?, None);
    let unit = [1.0 / (WIDTH as f64).sqrt(); WIDTH];
    let (mut forward, mut backward, mut factors) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..NETWORKS {
        lab.at(seed as usize, NETWORKS as usize)?;
        // Of random direction: a constant cotangent would add up along the positive outputs of a ReLU layer.
        let mut cotangent = Sampler::new(seed).normals(WIDTH, 1.0);
        let length = cotangent.iter().map(|c| c * c).sum::<f64>().sqrt();
        cotangent.iter_mut().for_each(|c| *c /= length);
        let seen = pass(&model(&network, seed, DType::F64), &unit, &cotangent, Keep::Values).seen;
        let log_square = |rms: f64| 2.0 * rms.ln() + (WIDTH as f64).ln();
        let mut before = unit[0];
        for layer in 1..=DEPTH {
            let here = rms(&seen.forward, &format!("act{layer}"));
            factors.push((here / before).powi(2));
            before = here;
        }
        forward.push(log_square(before));
        backward.push(log_square(rms(&seen.backward, "input")));
    }
    let law = relu_layer(WIDTH);
    let (centre, variance) = (DEPTH as f64 * law.mean, DEPTH as f64 * law.variance);
    let mut found = Found::default();
    let mut figure = Figure::new(
        "4000 networks of 20 layers, width 50",
        Scale::linear("ln of the squared length"),
        Scale::linear("share of the networks per unit"),
    );
    for (what, logs) in [("signal", &forward), ("gradient", &backward)] {
        let middle = mean(logs.iter().copied());
        let spread = mean(logs.iter().map(|log| (log - middle).powi(2)));
        for (which, ours, theirs) in [("mean", middle, centre), ("variance", spread, variance)] {
            let what = format!("{which} of ln |{what}|^2");
            found.rows.push(Row::new(what, ours, Expected::within(theirs, TOLERANCE), Basis::Exact));
        }
        figure = figure.with(what, Mark::Line, histogram(logs));
    }
    // Layers are independent, so the ratio of a whole network is the product of the layers'; estimated from whole networks
    // it would hang on the largest of them.
    let (first, second) = (mean(factors.iter().copied()), mean(factors.iter().map(|factor| factor * factor)));
    let ratio = (second / (first * first)).powi(DEPTH as i32);
    let exact = relu_moment_ratio(&[WIDTH; DEPTH]);
    let what = "E|x|^4 / (E|x|^2)^2, from the layers'";
    found.rows.push(Row::new(what, ratio, Expected::within(exact, 0.1), Basis::Exact));
    let density = |x: f64| (-0.5 * (x - centre).powi(2) / variance).exp() / (std::f64::consts::TAU * variance).sqrt();
    let curve = (-120..=80).map(|at| f64::from(at) * 0.05).map(|x| (x, density(x))).collect();
    found.figures.push(figure.with("normal, by theory", Mark::Theory, curve));
    Ok(found)
}

/// Share by interval of a quarter, per unit.
fn histogram(values: &[f64]) -> Vec<(f64, f64)> {
    const PART: f64 = 0.25;
    let mut counts = std::collections::BTreeMap::<i64, usize>::new();
    values.iter().for_each(|value| *counts.entry((value / PART).floor() as i64).or_default() += 1);
    let share = |count: usize| count as f64 / values.len() as f64 / PART;
    counts.into_iter().map(|(at, count)| ((at as f64 + 0.5) * PART, share(count))).collect()
}
