//! T28: what the gains of `torch.nn.init.calculate_gain` really do over many layers: SELU's 3/4 is critical by luck, tanh's
//! 5/3 explodes, and He's gain lets GELU and SiLU die.

use burn::tensor::DType;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::mean_field::MeanField;

use super::bench::{Sampler, init, model, pass, phi, rms, stack};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "gain-audit",
    title: "PyTorch's gains over a hundred layers: SELU's holds, tanh's explodes, GELU and SiLU die with He's",
    source: "PyTorch, pull request 50664 and the documentation of calculate_gain",
    setting: "width 1000, normal weights of gain^2/n, inputs N(0, 1), batch 16, one network",
    disproof: None,
    seconds: 40,
    run,
};

const WIDTH: usize = 1000;
const BATCH: usize = 16;

/// What the pull request printed for SELU: layer, deviation of the output. Past these layers its single network is off
/// by more than 3 %.
const PUBLISHED: [(usize, f64); 3] = [(1, 0.7968), (11, 0.3127), (21, 0.2404)];

struct Profile {
    /// Rms of each layer's output.
    outputs: Vec<f64>,
    /// Rms of each layer's dL/dz.
    gradients: Vec<f64>,
}

fn profile(function: &str, gain: f64, depth: usize) -> Result<Profile, Error> {
    let network = stack(WIDTH, depth, init("glorot-normal", &[("gain", gain)])?, phi(function)?, None);
    let model = model(&network, 0, DType::F32);
    let mut sampler = Sampler::new(0);
    let inputs = sampler.normals(BATCH * WIDTH, 1.0);
    let seen = pass(&model, &inputs, &sampler.normals(BATCH * WIDTH, 1.0), Keep::Moments).seen;
    Ok(Profile {
        outputs: (1..=depth).map(|layer| rms(&seen.forward, &format!("act{layer}"))).collect(),
        gradients: (1..=depth).map(|layer| rms(&seen.backward, &format!("fc{layer}"))).collect(),
    })
}

/// Product of sqrt(chi) from the first layer's dL/dz to the last's, by mean-field theory.
fn theory(function: &str, gain: f64, depth: usize) -> Result<(Vec<f64>, f64), Error> {
    let theory = MeanField { activation: phi(function)?, weight_variance: gain * gain, bias_variance: 0.0 };
    let variances = theory.trajectory(gain * gain, depth + 1);
    let outputs = variances[1..].iter().map(|q| q.sqrt() / gain).collect();
    Ok((outputs, variances[..depth - 1].iter().map(|q| theory.chi(*q).sqrt()).product()))
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    lab.at(0, 4)?;
    let selu = profile("selu", 0.75, 100)?;
    let (outputs, _) = theory("selu", 0.75, 100)?;
    for (layer, published) in PUBLISHED {
        let what = format!("SELU, gain 3/4, layer {layer}: rms of the output");
        let ours = selu.outputs[layer - 1];
        found.rows.push(Row::new(&what, ours, Expected::within(published, 0.03), Basis::Published));
        found.rows.push(Row::new(what, ours, Expected::within(outputs[layer - 1], 0.03), Basis::Exact));
    }
    let by_layer =
        |values: &[f64]| values.iter().enumerate().map(|(at, rms)| ((at + 1) as f64, *rms)).collect::<Vec<_>>();
    let mut figure =
        Figure::new("Gradient by layer", Scale::linear("layer"), Scale::log("rms dL/dz, of the last layer's"));
    for (index, (name, function, gain, depth)) in [
        ("SELU, gain 3/4", "selu", 0.75, 100),
        ("tanh, gain 5/3", "tanh", 5.0 / 3.0, 100),
        ("GELU, gain sqrt 2", "gelu", std::f64::consts::SQRT_2, 50),
        ("SiLU, gain sqrt 2", "silu", std::f64::consts::SQRT_2, 50),
    ]
    .into_iter()
    .enumerate()
    {
        lab.at(index, 4)?;
        let profile = profile(function, gain, depth)?;
        let (_, total) = theory(function, gain, depth)?;
        let ours = profile.gradients[0] / profile.gradients[depth - 1];
        let what = format!("{name}: ln of the gradient's change over {depth} layers");
        // One network of this width: each layer's squared gain scatters by some 5/1000, of which half the root counts.
        let tolerance = 3.0 * 0.5 * (5.0 * depth as f64 / WIDTH as f64).sqrt();
        found.rows.push(Row::new(what, ours.ln(), Expected::Near { value: total.ln(), tolerance }, Basis::Exact));
        let relative: Vec<f64> = profile.gradients.iter().map(|rms| rms / profile.gradients[depth - 1]).collect();
        figure = figure.with(name, Mark::Line, by_layer(&relative));
    }
    found.figures.push(figure);
    Ok(found)
}
