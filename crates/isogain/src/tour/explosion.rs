//! What an exploding gradient and a step that is too long do: overflow, overshooting, oscillation, divergence.

use burn::tensor::DType;
use isogain_core::network::Shape;
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};

use super::bench::{Sampler, linear, model, network, normal, pass, phi, rms, stack};
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::data::{Samples, Targets};
use crate::direction::{Direction, flat, moved, norm, scaled};
use crate::model::Model;
use crate::probe::Keep;
use crate::snapshot::loss_and_gradients;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "explosion",
    title: "Exploding gradients overflow, jump over a minimum, swing around it, or run away from it",
    source: "Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013; LeCun, Bottou, Orr & Müller 1998",
    setting: "60 ReLU layers of width 64 that multiply by 10 each, in f32 and f64; gradient descent on 64 samples with one linear \
              layer (a quadratic loss, so that theory is exact) and with 3 tanh layers on digits, at rates in units of 1 / lambda, \
              lambda the largest curvature",
    disproof: Some("nothing overflowed, or descent at a rate above 2 / lambda converged on the quadratic loss"),
    seconds: 1,
    run,
};

/// Full-batch gradient descent: losses, and the derivative along a direction, before each step.
struct Descent {
    losses: Vec<f64>,
    along: Vec<f64>,
}

fn dot(one: &Direction, other: &Direction) -> f64 {
    one.iter().map(|(name, values)| values.iter().zip(&other[name]).map(|(a, b)| a * b).sum::<f64>()).sum()
}

fn descend(model: &Model, batch: &Samples, rate: f64, steps: usize, direction: &Direction) -> Descent {
    let mut model = model.clone();
    let mut found = Descent { losses: Vec::new(), along: Vec::new() };
    for _ in 0..=steps {
        let (loss, gradients) = loss_and_gradients(&model, batch, None);
        let gradient = flat(&gradients);
        found.losses.push(loss);
        found.along.push(dot(&gradient, direction));
        if !loss.is_finite() {
            break;
        }
        model = moved(&model, &flat(&model.parameters), &gradient, -rate);
    }
    found
}

/// Largest curvature of the loss and its direction, by power iteration on differences of gradients.
fn curvature(model: &Model, batch: &Samples) -> (f64, Direction) {
    const ITERATIONS: usize = 60;
    const STEP: f64 = 1e-4;
    let origin = flat(&model.parameters);
    let gradient = |step: f64, direction: &Direction| {
        flat(&loss_and_gradients(&moved(model, &origin, direction, step), batch, None).1)
    };
    let mut direction = flat(&loss_and_gradients(model, batch, None).1);
    direction = scaled(&direction, 1.0 / norm(&direction));
    let mut largest = f64::NAN;
    for _ in 0..ITERATIONS {
        let behind = gradient(-STEP, &direction);
        let mut image = gradient(STEP, &direction);
        for (name, values) in &mut image {
            values.iter_mut().zip(&behind[name]).for_each(|(ahead, behind)| *ahead = (*ahead - behind) / (2.0 * STEP));
        }
        largest = norm(&image);
        direction = scaled(&image, 1.0 / largest);
    }
    (largest, direction)
}

/// Layers that multiply the signal by 10 each.
fn overflow(found: &mut Found) -> Result<(), Error> {
    const WIDTH: usize = 64;
    const DEPTH: usize = 60;
    let network = stack(WIDTH, DEPTH, normal(200.0, 0.0)?, phi("relu")?, None);
    let mut figure = Figure::new(
        "Ten times per layer",
        Scale::linear("layer"),
        Scale::log("rms of the layer's output, where finite"),
    );
    for (name, dtype) in [("f64", DType::F64), ("f32", DType::F32)] {
        let mut sampler = Sampler::new(0);
        let (inputs, cotangent) = (sampler.normals(8 * WIDTH, 1.0), sampler.normals(8 * WIDTH, 1.0));
        let passed = pass(&model(&network, 0, dtype), &inputs, &cotangent, Keep::Values);
        let whole = |layer: usize| {
            let kept = passed.seen.forward.get(format!("fc{layer}").as_str());
            kept.is_some_and(|kept| kept.moments().non_finite == 0)
        };
        let finite = (1..=DEPTH).take_while(|layer| whole(*layer));
        let points: Vec<(f64, f64)> =
            finite.map(|layer| (layer as f64, rms(&passed.seen.forward, &format!("fc{layer}")))).collect();
        let first = (points.len() + 1) as f64;
        match dtype {
            DType::F32 => {
                // log10 of the largest f32 is 38.5; widths of 64 scatter by a layer or two around it.
                let what = "f32: first layer of 60 whose output is not finite";
                found.exact(what, first, Expected::Near { value: 39.5, tolerance: 3.0 });
                found.claimed("f32: output of the network", passed.outputs[0], Expected::Diverges);
            }
            _ => found.claimed("f64: layers whose output is finite", first - 1.0, Expected::within(60.0, 0.0)),
        }
        figure = figure.with(name, Mark::Line, points);
    }
    found.figures.push(figure);
    Ok(())
}

/// Descent with one linear layer, where each step multiplies the distance along an eigenvector by 1 - rate * curvature.
fn quadratic(found: &mut Found) -> Result<(), Error> {
    const INPUTS: usize = 8;
    const SAMPLES: usize = 64;
    const STEPS: usize = 40;
    let mut sampler = Sampler::new(0);
    let batch = Samples {
        shape: Shape::vector(INPUTS),
        inputs: sampler.normals(INPUTS * SAMPLES, 1.0),
        targets: Targets::Values { values: sampler.normals(SAMPLES, 1.0), outputs: 1 },
    };
    let layer = linear("fc1", [INPUTS, 1], normal(1.0, 0.0)?, phi("linear")?);
    let model = model(&network(Shape::vector(INPUTS), 1, vec![layer]), 0, DType::F64);
    let (lambda, direction) = curvature(&model, &batch);
    let mut figure = Figure::new(
        "One linear layer: distance from the minimum along the steepest direction",
        Scale::linear("step"),
        Scale::linear("of the distance at the start"),
    );
    for (name, times) in [("0.5 / lambda", 0.5), ("1.5 / lambda", 1.5), ("1.9 / lambda", 1.9), ("2.1 / lambda", 2.1)] {
        let descent = descend(&model, &batch, times / lambda, STEPS, &direction);
        let distances: Vec<f64> = descent.along.iter().map(|along| along / descent.along[0]).collect();
        let turns = distances.windows(2).filter(|pair| pair[0] * pair[1] < 0.0).count() as f64;
        if times == 1.5 {
            let what = format!("rate {name}: distance after one step, of that before (negative: jumped over)");
            found.exact(what, distances[1], Expected::Near { value: -0.5, tolerance: 0.01 });
        }
        if times == 1.9 {
            let swings = Expected::within(STEPS as f64, 0.0);
            found.exact(format!("rate {name}: times that {STEPS} steps change side"), turns, swings);
            let what = format!("rate {name}: distance after {STEPS} steps");
            found.exact(what, distances[STEPS].abs(), Expected::within(0.9_f64.powi(STEPS as i32), 0.1));
        }
        if times == 2.1 {
            let what = format!("rate {name}: distance after {STEPS} steps");
            found.exact(what, distances[STEPS].abs(), Expected::within(1.1_f64.powi(STEPS as i32), 0.1));
        }
        if times != 0.5 {
            let points = distances.iter().enumerate().take(16).map(|(step, distance)| (step as f64, *distance));
            figure = figure.with(name, Mark::Line, points.collect());
        }
    }
    found.figures.push(figure);
    Ok(())
}

/// Three tanh layers on digits: the curvature changes on the way, so that theory only holds near the start.
fn digits(found: &mut Found) -> Result<(), Error> {
    const STEPS: usize = 60;
    let subject = Subject::new(
        "[network]\nkind = \"mlp\"\ndepth = 3\nwidth = 32\nactivation = \"tanh\"\ninit = \"glorot-normal\"\n[run]\nprecision = \
         \"f64\"\n",
    )?;
    let model = subject.trainer(0).model;
    let batch = subject.data.train.select(&(0..64).collect::<Vec<usize>>());
    let (lambda, direction) = curvature(&model, &batch);
    let mut figure = Figure::new("Three tanh layers on digits", Scale::linear("step"), Scale::log("loss"));
    for (name, times) in [("1 / lambda", 1.0), ("8 / lambda", 8.0), ("100 / lambda", 100.0)] {
        let losses = descend(&model, &batch, times / lambda, STEPS, &direction).losses;
        let rises = losses.windows(2).filter(|pair| pair[1] > pair[0]).count() as f64;
        let what = format!("tanh, rate {name}: steps of {STEPS} on which the loss rose");
        match times {
            1.0 => found.claimed(what, rises, Expected::Below { limit: 2.0 }),
            8.0 => found.claimed(what, rises, Expected::Above { limit: 5.0 }),
            _ => {
                let worst = losses.iter().fold(0.0_f64, |worst, loss| worst.max(*loss));
                let what = format!("tanh, rate {name}: largest loss over the first");
                found.claimed(what, worst / losses[0], Expected::Above { limit: 2.0 });
                found.notes.push(format!(
                    "Above 2 / lambda a quadratic loss always diverges; a network need not. At 100 / lambda the tanh network's loss rises \
                     from {:.2} to {worst:.0} and is {:.1e} after {STEPS} steps: where the weights have gone, the curvature is smaller.",
                    losses[0],
                    losses[losses.len() - 1]
                ));
            }
        }
        let points = losses.iter().enumerate().map(|(step, loss)| (step as f64, *loss));
        figure = figure.with(name, Mark::Line, points.collect());
    }
    found.figures.push(figure);
    Ok(())
}

/// A deep network whose gradients explode, trained as if they did not.
fn divergence(found: &mut Found, lab: &Lab<'_>) -> Result<(), Error> {
    let recipe = |variance: f64| {
        Subject::new(&format!(
            "[network]\nkind = \"mlp\"\ndepth = 20\nwidth = 32\ninit = {{ name = \"normal\", weight_variance = {variance:?} \
             }}\nhead_init = \"lecun-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.02\n[run]\nsteps = 200\n"
        ))
    };
    let broken = recipe(4.0)?.train(0, lab)?;
    found.claimed("20 ReLU layers, weights sqrt(2) times He's: loss after 200 steps", broken.loss, Expected::Diverges);
    let whole = recipe(2.0)?.train(0, lab)?;
    found.claimed("20 ReLU layers, He's weights: loss after 200 steps", whole.loss, Expected::Below { limit: 2.3 });
    Ok(())
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    lab.at(0, 4)?;
    overflow(&mut found)?;
    lab.at(1, 4)?;
    quadratic(&mut found)?;
    lab.at(2, 4)?;
    digits(&mut found)?;
    lab.at(3, 4)?;
    divergence(&mut found, lab)?;
    Ok(found)
}
