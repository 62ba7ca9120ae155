//! Each remedy on a network on which it fails.

use burn::tensor::DType;
use isogain_core::network::{Network, NormKind, Op, Shape};
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};

use super::bench::{
    Sampler, Side, activation, linear, mean, model, network, norm, normal, outputs, pass, phi, residual, rms, stack,
};
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::{Keep, Seen};
use crate::train::judge;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "no-free-trick",
    title: "No trick is perfect: each remedy fails on some network",
    source: "the sources of the stops before; Lu, Shin, Su & Karniadakis 2020; De & Smith 2020",
    setting: "each remedy on a network that defeats it, before training: narrow ReLU layers, He's scale with other activations, batch \
              norm with two samples, layer norm and the size of its input, unscaled skips; and digits with an exploding network under \
              clipping",
    disproof: Some("any of these networks came through unharmed"),
    seconds: 1,
    run,
};

const WIDTH: usize = 128;
const BATCH: usize = 16;

fn seen(network: &Network, seed: u64, batch: usize) -> Seen {
    let features = network.input.features;
    let mut sampler = Sampler::new(seed);
    let (inputs, cotangent) = (sampler.normals(batch * features, 1.0), sampler.normals(batch * features, 1.0));
    pass(&model(network, seed, DType::F64), &inputs, &cotangent, Keep::Moments).seen
}

/// Share of networks that put out the same whatever they are given.
fn dead(found: &mut Found) -> Result<(), Error> {
    const NETWORKS: u64 = 200;
    let he = normal(2.0, 0.0)?;
    let share = |width: usize| -> Result<f64, Error> {
        let network = stack(width, 20, he, phi("relu")?, None);
        let both = |seed: u64| {
            let inputs = Sampler::new(seed).normals(4 * width, 1.0);
            outputs(&model(&network, seed, DType::F64), &inputs).iter().all(|value| *value == 0.0)
        };
        Ok((0..NETWORKS).filter(|seed| both(*seed)).count() as f64 / NETWORKS as f64)
    };
    let [narrow, wide] = [share(3)?, share(32)?];
    found.claimed(
        "ReLU, He, 20 layers of width 3: share of networks that are dead from the start",
        narrow,
        Expected::Above { limit: 0.5 },
    );
    found.claimed(
        "ReLU, He, 20 layers of width 32: share of networks that are dead from the start",
        wide,
        Expected::Below { limit: 0.01 },
    );
    Ok(())
}

/// The gradient of each layer over the last one's, geometric mean over networks.
fn gradients(function: &str) -> Result<Vec<(f64, f64)>, Error> {
    const DEPTH: usize = 50;
    let network = stack(WIDTH, DEPTH, normal(2.0, 0.0)?, phi(function)?, None);
    let at = |side: &Side, layer: usize| (rms(side, &format!("fc{layer}")) / rms(side, &format!("fc{DEPTH}"))).ln();
    let sides: Vec<Side> = (0..3).map(|seed| seen(&network, seed, BATCH).backward).collect();
    let profile = |layer: usize| mean(sides.iter().map(|side| at(side, layer))).exp();
    Ok((1..=DEPTH).map(|layer| (layer as f64, profile(layer))).collect())
}

fn other_activations(found: &mut Found) -> Result<(), Error> {
    let mut figure = Figure::new(
        "He's weights with other activations",
        Scale::linear("layer"),
        Scale::log("rms of dL/dz, of the last layer's"),
    );
    for (name, function, expected) in [
        ("ReLU", "relu", Expected::Between { low: 0.5, high: 2.0 }),
        ("tanh", "tanh", Expected::Above { limit: 2.0 }),
        ("GELU", "gelu", Expected::Below { limit: 0.5 }),
    ] {
        let profile = gradients(function)?;
        let what = format!("{name}, He, 50 layers: gradient of layer 1 over that of layer 50");
        found.claimed(what, profile[0].1, expected);
        figure = figure.with(name, Mark::Line, profile);
    }
    found.figures.push(figure);
    found.notes.push(
        "He's scale explodes slowly with tanh and vanishes with GELU. What is level is within a factor of 2, as in the stop on starting \
         scales."
            .to_owned(),
    );
    Ok(())
}

fn norms(found: &mut Found) -> Result<(), Error> {
    let batch = stack(WIDTH, 2, normal(2.0, 0.0)?, phi("relu")?, Some(NormKind::Batch));
    let passes = |samples: usize| {
        let seen = seen(&batch, 0, samples);
        rms(&seen.backward, "fc2") / rms(&seen.backward, "norm2")
    };
    let what = "batch norm, 2 samples: part of the gradient that passes a norm, of what passes with 64";
    found.exact(what, passes(2) / passes(64), Expected::Below { limit: 1e-9 });

    let layer = network(Shape::vector(WIDTH), WIDTH, vec![norm("norm", NormKind::Layer, WIDTH, 0.0)]);
    let layer = model(&layer, 0, DType::F64);
    let inputs = Sampler::new(0).normals(WIDTH, 1.0);
    let louder: Vec<f64> = inputs.iter().map(|value| 100.0 * value).collect();
    let apart =
        outputs(&layer, &inputs).iter().zip(&outputs(&layer, &louder)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    found.exact(
        "layer norm: largest difference between its outputs for x and for 100 x",
        apart,
        Expected::Below { limit: 1e-9 },
    );
    Ok(())
}

fn skips(found: &mut Found) -> Result<(), Error> {
    const BLOCKS: usize = 30;
    let mut figure = Figure::new(
        "Skips whose branches are not scaled",
        Scale::linear("block"),
        Scale::log("rms of the block's output, of block 1's"),
    );
    for (name, scale) in [("unscaled", 1.0), ("branches over sqrt(30)", (BLOCKS as f64).sqrt().recip())] {
        let block = |block: usize| -> Result<Op, Error> {
            let (name, relu) = (format!("block{block}"), phi("relu")?);
            let fc = linear(format!("{name}.fc"), [WIDTH; 2], normal(2.0, 0.0)?, relu);
            Ok(residual(name.clone(), scale, vec![activation(format!("{name}.act"), relu), fc]))
        };
        let blocks: Result<Vec<Op>, Error> = (1..=BLOCKS).map(block).collect();
        let seen = seen(&network(Shape::vector(WIDTH), WIDTH, blocks?), 0, BATCH);
        let at = |block: usize| rms(&seen.forward, &format!("block{block}")) / rms(&seen.forward, "block1");
        let per_block = at(BLOCKS).powf(2.0 / (BLOCKS - 1) as f64);
        let theory = 1.0 + scale * scale;
        let what = format!("skips, {name}: growth of the squared output per block");
        found.exact(what, per_block, Expected::within(theory, 0.05));
        let expected = if scale == 1.0 { Expected::Above { limit: 1e3 } } else { Expected::Below { limit: 4.0 } };
        found.claimed(format!("skips, {name}: output of block 30 over that of block 1"), at(BLOCKS), expected);
        figure = figure.with(name, Mark::Line, (1..=BLOCKS).map(|block| (block as f64, at(block))).collect());
    }
    found.figures.push(figure);
    Ok(())
}

/// A network whose gradients explode, trained under clipping: no NaN, and the explosion is still there.
fn hidden(found: &mut Found, lab: &Lab<'_>) -> Result<(), Error> {
    let recipe = |variance: f64, clip: &str| {
        Subject::new(&format!(
            "[network]\nkind = \"mlp\"\ndepth = 20\nwidth = 32\ninit = {{ name = \"normal\", weight_variance = {variance:?} \
             }}\nhead_init = \"lecun-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.02\n{clip}[run]\nsteps = 400\n"
        ))
    };
    let clip = "[clip]\nkind = \"global-norm\"\nthreshold = 1.0\n";
    let free = recipe(4.0, "")?.train(0, lab)?;
    found.claimed("20 layers that explode, no clipping: loss", free.loss, Expected::Diverges);
    let subject = recipe(4.0, clip)?;
    let mut trainer = subject.trainer(0);
    let (mut clipped, mut factors) = (0, Vec::new());
    for step in 0..subject.recipe.run.steps {
        lab.stopped()?;
        let record = trainer.advance(&subject.data, true).and_then(|record| record.clip);
        if let Some(record) = record {
            clipped += usize::from(record.acted);
            factors.push((step as f64, record.norm_before));
        }
    }
    let steps = factors.len() as f64;
    let (loss, _) = judge(&trainer.model, &subject.data.train);
    found.claimed(
        "20 layers that explode, clipped by norm at 1: loss, as if all were well",
        loss,
        Expected::Below { limit: 2.3 },
    );
    found.claimed(
        "20 layers that explode, clipped: share of steps on which clipping acted",
        clipped as f64 / steps,
        Expected::Above { limit: 0.9 },
    );
    let late = &factors[factors.len() / 2..];
    let late = mean(late.iter().map(|(_, norm)| norm.ln())).exp();
    found.claimed(
        "20 layers that explode, clipped: norm of the gradient before that, second half of the training",
        late,
        Expected::Above { limit: 10.0 },
    );
    let cured = recipe(2.0, "")?.train(0, lab)?;
    found.claimed(
        "20 layers that explode, clipped: loss over that with He's weights and no clipping",
        loss / cured.loss,
        Expected::Above { limit: 1.0 },
    );
    found.figures.push(
        Figure::new("What clipping hides", Scale::linear("step"), Scale::log("norm of the gradient"))
            .with("before clipping", Mark::Line, factors.clone())
            .with("the threshold", Mark::Theory, factors.iter().map(|(step, _)| (*step, 1.0)).collect()),
    );
    Ok(())
}

/// What measures some of the remedies.
type Part = fn(&mut Found) -> Result<(), Error>;

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let parts: [Part; 4] = [dead, other_activations, norms, skips];
    for (index, part) in parts.into_iter().enumerate() {
        lab.at(index, parts.len() + 1)?;
        part(&mut found)?;
    }
    lab.at(parts.len(), parts.len() + 1)?;
    hidden(&mut found, lab)?;
    Ok(found)
}
