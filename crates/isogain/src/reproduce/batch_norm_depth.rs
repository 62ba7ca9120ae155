//! T6 with training: the depth at which plain networks with batch norm stop learning, and skips that undo it (Yang et al.
//! 2019).

use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::mean;
use super::training::{Ended, Subject};
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "batch-norm-depth",
    title: "With batch norm alone 80 layers learn nothing; with skips they learn everything",
    source: "Yang et al. 2019",
    setting: "digits, width 64, batch 64, momentum 0.9, learning rate 0.01, 500 steps, 2 seeds: accuracy on the training \
              batches of the last 50 steps' network",
    disproof: None,
    seconds: 60,
    run,
};

const SEEDS: u64 = 2;

struct Case {
    name: &'static str,
    kind: &'static str,
    activation: &'static str,
    init: &'static str,
    depth: usize,
    expected: Expected,
}

/// Accuracies: learned, on the way, at chance (0.10).
const LEARNED: Expected = Expected::Above { limit: 0.9 };
const HALF_WAY: Expected = Expected::Between { low: 0.2, high: 0.9 };
const STUCK: Expected = Expected::Below { limit: 0.2 };

const CASES: [Case; 6] = [
    Case { name: "plain", kind: "mlp", activation: "relu", init: "he-normal", depth: 20, expected: LEARNED },
    Case { name: "plain", kind: "mlp", activation: "relu", init: "he-normal", depth: 40, expected: HALF_WAY },
    Case { name: "plain", kind: "mlp", activation: "relu", init: "he-normal", depth: 80, expected: STUCK },
    Case { name: "plain", kind: "mlp", activation: "tanh", init: "lecun-normal", depth: 40, expected: LEARNED },
    Case { name: "plain", kind: "mlp", activation: "tanh", init: "lecun-normal", depth: 80, expected: HALF_WAY },
    Case { name: "with skips", kind: "residual", activation: "relu", init: "he-normal", depth: 80, expected: LEARNED },
];

impl Case {
    fn train(&self, seed: u64, lab: &Lab<'_>) -> Result<Ended, Error> {
        let Self { kind, activation, init, depth, .. } = self;
        let recipe = format!(
            "[network]\nkind = \"{kind}\"\ndepth = {depth}\nwidth = 64\nactivation = \"{activation}\"\ninit = \"{init}\"\n\
             head_init = \"lecun-normal\"\nnorm = \"batch\"\n[optimizer]\nname = \"momentum\"\nlearning_rate = 0.01\n\
             [run]\nsteps = 500\n"
        );
        Subject::new(&recipe)?.train(seed, lab)
    }
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure =
        Figure::new("Loss while training", Scale::linear("step"), Scale::log("loss on the batch, mean of 20"));
    let layers: usize = CASES.iter().map(|case| case.depth).sum();
    let mut done = 0;
    for case in CASES {
        let mut ended = Vec::new();
        for seed in 0..SEEDS {
            lab.at(done, layers * SEEDS as usize)?;
            ended.push(case.train(seed, lab)?);
            done += case.depth;
        }
        let name = format!("{} {}, {} layers", case.activation, case.name, case.depth);
        let accuracy = mean(ended.iter().map(|ended| ended.accuracy));
        found.rows.push(Row::new(format!("{name}: accuracy"), accuracy, case.expected, Basis::Measured));
        let smooth = ended[0].losses.chunks(20).enumerate();
        let smooth = smooth.map(|(index, losses)| (index as f64 * 20.0 + 10.0, mean(losses.iter().copied())));
        figure = figure.with(name, Mark::Line, smooth.collect());
    }
    found.figures.push(figure);
    Ok(found)
}
