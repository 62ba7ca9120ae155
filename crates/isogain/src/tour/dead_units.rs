//! Units that are zero on every sample, while a network is trained at a high and then at a low learning rate.

use std::ops::Range;

use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};

use super::bench::{activations, values};
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::data::Samples;
use crate::model::Model;
use crate::snapshot::loss_and_gradients;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "dead-units",
    title: "At a high learning rate ReLU units die for good; leaky ReLU keeps them alive",
    source: "Maas, Hannun & Ng 2013; Lu, Shin, Su & Karniadakis 2020",
    setting: "digits, 3 hidden layers of 64 units with He's weights: 300 steps of Adam or SGD at a high or a low rate, then 300 of Adam at 0.001. \
              A unit is off where its z is negative on every training sample; a ReLU that is off has no gradient and is dead",
    disproof: Some("as many units died at the low rate as at the high one, or dead units of the first layer came back"),
    seconds: 1,
    run,
};

const WIDTH: usize = 64;
const LAYERS: usize = 3;
/// Steps of each part of the training.
const STEPS: usize = 300;
const EVERY: usize = 20;
const HIGH: f64 = 0.1;
const MIDDLE: f64 = 0.03;
/// Of plain SGD, which breaks this network at half as much again.
const SGD: f64 = 1.0;
const LOW: f64 = 0.001;
const AFTERWARDS: f64 = 0.001;

fn subject(activation: &str, optimizer: &str, rate: f64) -> Result<Subject, Error> {
    Subject::new(&format!(
        "[network]\nkind = \"mlp\"\ndepth = {LAYERS}\nwidth = {WIDTH}\nactivation = \"{activation}\"\ninit = \
         \"he-normal\"\n[optimizer]\nname = \"{optimizer}\"\nlearning_rate = {rate}\n[run]\nsteps = {STEPS}\n"
    ))
}

/// Which units are off on every sample, layer after layer.
fn off(model: &Model, samples: &Samples) -> Vec<bool> {
    let seen = activations(model, samples);
    let layer = |layer: usize| {
        let z = values(&seen, &format!("fc{layer}"));
        (0..WIDTH).map(move |unit| z.iter().skip(unit).step_by(WIDTH).all(|z| *z <= 0.0)).collect::<Vec<bool>>()
    };
    (1..=LAYERS).flat_map(layer).collect()
}

fn count(off: &[bool]) -> f64 {
    off.iter().filter(|off| **off).count() as f64
}

struct Course {
    /// Units that are off, by step.
    off: Vec<(f64, f64)>,
    /// Which were at the end of the first part.
    middle: Vec<bool>,
    /// Which of all units had a gradient on any training sample then.
    moved: Vec<bool>,
    /// Which were off at the end of the second.
    end: Vec<bool>,
    accuracy: f64,
}

/// Which units' weights have a gradient.
fn moved(model: &Model, samples: &Samples) -> Vec<bool> {
    let (_, gradients) = loss_and_gradients(model, samples, None);
    let layer = |layer: usize| {
        let gradient = gradients[&format!("fc{layer}.weight")].to_f64();
        (0..WIDTH)
            .map(move |unit| gradient.iter().skip(unit).step_by(WIDTH).any(|value| *value != 0.0))
            .collect::<Vec<bool>>()
    };
    (1..=LAYERS).flat_map(layer).collect()
}

fn course(activation: &str, (optimizer, rate): (&str, f64), seed: u64, lab: &Lab<'_>) -> Result<Course, Error> {
    let fast = subject(activation, optimizer, rate)?;
    let samples = fast.everything();
    let mut trainer = fast.trainer(seed);
    let mut course = vec![(0.0, count(&off(&trainer.model, &samples)))];
    for step in 1..=STEPS {
        lab.stopped()?;
        trainer.advance(&fast.data, false);
        if step % EVERY == 0 {
            course.push((step as f64, count(&off(&trainer.model, &samples))));
        }
    }
    let (middle, moved) = (off(&trainer.model, &samples), moved(&trainer.model, &samples));
    // With an optimizer that remembers nothing: Adam would go on moving a dead unit for a while.
    let slow = subject(activation, "adam", AFTERWARDS)?;
    let model = trainer.model;
    trainer = slow.trainer(seed);
    trainer.model = model;
    for step in 1..=STEPS {
        lab.stopped()?;
        trainer.advance(&slow.data, false);
        if step % EVERY == 0 {
            course.push(((STEPS + step) as f64, count(&off(&trainer.model, &samples))));
        }
    }
    let end = off(&trainer.model, &samples);
    let accuracy = slow.finish(trainer, lab)?.accuracy;
    Ok(Course { off: course, middle, moved, end, accuracy })
}

/// Units of these layers that were off in the middle and are not at the end.
fn back(course: &Course, layers: Range<usize>) -> usize {
    let units = layers.start * WIDTH..layers.end * WIDTH;
    course.middle[units.clone()].iter().zip(&course.end[units]).filter(|(middle, end)| **middle && !**end).count()
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    const SEEDS: u64 = 5;
    let mut found = Found::default();
    let mut figure = Figure::new(
        "Units that are off on every sample; from step 300 on all train with Adam at 0.001",
        Scale::linear("step"),
        Scale::linear("units of 192"),
    );
    let cases = [
        ("ReLU, Adam at 0.1", "relu", ("adam", HIGH)),
        ("ReLU, Adam at 0.001", "relu", ("adam", LOW)),
        ("leaky ReLU, Adam at 0.1", "leaky-relu", ("adam", HIGH)),
        ("ReLU, SGD at 1", "relu", ("sgd", SGD)),
    ];
    let mut courses = Vec::new();
    for (index, (name, activation, optimizer)) in cases.into_iter().enumerate() {
        lab.at(index, cases.len() + 1)?;
        let course = course(activation, optimizer, 0, lab)?;
        figure = figure.with(name, Mark::Line, course.off.clone());
        courses.push(course);
    }
    found.figures.push(figure);
    let [high, low, leaky, sgd] = &courses[..] else { return Ok(found) };
    let dead = count(&high.middle);
    found.claimed("ReLU, Adam at 0.1: dead units of 192 after 300 steps", dead, Expected::Above { limit: 30.0 });
    found.claimed(
        "ReLU, Adam at 0.001: dead units of 192 after 300 steps",
        count(&low.middle),
        Expected::Below { limit: 10.0 },
    );
    let what = "ReLU, SGD at 1: dead units of 192 after 300 steps";
    found.claimed(what, count(&sgd.middle), Expected::Above { limit: 30.0 });
    let none = Expected::Near { value: 0.0, tolerance: 0.0 };
    let moving = high.middle.iter().zip(&high.moved).filter(|(off, moved)| **off && **moved).count();
    found.exact("ReLU, Adam at 0.1: dead units whose weights have a gradient", moving as f64, none);
    found.exact("ReLU, Adam at 0.1: dead units of layer 1 that came back", back(high, 0..1) as f64, none);
    let still = leaky.moved.iter().filter(|moved| !**moved).count();
    found.exact("leaky ReLU, Adam at 0.1: units whose weights have no gradient", still as f64, none);
    found.claimed("leaky ReLU, Adam at 0.1: accuracy at the end", leaky.accuracy, Expected::Above { limit: 0.8 });
    let gain = leaky.accuracy - high.accuracy;
    found.claimed("leaky ReLU's accuracy minus ReLU's, both with Adam at 0.1", gain, Expected::Above { limit: 0.2 });

    let broken = subject("relu", "sgd", 1.5 * SGD)?.train(0, lab)?.losses.len();
    found.notes.push(format!(
        "That a high rate kills units depends on the optimizer: plain SGD at a rate of {SGD} leaves {} of them dead, and at {} training \
         breaks after {broken} steps. Adam makes steps of the rate's size whatever the gradient is, and \
         so can go far and stay finite.",
        count(&sgd.middle),
        1.5 * SGD
    ));
    lab.at(cases.len(), cases.len() + 1)?;
    let (mut dead, mut returned) = (0.0, 0);
    for seed in 0..SEEDS {
        let course = course("relu", ("adam", MIDDLE), seed, lab)?;
        dead += count(&course.middle[WIDTH..]);
        returned += back(&course, 1..LAYERS);
    }
    found.notes.push(format!(
        "Dead for good is certain only in layer 1, whose inputs never change. Units of later layers can come back when the layers before \
         them change: after 300 steps at a rate of {MIDDLE}, over {SEEDS} seeds, {dead} units of layers 2 and 3 were dead, and \
         {returned} of these were not at the end. And a leaky ReLU that is alive need not be of use: of the {} of its units that \
         were off at a rate of {HIGH} after 300 steps, {} came back, although each of them has a gradient.",
        count(&leaky.middle),
        back(leaky, 0..LAYERS)
    ));
    Ok(found)
}
