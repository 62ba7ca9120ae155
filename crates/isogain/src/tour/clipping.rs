//! Clipping by value and by norm: what becomes of the direction, and of the number of steps.

use isogain_core::recipe::{Clip, ClipKind};
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};

use super::bench::mean;
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::clip::Clipper;
use crate::model::Value;
use crate::snapshot::{Gradients, loss_and_gradients};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "clipping",
    title: "Clipping by value turns the gradient; clipping by norm keeps its direction and takes more steps to converge",
    source: "Pascanu, Mikolov & Bengio 2013",
    setting: "the gradient of 10 ReLU layers of width 32 with weights sqrt(2) times He's on 64 digits, clipped; then 4 layers with He's \
              weights trained with SGD at 0.1: steps until the mean loss of 20 batches is below 0.3",
    disproof: Some(
        "the clipped gradient kept its angle under clipping by value or lost it under clipping by norm, or clipping by norm was as \
         fast as no clipping",
    ),
    seconds: 1,
    run,
};

/// Angle in degrees between a gradient and what is left of it.
fn angle(gradients: &Gradients, kind: ClipKind, threshold: f64) -> f64 {
    let mut clipped = gradients.clone();
    // What these kinds do does not depend on the parameters.
    let record = Clipper::new(&Clip { kind, threshold, ..Clip::default() }).clip(&mut clipped, &Gradients::new());
    record.map_or(f64::NAN, |record| record.cosine.clamp(-1.0, 1.0).acos().to_degrees())
}

fn angles(found: &mut Found) -> Result<(), Error> {
    let subject = Subject::new(
        "[network]\nkind = \"mlp\"\ndepth = 10\nwidth = 32\ninit = { name = \"normal\", weight_variance = 4.0 }\n[run]\nprecision = \
         \"f64\"\n",
    )?;
    let batch = subject.data.train.select(&(0..64).collect::<Vec<usize>>());
    let (_, gradients) = loss_and_gradients(&subject.trainer(0).model, &batch, None);
    let all: Vec<f64> = gradients.values().flat_map(Value::to_f64).collect();
    let largest = all.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let lines = [("by value", ClipKind::Value), ("by norm", ClipKind::GlobalNorm)].map(|(name, kind)| {
        let at = |power: i32| 10.0_f64.powf(f64::from(power) / 4.0);
        let points = (-16..=0).map(|power| (at(power), angle(&gradients, kind, at(power) * largest)));
        (name, points.collect::<Vec<(f64, f64)>>())
    });
    let hundredth = 0.01 * largest;
    let (by_value, by_norm) =
        (angle(&gradients, ClipKind::Value, hundredth), angle(&gradients, ClipKind::GlobalNorm, hundredth));
    found.claimed(
        "clipped by value at a hundredth of its largest entry: angle, degrees",
        by_value,
        Expected::Above { limit: 20.0 },
    );
    found.exact("clipped by norm at the same threshold: angle, degrees", by_norm, Expected::Below { limit: 1e-5 });
    let figure = Figure::new(
        "Angle between the gradient and the clipped one",
        Scale::log("threshold, of the gradient's largest entry"),
        Scale::linear("degrees"),
    );
    let draw = |figure: Figure, (name, points)| figure.with(name, Mark::Line, points);
    found.figures.push(lines.into_iter().fold(figure, draw));
    Ok(())
}

const STEPS: usize = 1500;
/// Batches whose mean loss counts.
const WINDOW: usize = 20;
const LEARNED: f64 = 0.3;

/// Mean loss of the last batches by step.
fn losses(clip: &str, lab: &Lab<'_>) -> Result<Vec<f64>, Error> {
    let subject = Subject::new(&format!(
        "[network]\nkind = \"mlp\"\ndepth = 4\nwidth = 32\ninit = \"he-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = \
         0.1\n{clip}[run]\nsteps = {STEPS}\n"
    ))?;
    let losses = subject.train(0, lab)?.losses;
    Ok(losses.windows(WINDOW).map(|window| mean(window.iter().copied())).collect())
}

fn steps(found: &mut Found, lab: &Lab<'_>) -> Result<(), Error> {
    let mut figure =
        Figure::new("Training with and without clipping", Scale::linear("step"), Scale::log("mean loss of 20 batches"));
    let mut taken = Vec::new();
    for (index, (name, clip)) in [
        ("not clipped", String::new()),
        ("by norm at 0.1", "[clip]\nkind = \"global-norm\"\nthreshold = 0.1\n".to_owned()),
        ("by value at 0.1", "[clip]\nkind = \"value\"\nthreshold = 0.1\n".to_owned()),
        ("by value at 0.001", "[clip]\nkind = \"value\"\nthreshold = 0.001\n".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        lab.at(1 + index, 5)?;
        let losses = losses(&clip, lab)?;
        // Never is as many steps as there were.
        taken.push(losses.iter().position(|loss| *loss < LEARNED).map_or(STEPS, |at| at + WINDOW) as f64);
        let points = losses.iter().enumerate().step_by(10).map(|(at, loss)| ((at + WINDOW) as f64, *loss));
        figure = figure.with(name, Mark::Line, points.collect());
    }
    let [free, by_norm, by_value, by_small_value] = taken[..] else { return Ok(()) };
    found.claimed(
        "steps clipped by norm at 0.1, over those without clipping",
        by_norm / free,
        Expected::Above { limit: 1.5 },
    );
    found.claimed(
        "steps clipped by norm at 0.1, over those by value at 0.1",
        by_norm / by_value,
        Expected::Above { limit: 1.5 },
    );
    let rest = if by_small_value < STEPS as f64 {
        format!("it takes {by_small_value} steps")
    } else {
        format!("the loss is not there after {STEPS} steps")
    };
    found.notes.push(format!(
        "It takes {free} steps without clipping, {by_value} by value at 0.1 and {by_norm} by norm at 0.1. How much longer that is depends \
         on the threshold and on the learning rate, which is the same in all of these \
         trainings. Clipping by value is slow as well where its threshold is small: at 0.001 {rest}."
    ));
    found.figures.push(figure);
    Ok(())
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    lab.at(0, 5)?;
    angles(&mut found)?;
    steps(&mut found, lab)?;
    Ok(found)
}
