//! y = f(x) + x: what comes back through the skip and what through f.

use burn::tensor::DType;
use isogain_core::network::{Network, Op, Shape};
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};

use super::bench::{
    Passed, Sampler, activation, jacobian, linear, mean, model, network, normal, pass, phi, residual, rms, values,
};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "skip-adds-one",
    title: "A skip y = f(x) + x adds 1 to the derivative, so the gradient passes even where that of f vanishes",
    source: "He, Zhang, Ren & Sun 2016",
    setting: "20 blocks of width 32, f a linear layer and tanh, weights of variance v / 32, 16 samples: what comes back through \
              each skip and each f, with v from 1 to 0.0001; the same layers without skips",
    disproof: Some(
        "the derivative of a block minus that of its f were not the identity, or the gradient vanished with the skips too",
    ),
    seconds: 1,
    run,
};

const WIDTH: usize = 32;
const BLOCKS: usize = 20;
const BATCH: usize = 16;

fn branch(name: &str, variance: f64) -> Result<Vec<Op>, Error> {
    let tanh = phi("tanh")?;
    let fc = linear(format!("{name}.fc"), [WIDTH; 2], normal(variance, 0.0)?, tanh);
    Ok(vec![fc, activation(format!("{name}.act"), tanh)])
}

/// The blocks, or their functions f one after the other.
fn blocks(variance: f64, skips: bool, count: usize) -> Result<Network, Error> {
    let mut ops = Vec::new();
    for block in 1..=count {
        let name = format!("block{block}");
        let branch = branch(&name, variance)?;
        ops.extend(if skips { vec![residual(name, 1.0, branch)] } else { branch });
    }
    Ok(network(Shape::vector(WIDTH), WIDTH, ops))
}

fn passed(network: &Network) -> Passed {
    let mut sampler = Sampler::new(0);
    let (inputs, cotangent) = (sampler.normals(BATCH * WIDTH, 1.0), sampler.normals(BATCH * WIDTH, 1.0));
    pass(&model(network, 0, DType::F64), &inputs, &cotangent, Keep::Values)
}

/// Largest difference between two lists.
fn apart(ours: impl Iterator<Item = f64>, theirs: impl Iterator<Item = f64>) -> f64 {
    ours.zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max)
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut gradients = Figure::new(
        "Gradient by block, with and without skips",
        Scale::linear("block"),
        Scale::log("rms of dL/dx, of the last block's"),
    );
    let mut shares = Figure::new(
        "What comes back through f, of the gradient's energy at a block",
        Scale::linear("block"),
        Scale::log("share"),
    );
    let rounding = Expected::Below { limit: 1e-12 };

    // One block with v = 1: the Jacobians themselves.
    let input = Sampler::new(1).normals(WIDTH, 1.0);
    let [whole, alone] = [true, false].map(|skips| blocks(1.0, skips, 1));
    let [whole, alone] = [whole?, alone?].map(|network| jacobian(&model(&network, 0, DType::F64), &input));
    let identity = (0..WIDTH * WIDTH).map(|at| f64::from(u8::from(at % (WIDTH + 1) == 0)));
    let off = apart(whole.iter().zip(&alone).map(|(whole, alone)| whole - alone), identity);
    found.exact("derivative of a block minus that of its f: largest distance from the identity", off, rounding);

    let cases = [("v = 1", 1.0), ("v = 0.05", 0.05), ("v = 0.0001", 1e-4)];
    let mut sums = 0.0_f64;
    for (index, (name, variance)) in cases.into_iter().enumerate() {
        lab.at(index, cases.len())?;
        let before = |block: usize| if block == 1 { "input".to_owned() } else { format!("block{}", block - 1) };
        let with = passed(&blocks(variance, true, BLOCKS)?).seen.backward;
        let square = |joint: &str| values(&with, joint).iter().map(|value| value * value).sum::<f64>();
        let part = |block: usize| {
            let (skip, through) = (square(&format!("block{block}")), square(&format!("block{block}/branch")));
            through / (skip + through)
        };
        for block in 1..=BLOCKS {
            let [whole, skip, through] =
                [before(block), format!("block{block}"), format!("block{block}/branch")].map(|at| values(&with, &at));
            let scale = whole.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            let sum = skip.iter().zip(&through).map(|(skip, through)| skip + through);
            sums = sums.max(apart(sum, whole.iter().copied()) / scale);
        }
        let through = mean((1..=BLOCKS).map(part));
        let line = |of: &dyn Fn(usize) -> f64| (1..=BLOCKS).map(|block| (block as f64, of(block))).collect::<Vec<_>>();
        shares = shares.with(name, Mark::Line, line(&part));
        let at = |block: usize| rms(&with, &before(block)) / rms(&with, &before(BLOCKS));
        gradients = gradients.with(format!("{name}, skips"), Mark::Line, line(&at));
        if variance < 0.01 {
            let without = passed(&blocks(variance, false, BLOCKS)?).seen.backward;
            let joint = |block: usize| if block == 1 { "input".to_owned() } else { format!("block{}.act", block - 1) };
            let plain = |block: usize| rms(&without, &joint(block)) / rms(&without, &joint(BLOCKS));
            gradients = gradients.with(format!("{name}, no skips"), Mark::Line, line(&plain));
            found.claimed(format!("{name}: share that comes back through f"), through, Expected::Below { limit: 1e-3 });
            let what = format!("{name}, no skips: gradient before block 1 over that before block {BLOCKS}");
            found.claimed(what, plain(1), Expected::Below { limit: 1e-30 });
            let what = format!("{name}, skips: gradient before block 1 over that before block {BLOCKS}");
            found.claimed(what, at(1), Expected::Near { value: 1.0, tolerance: 0.05 });
        }
    }
    found.exact("what came through the skip and through f, off their sum, relative", sums, rounding);
    found.figures.extend([gradients, shares]);
    found.notes.push(
        "The 1 is added, it does not replace: where the derivative of f is large, as with v = 1, the gradient grows from block to \
         block. That is the price, and scaling the branch is its remedy; see the last stop."
            .to_owned(),
    );
    Ok(found)
}
