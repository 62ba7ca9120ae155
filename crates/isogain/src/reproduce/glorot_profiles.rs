//! T16: the networks of Glorot & Bengio 2010, figures 6 and 7: with uniform weights within 1/sqrt(n) outputs and gradients
//! shrink from layer to layer, with their normalised initialisation they stay level.

use burn::tensor::DType;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::Initializer;
use isogain_core::theory::mean_field::MeanField;
use isogain_core::weights::singular_values;

use super::bench::{Sampler, init, mean, model, pass, phi, rms, stack};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "glorot-profiles",
    title: "Glorot's initialisation keeps outputs and gradients of a tanh network level; the one before it did not",
    source: "Glorot & Bengio 2010",
    setting: "5 tanh layers of width 1000, inputs N(0, 1), batch 100, against mean-field theory",
    disproof: None,
    seconds: 10,
    run,
};

const WIDTH: usize = 1000;
const DEPTH: usize = 5;
const BATCH: usize = 100;
const TOLERANCE: f64 = 0.02;
/// For the singular values, which need no such width.
const SMALL: usize = 400;

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let tanh = phi("tanh")?;
    let mut found = Found::default();
    let mut figure =
        Figure::new("Gradient by layer", Scale::linear("layer"), Scale::linear("rms dL/dz, of the last layer's"));
    // U(+-1/sqrt(n)), and U(+-sqrt(6/(n + n))).
    let standard = init("lecun-uniform", &[("gain", 3.0_f64.sqrt().recip())])?;
    let normalised = init("glorot-uniform", &[])?;
    for (index, (name, weights)) in [("standard", standard), ("normalised", normalised)].into_iter().enumerate() {
        lab.at(index, 2)?;
        let weight_variance = WIDTH as f64 * weights.weight_variance(WIDTH, WIDTH, tanh);
        let theory = MeanField { activation: tanh, weight_variance, bias_variance: 0.0 };
        let variances = theory.trajectory(weight_variance, DEPTH);

        let model = model(&stack(WIDTH, DEPTH, weights, tanh, None), 0, DType::F64);
        let mut sampler = Sampler::new(0);
        let inputs = sampler.normals(BATCH * WIDTH, 1.0);
        let seen = pass(&model, &inputs, &sampler.normals(BATCH * WIDTH, 1.0), Keep::Moments).seen;
        let gradient = |layer: usize| rms(&seen.backward, &format!("fc{layer}")) / rms(&seen.backward, "fc5");
        for layer in 1..=DEPTH {
            let output = rms(&seen.forward, &format!("act{layer}"));
            let expected = (theory.length_map(variances[layer - 1]) / weight_variance).sqrt();
            let what = format!("{name}, layer {layer}: rms of the output");
            found.rows.push(Row::new(what, output, Expected::within(expected, TOLERANCE), Basis::Exact));
        }
        for layer in 1..DEPTH {
            let expected: f64 = variances[layer - 1..DEPTH - 1].iter().map(|q| theory.chi(*q).sqrt()).product();
            let what = format!("{name}, layer {layer}: gradient over that of layer 5");
            found.rows.push(Row::new(what, gradient(layer), Expected::within(expected, TOLERANCE), Basis::Exact));
        }
        // Of a square random matrix: 8/(3 pi) of the root of the mean square.
        let expected = 8.0 / (3.0 * std::f64::consts::PI) * weight_variance.sqrt();
        let what = format!("{name}: mean singular value of a layer at the origin");
        found.rows.push(Row::new(
            what,
            mean_singular_value(weights)?,
            Expected::within(expected, TOLERANCE),
            Basis::Exact,
        ));
        figure = figure.with(name, Mark::Line, (1..=DEPTH).map(|layer| (layer as f64, gradient(layer))).collect());
    }
    found.figures.push(figure);
    Ok(found)
}

fn mean_singular_value(weights: Initializer) -> Result<f64, Error> {
    let drawn = model(&stack(SMALL, 1, weights, phi("tanh")?, None), 0, DType::F64);
    let weight = drawn.parameters["fc1.weight"].to_f64();
    Ok(mean(singular_values(&weight, SMALL, SMALL)))
}
