//! T12: how the gradient of a transformer's last feed-forward layer depends on depth, by the place of the norm: as
//! L^(-1/2) where it comes first, not at all where it comes last (Xiong et al. 2020), and level over all layers with
//! DeepNorm (Wang et al. 2022).

use std::f64::consts::SQRT_2;

use burn::tensor::DType;
use isogain_core::network::{Network, Op, OpKind, Shape};
use isogain_core::recipe::{expand, parse};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::{Sampler, mean, model, set, slope};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::data::{Samples, Targets};
use crate::snapshot::loss_and_gradients;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "transformer-depth",
    title: "Where the norm stands decides how a transformer's gradient depends on its depth",
    source: "Xiong et al. 2020; Wang et al. 2022",
    setting: "blocks of width 128 on 64 tokens, cross-entropy over 128 classes at initialisation, depths 8 to 64, 8 \
              networks, with uniform attention (queries of zero) and with full attention: slope of ln |dW| of the last \
              feed-forward layer by ln of the depth",
    disproof: None,
    seconds: 100,
    run,
};

const WIDTH: usize = 128;
const TOKENS: usize = 64;
const DEPTHS: [usize; 4] = [8, 16, 32, 64];
const NETWORKS: u64 = 8;
const TOLERANCE: f64 = 0.1;

/// Placement in a recipe, what it is called, the exponent of theory, and that measured by an independent program with
/// uniform attention.
const PLACEMENTS: [(&str, &str, f64, f64); 3] =
    [("pre", "norm first", -0.5, -0.539), ("post", "norm last", 0.0, 0.077), ("deepnorm", "DeepNorm", -0.5, -0.502)];

fn transformer(placement: &str, depth: usize) -> Result<Network, Error> {
    let recipe = format!(
        "[network]\nkind = \"transformer\"\ndepth = {depth}\nwidth = {WIDTH}\nheads = 1\nmlp_ratio = 1\nactivation = \"relu\"\n\
         init = \"lecun-normal\"\nnorm = \"layer\"\nnorm_eps = 1e-12\nnorm_placement = \"{placement}\"\npositions = \"none\"\n\
         head = \"every\"\ncausal = false\n"
    );
    let mut network = expand::network(&parse(&recipe, "recipe")?, Shape::sequence(TOKENS, WIDTH), WIDTH)?;
    double(&mut network.ops)?;
    Ok(network)
}

/// Twice the variance for what reads the stream and is followed by ReLU, as both papers have it.
fn double(ops: &mut [Op]) -> Result<(), Error> {
    for op in ops {
        match &mut op.kind {
            OpKind::Residual(block) => double(&mut block.branch)?,
            OpKind::Linear(linear) if op.name.ends_with(".fc") => {
                let scaled = linear.init.scaled(SQRT_2);
                linear.init = scaled.ok_or_else(|| Error::Mismatch(format!("{} cannot be scaled", linear.init)))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// |dW| of the feed-forward layer that ends in the stream, in the last and in the first block.
fn gradients(network: &Network, depth: usize, uniform: bool, seed: u64) -> (f64, f64) {
    let mut model = model(network, seed, DType::F32);
    let queries: Vec<String> =
        model.parameters.keys().filter(|name| uniform && name.ends_with(".qkv.weight")).cloned().collect();
    for name in queries {
        let mut weight = model.parameters[&name].to_f64();
        weight.chunks_exact_mut(3 * WIDTH).for_each(|row| row[..WIDTH].fill(0.0));
        set(&mut model, &name, &weight);
    }
    let mut sampler = Sampler::new(seed);
    let inputs = sampler.normals(TOKENS * WIDTH, 1.0);
    let labels = (0..TOKENS).map(|_| sampler.below(WIDTH)).collect();
    let batch = Samples { shape: network.input.clone(), inputs, targets: Targets::Classes { labels, classes: WIDTH } };
    let (_, gradients) = loss_and_gradients(&model, &batch, None);
    let norm = |block: usize| {
        let gradient = gradients[format!("block{block}.mlp.proj.weight").as_str()].to_f64();
        gradient.iter().map(|value| value * value).sum::<f64>().sqrt()
    };
    (norm(depth), norm(1))
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure = Figure::new(
        "Gradient of the last feed-forward layer, full attention",
        Scale::log("blocks"),
        Scale::log("|dW|"),
    );
    let all = 2 * PLACEMENTS.len() * NETWORKS as usize * DEPTHS.iter().sum::<usize>();
    let mut done = 0;
    for (placement, name, theory, measured) in PLACEMENTS {
        for (uniform, attention) in [(true, "uniform attention"), (false, "full attention")] {
            let (mut points, mut level) = (Vec::new(), 0.0);
            for depth in DEPTHS {
                let network = transformer(placement, depth)?;
                let (mut last, mut first) = (Vec::new(), Vec::new());
                for seed in 0..NETWORKS {
                    lab.at(done, all)?;
                    let (of_last, of_first) = gradients(&network, depth, uniform, seed);
                    last.push(of_last.ln());
                    first.push(of_first.ln());
                    done += depth;
                }
                let last = mean(last);
                level = last - mean(first);
                points.push(((depth as f64).ln(), last));
            }
            let exponent = slope(&points);
            let what = format!("{name}, {attention}: exponent of the depth");
            let theirs = |value: f64| Expected::Near { value, tolerance: TOLERANCE };
            found.rows.push(Row::new(&what, exponent, theirs(theory), Basis::Exact));
            if uniform {
                found.rows.push(Row::new(what, exponent, theirs(measured), Basis::Measured));
            } else {
                let line = points.iter().map(|(depth, last)| (depth.exp(), last.exp())).collect();
                figure = figure.with(name, Mark::Line, line);
            }
            if placement == "deepnorm" {
                let what = format!("{name}, {attention}: last over first block of 64");
                let theirs = Expected::Between { low: 0.9, high: 1.1 };
                found.rows.push(Row::new(what, level.exp(), theirs, Basis::Measured));
            }
        }
    }
    found.figures.push(figure);
    Ok(found)
}
