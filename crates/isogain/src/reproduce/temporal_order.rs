//! G7: the temporal order problem with plain SGD. Weights large enough to remember explode now and then; clipping the norm
//! lets the training go on (Pascanu, Mikolov & Bengio 2013).

use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::mean;
use super::training::{Ended, Subject};
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "temporal-order",
    title: "Clipping the gradient's norm lets a recurrence learn the order of two symbols",
    source: "Pascanu, Mikolov & Bengio 2013",
    setting: "temporal order of 30 steps, 50 tanh units with orthogonal weights, batch 20, plain SGD of 0.1, 1500 \
              steps, 3 seeds: accuracy on sequences never seen",
    disproof: None,
    seconds: 25,
    run,
};

const SEEDS: u64 = 3;

fn train(clipped: bool, seed: u64, lab: &Lab<'_>) -> Result<Ended, Error> {
    let clip = if clipped { "[clip]\nkind = \"global-norm\"\nthreshold = 1.0\n" } else { "" };
    let recipe = format!(
        "[data]\nsource = \"temporal-order\"\nlength = 30\nsamples = 20000\nbatch = 20\n[network]\nkind = \"rnn\"\ndepth = 1\n\
         width = 50\nactivation = \"tanh\"\ninit = {{ name = \"normal\", weight_variance = 0.06 }}\nhidden_init = \
         \"orthogonal\"\nhead_init = \"lecun-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.1\n{clip}[run]\nsteps = \
         1500\n"
    );
    Subject::new(&recipe)?.train(seed, lab)
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure = Figure::new("Temporal order", Scale::linear("step"), Scale::linear("loss, mean of 50 batches"));
    for (index, (name, clipped)) in [("norm clipped at 1", true), ("not clipped", false)].into_iter().enumerate() {
        let mut accuracies = Vec::new();
        for seed in 0..SEEDS {
            lab.at(index * SEEDS as usize + seed as usize, 2 * SEEDS as usize)?;
            let ended = train(clipped, seed, lab)?;
            accuracies.push(ended.test_accuracy);
            if seed == 0 {
                let smooth = ended.losses.chunks(50).enumerate();
                let smooth = smooth.map(|(index, losses)| (index as f64 * 50.0 + 25.0, mean(losses.iter().copied())));
                figure = figure.with(name, Mark::Line, smooth.collect());
            }
        }
        let expected = if clipped { Expected::Above { limit: 0.95 } } else { Expected::Below { limit: 0.6 } };
        found.rows.push(Row::new(format!("{name}: mean accuracy"), mean(accuracies), expected, Basis::Claimed));
    }
    found.figures.push(figure);
    Ok(found)
}
