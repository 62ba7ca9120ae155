//! T14: 200 and 1000 layers without normalisation learn where every branch starts at zero (De & Smith 2020; Bachlechner et
//! al. 2020) or is scaled by 1/sqrt(L); unscaled branches double the signal at each block.

use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::mean;
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "thousand-layers",
    title: "A thousand layers learn without any normalisation, where branches start at zero",
    source: "De & Smith 2020; Bachlechner et al. 2020",
    setting: "digits, blocks x + a W relu(x) of width 64, SGD: loss on the training part",
    disproof: None,
    seconds: 60,
    run,
};

struct Case {
    name: &'static str,
    depth: usize,
    scale: &'static str,
    rest: &'static str,
    steps: usize,
    expected: Expected,
}

const CASES: [Case; 6] = [
    Case {
        name: "200 layers, factor from 0, learned",
        depth: 200,
        scale: "branch_scale = 0.0\nlearnable_scale = true",
        rest: "learning_rate = 0.05",
        steps: 500,
        expected: Expected::Below { limit: 0.01 },
    },
    Case {
        name: "1000 layers, factor from 0, learned, clipped at 1",
        depth: 1000,
        scale: "branch_scale = 0.0\nlearnable_scale = true",
        rest: "learning_rate = 0.01\n[clip]\nkind = \"global-norm\"\nthreshold = 1.0",
        steps: 150,
        expected: Expected::Below { limit: 1.0 },
    },
    // At 0.05 it is a matter of the seed whether it breaks without clipping (one of three does); at 0.2 all do.
    Case {
        name: "1000 layers, the same at 0.2",
        depth: 1000,
        scale: "branch_scale = 0.0\nlearnable_scale = true",
        rest: "learning_rate = 0.2\n[clip]\nkind = \"global-norm\"\nthreshold = 1.0",
        steps: 150,
        expected: Expected::Below { limit: 1.0 },
    },
    Case {
        name: "1000 layers, at 0.2 without clipping",
        depth: 1000,
        scale: "branch_scale = 0.0\nlearnable_scale = true",
        rest: "learning_rate = 0.2",
        steps: 150,
        expected: Expected::Diverges,
    },
    Case {
        name: "30 layers, factor 1/sqrt(L)",
        depth: 30,
        scale: "branch_scale = \"depth\"",
        rest: "learning_rate = 0.05",
        steps: 1000,
        expected: Expected::Below { limit: 0.03 },
    },
    Case {
        name: "30 layers, factor 1",
        depth: 30,
        scale: "branch_scale = 1.0",
        rest: "learning_rate = 0.05",
        steps: 1000,
        expected: Expected::Diverges,
    },
];

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure =
        Figure::new("Loss while training", Scale::linear("step"), Scale::log("loss on the batch, mean of 10"));
    let all: usize = CASES.iter().map(|case| case.depth * case.steps).sum();
    let mut done = 0;
    for case in CASES {
        lab.at(done, all)?;
        let Case { name, depth, scale, rest, steps, expected } = case;
        let recipe = format!(
            "[network]\nkind = \"residual\"\ndepth = {depth}\nwidth = 64\nactivation = \"relu\"\ninit = \"he-normal\"\nhead_init = \
             \"lecun-normal\"\n{scale}\n[optimizer]\nname = \"sgd\"\n{rest}\n[run]\nsteps = {steps}\n"
        );
        let ended = Subject::new(&recipe)?.train(0, lab)?;
        done += depth * steps;
        // A network that broke or fell back to chance has learned nothing: both are what too large a signal does.
        let stuck = !ended.loss.is_finite() || ended.loss > 2.1;
        let loss = if stuck && expected == Expected::Diverges { f64::NAN } else { ended.loss };
        found.rows.push(Row::new(name, loss, expected, Basis::Measured));
        if expected != Expected::Diverges {
            let smooth = ended.losses.chunks(10).enumerate();
            let smooth = smooth.map(|(index, losses)| (index as f64 * 10.0 + 5.0, mean(losses.iter().copied())));
            figure = figure.with(name, Mark::Line, smooth.collect());
        }
    }
    found.figures.push(figure);
    Ok(found)
}
