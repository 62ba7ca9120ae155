//! Batch norm: where it keeps the inputs of a sigmoid, how it changes the loss surface, and what it does to the gradient of
//! a deep plain network.

use burn::tensor::DType;
use isogain_core::network::NormKind;
use isogain_core::statistics::median;
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};
use isogain_core::summary::smoothness::SmoothStep;

use super::bench::{Sampler, activations, mean, model, normal, pass, phi, rms, share, stack, values};
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::model::Model;
use crate::probe::Keep;
use crate::smoothness::along_the_gradient;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "batch-norm",
    title: "Batch norm keeps a sigmoid in its linear part and smooths the loss surface, but in deep plain networks it explodes gradients",
    source: "Ioffe & Szegedy 2015; Santurkar et al. 2018; Yang et al. 2019",
    setting: "digits, 4 sigmoid layers of 32 units, 300 steps of SGD at 0.5: share of inputs of the sigmoid in its linear part, \
              where the slope is at least half the largest; 8 ReLU layers, 120 steps at 0.1, 5 seeds: how \
              far loss and gradient change along the gradient, from half a step to four steps; 30 ReLU layers of width 128 before training: growth of the squared \
              gradient per layer at a batch of 128, 3 networks",
    disproof: Some(
        "as many inputs lay in the linear part without batch norm, the gradient changed as much along itself with it, or the \
         squared gradient did not grow by pi/(pi-1) per layer",
    ),
    seconds: 1,
    run,
};

const LAYERS: usize = 4;
const STEPS: usize = 300;
const EVERY: usize = 15;

/// Share of the sigmoid's inputs where its slope is at least half the largest, over all layers.
fn linear_part(model: &Model, subject: &Subject, norm: bool) -> Result<f64, Error> {
    let sigmoid = phi("sigmoid")?;
    let seen = activations(model, &subject.everything());
    let before = if norm { "norm" } else { "fc" };
    let z: Vec<f64> = (1..=LAYERS).flat_map(|layer| values(&seen, &format!("{before}{layer}"))).collect();
    Ok(share(&z, |z| sigmoid.derivative(z) >= 0.5 * sigmoid.derivative(0.0)))
}

/// That share by step.
fn course(variance: f64, norm: bool, lab: &Lab<'_>) -> Result<Vec<(f64, f64)>, Error> {
    let kind = if norm { "norm = \"batch\"\n" } else { "" };
    let subject = Subject::new(&format!(
        "[network]\nkind = \"mlp\"\ndepth = {LAYERS}\nwidth = 32\nactivation = \"sigmoid\"\n{kind}init = {{ name = \"normal\", \
         weight_variance = {variance:?} }}\nhead_init = \"lecun-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.5\n"
    ))?;
    let mut trainer = subject.trainer(0);
    let mut found = vec![(0.0, linear_part(&trainer.model, &subject, norm)?)];
    for step in 1..=STEPS {
        lab.stopped()?;
        trainer.advance(&subject.data, false);
        if step % EVERY == 0 {
            found.push((step as f64, linear_part(&trainer.model, &subject, norm)?));
        }
    }
    Ok(found)
}

fn sigmoids(found: &mut Found, lab: &Lab<'_>) -> Result<(), Error> {
    let mut figure = Figure::new(
        "Inputs of the sigmoid in its linear part",
        Scale::linear("step"),
        Scale::linear("share of units and samples"),
    );
    let mut shares = Vec::new();
    for (name, variance, norm) in [
        ("Glorot's weights", 1.0, false),
        ("Glorot's weights, batch norm", 1.0, true),
        ("10 times as large", 100.0, false),
        ("10 times as large, batch norm", 100.0, true),
    ] {
        let course = course(variance, norm, lab)?;
        shares.push((course[0].1, course[course.len() - 1].1));
        figure = figure.with(name, Mark::Line, course);
    }
    let [(plain, plain_after), (normed, normed_after), (large, large_after), (tamed, tamed_after)] = shares[..] else {
        return Ok(());
    };
    let inside = Expected::Above { limit: 0.7 };
    found.claimed("batch norm, Glorot's weights: share in the linear part at the start", normed, inside);
    found.claimed("batch norm, Glorot's weights: share in the linear part after training", normed_after, inside);
    found.claimed("batch norm, weights 10 times as large: share in the linear part at the start", tamed, inside);
    found.claimed(
        "batch norm, weights 10 times as large: share in the linear part after training",
        tamed_after,
        inside,
    );
    let more = Expected::Above { limit: 0.0 };
    found.claimed("weights 10 times as large: share with minus without batch norm, at the start", tamed - large, more);
    found.claimed(
        "weights 10 times as large: share with minus without batch norm, after training",
        tamed_after - large_after,
        more,
    );
    found.claimed("Glorot's weights: share with minus without batch norm, at the start", normed - plain, more);
    found.claimed(
        "Glorot's weights: share with minus without batch norm, after training",
        normed_after - plain_after,
        more,
    );
    found.figures.push(figure);
    found.notes.push(
        "Batch norm holds the sigmoid's inputs at a deviation of 1 whatever the weights are, and so saves a network whose weights are \
         too large. It does not bring a sigmoid nearer to its linear part where weights are small: with Glorot's weights more of the \
         inputs lie there without it, at the start and after training."
            .to_owned(),
    );
    Ok(())
}

/// One number of a step, where it is finite.
type Measure = fn(&SmoothStep) -> Option<f64>;

/// Along the gradient of a ReLU network while it trains.
fn smoothness(norm: bool, seed: u64, lab: &Lab<'_>) -> Result<Vec<SmoothStep>, Error> {
    const RATE: f64 = 0.1;
    let kind = if norm { "norm = \"batch\"\n" } else { "" };
    let subject = Subject::new(&format!(
        "[network]\nkind = \"mlp\"\ndepth = 8\nwidth = 32\n{kind}init = \"he-normal\"\n[optimizer]\nname = \
         \"sgd\"\nlearning_rate = {RATE}\n"
    ))?;
    let mut trainer = subject.trainer(seed);
    let mut found = Vec::new();
    for step in 0..120_u64 {
        lab.stopped()?;
        let batch = trainer.next_batch(&subject.data);
        if step % 4 == 0 {
            found.push(along_the_gradient(&trainer.model, &batch, RATE, step));
        }
        trainer.advance_on(&batch, false);
    }
    Ok(found)
}

fn surface(found: &mut Found, lab: &Lab<'_>) -> Result<(), Error> {
    const SEEDS: u64 = 5;
    let mut figure = Figure::new(
        "Losses met along the gradient, 8 layers, first seed: less is smoother",
        Scale::linear("step"),
        Scale::log("highest minus lowest loss"),
    );
    let all = |norm: bool| (0..SEEDS).map(|seed| smoothness(norm, seed, lab)).collect::<Result<Vec<_>, Error>>();
    let (plain, normed) = (all(false)?, all(true)?);
    let measures: [(&str, Measure); 3] = [
        ("range of losses along the gradient", SmoothStep::band),
        ("change of the gradient along itself, relative", |step| step.gradient_change),
        ("change of the gradient over the length of the step", |step| step.smoothness),
    ];
    for (name, of) in measures {
        // What is not finite counts as the largest.
        let middle = |runs: &[Vec<SmoothStep>]| {
            median(runs.iter().flatten().map(|step| of(step).unwrap_or(f64::INFINITY))).unwrap_or(f64::NAN)
        };
        let what = format!("{name}: median with batch norm over that without");
        found.claimed(what, middle(&normed) / middle(&plain), Expected::Below { limit: 1.0 });
    }
    for (name, runs) in [("without", &plain), ("batch norm", &normed)] {
        let point = |step: &SmoothStep| Some((step.step as f64, step.band()?));
        figure = figure.with(name, Mark::Line, runs[0].iter().filter_map(point).collect());
    }
    found.figures.push(figure);
    Ok(())
}

fn deep(found: &mut Found) -> Result<(), Error> {
    const WIDTH: usize = 128;
    const DEPTH: usize = 30;
    const BATCH: usize = 128;
    /// Compared away from the input and from the random cotangent at the end.
    const FROM: usize = 8;
    const TO: usize = 26;
    let mut figure = Figure::new(
        "Squared gradient of a plain ReLU network before training",
        Scale::linear("layer"),
        Scale::log("mean of (dL/dz)^2, of the last layer's"),
    );
    for norm in [None, Some(NormKind::Batch)] {
        let network = stack(WIDTH, DEPTH, normal(2.0, 0.0)?, phi("relu")?, norm);
        let profiles = (0..3).map(|seed| {
            let mut sampler = Sampler::new(seed);
            let (inputs, cotangent) = (sampler.normals(BATCH * WIDTH, 1.0), sampler.normals(BATCH * WIDTH, 1.0));
            let seen = pass(&model(&network, seed, DType::F64), &inputs, &cotangent, Keep::Moments).seen;
            let at = |layer: usize| 2.0 * rms(&seen.backward, &format!("fc{layer}")).ln();
            (1..=DEPTH).map(|layer| at(layer) - at(DEPTH)).collect::<Vec<f64>>()
        });
        let profiles: Vec<Vec<f64>> = profiles.collect();
        let logs: Vec<f64> = (0..DEPTH).map(|layer| mean(profiles.iter().map(|one| one[layer]))).collect();
        let factor = ((logs[FROM - 1] - logs[TO - 1]) / (TO - FROM) as f64).exp();
        let pi = std::f64::consts::PI;
        let (name, theory) = if norm.is_some() { ("batch norm", pi / (pi - 1.0)) } else { ("without", 1.0) };
        let what = format!("30 ReLU layers, {name}: growth of the squared gradient per layer");
        found.exact(what, factor, Expected::within(theory, 0.05));
        let points = logs.iter().enumerate().map(|(layer, log)| ((layer + 1) as f64, log.exp()));
        figure = figure.with(name, Mark::Line, points.collect());
        if norm.is_some() {
            let line =
                (FROM..=TO).map(|layer| (layer as f64, (logs[TO - 1] + (TO - layer) as f64 * theory.ln()).exp()));
            figure = figure.with("pi/(pi-1) per layer", Mark::Theory, line.collect());
        }
    }
    found.figures.push(figure);
    Ok(())
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    lab.at(0, 3)?;
    sigmoids(&mut found, lab)?;
    lab.at(1, 3)?;
    surface(&mut found, lab)?;
    lab.at(2, 3)?;
    deep(&mut found)?;
    Ok(found)
}
