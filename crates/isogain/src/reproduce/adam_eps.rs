//! T24: Adam undoes a small gradient until its eps is larger than it. With a gradient far below eps a network that could
//! learn does not move.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};
use isogain_core::recipe::{Optimizer as OptimizerRecipe, OptimizerName};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::mean;
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::model::{Value, vector};
use crate::optimizer::{Optimizer, Turn};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "adam-eps",
    title: "Adam's eps alone keeps a deep network from learning",
    source: "Kingma & Ba 2015 (the rule)",
    setting: "steps on a constant gradient; digits, 30 ReLU layers of width 64 with PyTorch's initialisation, Adam 0.001 in \
              f64, 1000 steps, 3 seeds: accuracy with eps 1e-8 and 1e-30, nothing else changed",
    disproof: None,
    seconds: 60,
    run,
};

const SEEDS: u64 = 3;

/// Step over learning rate on a constant gradient, after 3 updates.
fn step(gradient: f64) -> f64 {
    let recipe = OptimizerRecipe { eps: 1e-8, ..OptimizerRecipe::named(OptimizerName::Adam) };
    let value = |number: f64| Value::Vector(vector(&[number], DType::F64, &Device::flex()));
    let mut optimizer = Optimizer::new(&recipe);
    let mut parameters = BTreeMap::from([("weight".to_owned(), value(0.0))]);
    let mut before = 0.0;
    for updates in 0..3 {
        before = parameters["weight"].to_f64()[0];
        let gradients = BTreeMap::from([("weight".to_owned(), value(gradient))]);
        optimizer.step(&mut parameters, gradients, Turn { rate: 1.0, updates }, false);
    }
    before - parameters["weight"].to_f64()[0]
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    for gradient in [1e-6, 1e-8, 1e-10] {
        let theirs = Expected::within(gradient / (gradient + 1e-8), 1e-9);
        let what = format!("step over learning rate on a gradient of {gradient:e}");
        found.rows.push(Row::new(what, step(gradient), theirs, Basis::Exact));
    }
    let mut figure =
        Figure::new("Loss while training", Scale::linear("step"), Scale::log("loss on the batch, mean of 20"));
    let mut accuracies = Vec::new();
    for (index, (eps, expected)) in
        [("1e-8", Expected::Below { limit: 0.2 }), ("1e-30", Expected::Above { limit: 0.6 })].into_iter().enumerate()
    {
        let recipe = format!(
            "[network]\nkind = \"mlp\"\ndepth = 30\nwidth = 64\nactivation = \"relu\"\ninit = \"pytorch-default\"\n[optimizer]\nname = \
             \"adam\"\nlearning_rate = 0.001\neps = {eps}\n[run]\nsteps = 1000\nprecision = \"f64\"\n"
        );
        let subject = Subject::new(&recipe)?;
        let mut reached = Vec::new();
        for seed in 0..SEEDS {
            lab.at(index * SEEDS as usize + seed as usize, 2 * SEEDS as usize)?;
            let ended = subject.train(seed, lab)?;
            reached.push(ended.accuracy);
            if seed == 0 {
                let smooth = ended.losses.chunks(20).enumerate();
                let smooth = smooth.map(|(index, losses)| (index as f64 * 20.0 + 10.0, mean(losses.iter().copied())));
                figure = figure.with(format!("eps {eps}"), Mark::Line, smooth.collect());
            }
        }
        let accuracy = mean(reached);
        found.rows.push(Row::new(format!("eps {eps}: mean accuracy"), accuracy, expected, Basis::Measured));
        accuracies.push(accuracy);
    }
    let gap = accuracies[1] - accuracies[0];
    found.rows.push(Row::new("accuracy that eps alone costs", gap, Expected::Above { limit: 0.5 }, Basis::Measured));
    found.figures.push(figure);
    Ok(found)
}
