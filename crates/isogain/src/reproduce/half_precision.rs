//! T25: the share of gradients that fp16 rounds to zero, the depth at which a vanishing network gets there, and a loss
//! scale that brings them back (Micikevicius et al. 2018).

use burn::tensor::DType;
use isogain_core::statistics::rounding::to_fp16;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::numerics::{Precision, depth_to_fall, flush_probability};

use super::bench::{Sampler, init, mean, model, pass, phi, rms, stack};
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "half-precision",
    title: "Small gradients are zero in fp16, and a loss scale brings them back",
    source: "Micikevicius et al. 2018; IEEE 754",
    setting: "normal gradients rounded to fp16; ReLU layers of width 400 with PyTorch's initialisation from a gradient of \
              0.001; digits, 5 sigmoid layers under the squared error at a batch of 1024, trained in emulated fp16 without \
              and with a loss scale of 65536, and in f32",
    disproof: None,
    seconds: 40,
    run,
};

const DRAWS: usize = 1_000_000;

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    lab.at(0, 5)?;
    let mut found = Found::default();
    let normals = Sampler::new(0).normals(DRAWS, 1.0);
    let mut measured = Vec::new();
    for power in [-20, -22, -24, -25, -26] {
        let deviation = 2.0_f64.powi(power);
        let zero = normals.iter().filter(|z| to_fp16((*z * deviation) as f32) == 0.0).count() as f64 / DRAWS as f64;
        let theory = flush_probability(deviation, Precision::F16);
        // Three standard errors of a share.
        let tolerance = 3.0 * (theory * (1.0 - theory) / DRAWS as f64).sqrt();
        let what = format!("deviation 2^{power}: share rounded to zero");
        found.rows.push(Row::new(what, zero, Expected::Near { value: theory, tolerance }, Basis::Exact));
        measured.push((f64::from(power), zero));
    }
    let curve = (-320..=-160).map(|at| f64::from(at) * 0.1);
    let curve = curve.map(|power| (power, flush_probability(power.exp2(), Precision::F16))).collect();
    found.figures.push(
        Figure::new(
            "Gradients that fp16 rounds to zero",
            Scale::linear("log2 of their deviation"),
            Scale::linear("share"),
        )
        .with("theory", Mark::Theory, curve)
        .with("measured", Mark::Dots, measured),
    );
    lab.at(1, 5)?;
    found.rows.push(depth()?);
    for (index, (name, run, expected)) in [
        ("f32", "", Expected::Above { limit: 0.9 }),
        ("fp16", "precision = \"fp16\"\n", Expected::Below { limit: 0.2 }),
        (
            "fp16 with a loss scale of 65536",
            "precision = \"fp16\"\nloss_scale = 65536.0\n",
            Expected::Above { limit: 0.9 },
        ),
    ]
    .into_iter()
    .enumerate()
    {
        lab.at(2 + index, 5)?;
        // Cotangents of about 1e-8: the mean over a large batch makes them small, and nothing else is wrong.
        let recipe = format!(
            "[data]\nbatch = 1024\nloss = \"mean-squared-error\"\n[network]\nkind = \"mlp\"\ndepth = 5\nwidth = 64\n\
             activation = \"sigmoid\"\n[optimizer]\nname = \"adam\"\nlearning_rate = 0.01\neps = 1e-30\n[run]\nsteps = \
             300\n{run}"
        );
        let ended = Subject::new(&recipe)?.train(0, lab)?;
        found.claimed(format!("digits, 5 layers in {name}: accuracy"), ended.accuracy, expected);
    }
    Ok(found)
}

/// Layers after which the cotangent's size falls below 2^-25, where fp16 begins to round to zero.
fn depth() -> Result<Row, Error> {
    const WIDTH: usize = 400;
    const DEPTH: usize = 20;
    const NETWORKS: u64 = 5;
    const START: f64 = 1e-3;
    let network = stack(WIDTH, DEPTH, init("pytorch-default", &[])?, phi("relu")?, None);
    let mut logs = vec![Vec::new(); DEPTH];
    for seed in 0..NETWORKS {
        let mut sampler = Sampler::new(seed);
        let inputs = sampler.normals(8 * WIDTH, 1.0);
        let seen =
            pass(&model(&network, seed, DType::F64), &inputs, &sampler.normals(8 * WIDTH, 1.0), Keep::Moments).seen;
        // In steps back from the last layer's output, whose cotangent counts as 0.001.
        for back in 1..=DEPTH {
            let name = if back == DEPTH { "input".to_owned() } else { format!("act{}", DEPTH - back) };
            let last = rms(&seen.backward, &format!("act{DEPTH}"));
            logs[back - 1].push((rms(&seen.backward, &name) / last).ln());
        }
    }
    let logs: Vec<f64> = std::iter::once(0.0).chain(logs.into_iter().map(mean)).collect();
    let floor = (2.0_f64.powi(-25) / START).ln();
    let below = logs.iter().position(|log| *log < floor).unwrap_or(0).max(1);
    let ours = (below - 1) as f64 + (logs[below - 1] - floor) / (logs[below - 1] - logs[below]);
    let theory = depth_to_fall(START, 2.0_f64.powi(-25), 1.0 / 6.0).unwrap_or(f64::NAN);
    let what = "ReLU, PyTorch's initialisation: layers from 0.001 to 2^-25";
    Ok(Row::new(what, ours, Expected::within(theory, 0.02), Basis::Exact))
}
