//! T10: one number, the slope of a leaky ReLU chosen for the depth, lets a plain network of 30 layers learn (Zhang, Botev &
//! Martens 2022).

use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::tailored;

use super::bench::mean;
use super::training::{Ended, Subject};
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "tailored-rescue",
    title: "The slope of a leaky ReLU, chosen for the depth, rescues a plain network of 30 layers",
    source: "Zhang, Botev & Martens 2022, and the tests of their library",
    setting: "slopes by theory; digits, 30 layers of width 64, 1000 steps of SGD, 2 seeds, against ReLU with He weights at \
              the same learning rates",
    disproof: None,
    seconds: 70,
    run,
};

const DEPTH: usize = 30;
const SEEDS: u64 = 2;
/// At 0.02 the tailored network breaks on one of two seeds: gradients that do not vanish make for more curvature.
const RATES: [f64; 3] = [0.0025, 0.005, 0.01];

/// Layers and slope for an output correlation of 0.9, from an independent program.
const SLOPES: [(usize, f64); 5] =
    [(20, 0.18138028), (50, 0.43052295), (101, 0.57220841), (152, 0.63965940), (200, 0.67959964)];

fn train(tailored: bool, rate: f64, seed: u64, lab: &Lab<'_>) -> Result<Ended, Error> {
    let network = if tailored {
        let slope = tailored::slope(DEPTH, tailored::DEFAULT_OUTPUT_CORRELATION);
        format!("activation = {{ name = \"tailored-relu\", slope = {slope} }}\ninit = \"lecun-normal\"")
    } else {
        "activation = \"relu\"\ninit = \"he-normal\"\nhead_init = \"lecun-normal\"".to_owned()
    };
    let recipe = format!(
        "[network]\nkind = \"mlp\"\ndepth = {DEPTH}\nwidth = 64\n{network}\n[optimizer]\nname = \"sgd\"\nlearning_rate = \
         {rate}\n[run]\nsteps = 1000\n"
    );
    Subject::new(&recipe)?.train(seed, lab)
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    for (layers, slope) in SLOPES {
        let ours = tailored::slope(layers, tailored::DEFAULT_OUTPUT_CORRELATION);
        let theirs = Expected::Near { value: slope, tolerance: 1e-8 };
        found.rows.push(Row::new(format!("slope for {layers} layers"), ours, theirs, Basis::Measured));
    }
    let mut figure =
        Figure::new("30 plain layers at 0.01", Scale::linear("step"), Scale::log("loss on the batch, mean of 20"));
    for (index, rate) in RATES.into_iter().enumerate() {
        let mut losses = [Vec::new(), Vec::new()];
        for (which, tailored) in [false, true].into_iter().enumerate() {
            for seed in 0..SEEDS {
                lab.at((2 * index + which) * SEEDS as usize + seed as usize, 2 * RATES.len() * SEEDS as usize)?;
                let ended = train(tailored, rate, seed, lab)?;
                losses[which].push(ended.loss);
                if rate == 0.01 && seed == 0 {
                    let smooth = ended.losses.chunks(20).enumerate();
                    let smooth =
                        smooth.map(|(index, losses)| (index as f64 * 20.0 + 10.0, mean(losses.iter().copied())));
                    let name = if tailored { "tailored leaky ReLU" } else { "ReLU, He" };
                    figure = figure.with(name, Mark::Line, smooth.collect());
                }
            }
        }
        let [he, tailored] = losses.map(mean);
        let what = format!("learning rate {rate}: loss of He-ReLU over that of the tailored one");
        found.rows.push(Row::new(what, he / tailored, Expected::Above { limit: 10.0 }, Basis::Claimed));
    }
    found.figures.push(figure);
    Ok(found)
}
