//! T21: the adding problem over 100 steps. A tanh recurrence stays at what one knows without memory; the identity with
//! ReLU (Le, Jaitly & Hinton 2015) and an LSTM with an open forget gate (Gers et al. 2000) learn it.

use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::mean;
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "adding-problem",
    title: "Over 100 steps a tanh recurrence forgets; the identity with ReLU and an open LSTM remember",
    source: "Hochreiter & Schmidhuber 1997; Gers et al. 2000; Le, Jaitly & Hinton 2015",
    setting: "adding problem of 100 steps, 64 units, batch 32, Adam 0.001, global norm clipped at 1, 2500 steps: mean squared \
              error of the last 200 (answering 1 has 1/6)",
    disproof: None,
    seconds: 180,
    run,
};

const STEPS: usize = 2500;

struct Case {
    name: &'static str,
    network: &'static str,
    learning_rate: f64,
    expected: Expected,
}

const LEARNED: Expected = Expected::Below { limit: 0.01 };
const STUCK: Expected = Expected::Above { limit: 0.1 };

const CASES: [Case; 4] = [
    Case {
        name: "tanh, PyTorch's default",
        network: "kind = \"rnn\"\nactivation = \"tanh\"\ninit = \"pytorch-default\"",
        learning_rate: 0.001,
        expected: STUCK,
    },
    Case {
        name: "tanh, orthogonal",
        network: "kind = \"rnn\"\nactivation = \"tanh\"\ninit = \"pytorch-default\"\nhidden_init = \"orthogonal\"",
        learning_rate: 0.001,
        expected: STUCK,
    },
    Case {
        name: "ReLU, identity",
        network: "kind = \"rnn\"\nactivation = \"relu\"\ninit = { name = \"fixed-variance\", std = 0.1 }\nhidden_init = \
                  \"identity\"\nhead_init = \"pytorch-default\"",
        learning_rate: 0.001,
        expected: LEARNED,
    },
    Case {
        name: "LSTM, forget bias 3",
        network: "kind = \"lstm\"\ninit = \"pytorch-default\"\nforget_bias = 3.0",
        learning_rate: 0.005,
        expected: LEARNED,
    },
];

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure =
        Figure::new("Adding problem", Scale::linear("step"), Scale::log("squared error, mean of 50 batches"));
    for (index, case) in CASES.iter().enumerate() {
        lab.at(index, CASES.len())?;
        let recipe = format!(
            "[data]\nsource = \"adding\"\ntask = \"regression\"\nlength = 100\nsamples = 20000\nbatch = 32\n\
             [network]\n{}\ndepth = 1\nwidth = 64\n[optimizer]\nname = \"adam\"\nlearning_rate = {}\n[clip]\nkind = \"global-norm\"\nthreshold = 1.0\n[run]\nsteps = {STEPS}\n",
            case.network, case.learning_rate
        );
        let ended = Subject::new(&recipe)?.train(0, lab)?;
        found.rows.push(Row::new(case.name, ended.late(200), case.expected, Basis::Claimed));
        let smooth = ended.losses.chunks(50).enumerate();
        let smooth = smooth.map(|(index, losses)| (index as f64 * 50.0 + 25.0, mean(losses.iter().copied())));
        figure = figure.with(case.name, Mark::Line, smooth.collect());
    }
    found.figures.push(figure.with("answering 1", Mark::Theory, vec![(0.0, 1.0 / 6.0), (STEPS as f64, 1.0 / 6.0)]));
    Ok(found)
}
