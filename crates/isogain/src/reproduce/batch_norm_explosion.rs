//! T6, T18: batch norm makes the gradient of a plain network grow by a known factor per layer, for every batch size (Yang
//! et al. 2019); with a batch of two the gradient is exactly zero.

use burn::tensor::DType;
use isogain_core::network::NormKind;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::batch_norm::gradient_factor;

use super::bench::{Sampler, mean, model, normal, pass, phi, rms, stack};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "batch-norm-explosion",
    title: "Batch norm makes the gradient of a plain network explode by a known factor",
    source: "Yang et al. 2019",
    setting: "40 layers of width 500 with batch norm, eps 0, 3 networks: factor of the squared gradient per layer over 25 \
              layers",
    disproof: None,
    seconds: 20,
    run,
};

const WIDTH: usize = 500;
const DEPTH: usize = 40;
/// The layers whose cotangents are compared: away from the input and from the random cotangent at the end.
const LAYERS: [usize; 2] = [10, 35];
const NETWORKS: u64 = 3;
const TOLERANCE: f64 = 0.02;

const CASES: [(&str, usize); 8] =
    [("linear", 8), ("linear", 32), ("relu", 4), ("relu", 8), ("relu", 16), ("relu", 32), ("relu", 128), ("tanh", 32)];

/// Squared factor per layer, and the last cotangent behind a norm over the one it came from.
fn measure(function: &str, batch: usize, seed: u64) -> Result<(f64, f64), Error> {
    let phi = phi(function)?;
    let network = stack(WIDTH, DEPTH, normal(1.0, 0.0)?, phi, Some(NormKind::Batch));
    let model = model(&network, seed, DType::F64);
    let mut sampler = Sampler::new(seed);
    let (inputs, cotangent) = (sampler.normals(batch * WIDTH, 1.0), sampler.normals(batch * WIDTH, 1.0));
    let seen = pass(&model, &inputs, &cotangent, Keep::Moments).seen;
    let at = |name: &str, layer: usize| rms(&seen.backward, &format!("{name}{layer}"));
    let [from, to] = LAYERS;
    let factor = (2.0 * (at("fc", from).ln() - at("fc", to).ln()) / (to - from) as f64).exp();
    Ok((factor, at("fc", DEPTH) / at("norm", DEPTH)))
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut measured = Vec::new();
    for (index, (function, batch)) in CASES.into_iter().enumerate() {
        let mut logs = Vec::new();
        for seed in 0..NETWORKS {
            lab.at(index * NETWORKS as usize + seed as usize, CASES.len() * NETWORKS as usize)?;
            logs.push(measure(function, batch, seed)?.0.ln());
        }
        let factor = mean(logs).exp();
        let theory = gradient_factor(phi(function)?, batch);
        // At a batch of four the squared gain of a unit, 1 over a chi-squared of three degrees, has no variance: three
        // networks tell its mean to a tenth.
        let tolerance = if batch == 4 { 0.1 } else { TOLERANCE };
        let what = format!("{function}, batch {batch}");
        found.rows.push(Row::new(what, factor, Expected::within(theory, tolerance), Basis::Exact));
        if function == "relu" {
            measured.push((batch as f64, factor));
        }
    }
    // Two samples are normalised to plus and minus one, whatever they are.
    let (_, rest) = measure("relu", 2, 0)?;
    let what = "relu, batch 2: part of the gradient that comes through one norm";
    found.rows.push(Row::new(what, rest, Expected::Below { limit: 1e-12 }, Basis::Exact));

    let relu = phi("relu")?;
    let theory = (4..=128).map(|batch| (batch as f64, gradient_factor(relu, batch))).collect();
    found.figures.push(
        Figure::new("Squared gradient per layer, ReLU", Scale::log("batch size"), Scale::linear("factor"))
            .with("theory", Mark::Theory, theory)
            .with("measured", Mark::Dots, measured),
    );
    Ok(found)
}
