//! T19: through how many branches the gradient of a residual network comes (Veit, Wilber & Belongie 2016).
//!
//! With a formal z in front of every branch, on the way back alone, the cotangent of x + z F(x) becomes a polynomial in
//! z; its coefficient of z^k is what came through k branches. The coefficients add up to the gradient exactly.

use burn::tensor::DType;
use isogain_core::network::{NormKind, Op, OpKind, Shape};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::{Sampler, activation, init, linear, mean, model, network, norm, pass, phi, residual, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::model::Model;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "path-lengths",
    title: "The gradient of a residual network comes through short paths",
    source: "Veit, Wilber & Belongie 2016",
    setting: "20 blocks x + a W relu(x) of width 256, He weights, mean of 5 networks: energy of the gradient by the \
              number of branches it went through",
    disproof: None,
    seconds: 10,
    run,
};

/// A norm of each sample divides by a length that scatters by 1/sqrt(2 width), and the mean of its inverse is larger than
/// the inverse of its mean: at width 64 the normalised branches' paths are 6 % longer than in a wide network.
const WIDTH: usize = 256;
const BLOCKS: usize = 20;
const BATCH: usize = 32;
const NETWORKS: u64 = 5;

struct Case {
    name: &'static str,
    scale: f64,
    normalised: bool,
    /// Mean path length of a wide network, and one measured by an independent program on one seed.
    theory: f64,
    measured: f64,
}

/// A branch carries a share p of a block's energy, so that the mean is the sum of p over blocks: 1/2 for unscaled
/// branches of He weights, 1/(L + 1) where each is scaled by 1/sqrt(L), 1/(l + 1) in block l where branches are normalised
/// and each adds 1 to the variance of the stream.
fn cases() -> [Case; 3] {
    let blocks = BLOCKS as f64;
    let normalised = (1..=BLOCKS).map(|block| 1.0 / (block + 1) as f64).sum();
    [
        Case { name: "unscaled branches", scale: 1.0, normalised: false, theory: blocks / 2.0, measured: 10.10 },
        Case { name: "normalised branches", scale: 1.0, normalised: true, theory: normalised, measured: 2.58 },
        Case {
            name: "branches scaled by 1/sqrt(20)",
            scale: blocks.sqrt().recip(),
            normalised: false,
            theory: blocks / (blocks + 1.0),
            measured: 0.97,
        },
    ]
}

/// Energy by path length, the parts adding up to 1, and how far the parts' sum is from the gradient, relative to it.
struct Spectrum {
    energy: Vec<f64>,
    error: f64,
}

impl Case {
    fn spectrum(&self, seed: u64) -> Result<Spectrum, Error> {
        let relu = phi("relu")?;
        let he = init("he-normal", &[])?;
        let block = |block: usize| -> Op {
            let name = format!("block{block}");
            let norm = self.normalised.then(|| norm(format!("{name}.norm"), NormKind::Rms, WIDTH, 0.0));
            let rest = [activation(format!("{name}.act"), relu), linear(format!("{name}.fc"), [WIDTH; 2], he, relu)];
            residual(name, self.scale, norm.into_iter().chain(rest).collect())
        };
        let whole = network(Shape::vector(WIDTH), WIDTH, (1..=BLOCKS).map(block).collect());
        let whole = model(&whole, seed, DType::F64);
        let mut sampler = Sampler::new(seed);
        let (inputs, start) = (sampler.normals(BATCH * WIDTH, 1.0), sampler.normals(BATCH * WIDTH, 1.0));
        let seen = pass(&whole, &inputs, &start, Keep::Values).seen;

        let mut paths = vec![start];
        for block in (1..=BLOCKS).rev() {
            let before = if block == 1 { "input".to_owned() } else { format!("block{}", block - 1) };
            let input = values(&seen.forward, &before);
            let through = through_branch(&branch(&whole, block), &input, &paths);
            let mut longer = vec![vec![0.0; BATCH * WIDTH]; paths.len() + 1];
            for (length, (kept, through)) in paths.iter().zip(&through).enumerate() {
                longer[length].iter_mut().zip(kept).for_each(|(sum, value)| *sum += value);
                longer[length + 1].iter_mut().zip(through).for_each(|(sum, value)| *sum += self.scale * value);
            }
            paths = longer;
        }
        let square = |path: &[f64]| path.iter().map(|value| value * value).sum::<f64>();
        let total: f64 = paths.iter().map(|path| square(path)).sum();
        let gradient = values(&seen.backward, "input");
        let apart = |at: usize| paths.iter().map(|path| path[at]).sum::<f64>() - gradient[at];
        let apart: Vec<f64> = (0..gradient.len()).map(apart).collect();
        Ok(Spectrum {
            energy: paths.iter().map(|path| square(path) / total).collect(),
            error: (square(&apart) / square(&gradient)).sqrt(),
        })
    }
}

/// The branch of one block as a network of its own, with the same parameters.
fn branch(whole: &Model, block: usize) -> Model {
    let ops = match &whole.network.ops[block - 1].kind {
        OpKind::Residual(residual) => residual.branch.clone(),
        _ => Vec::new(),
    };
    let mut branch = whole.clone();
    branch.network = network(Shape::vector(WIDTH), WIDTH, ops);
    branch.parameters.retain(|name, _| name.starts_with(&format!("block{block}.")));
    branch
}

/// Every cotangent sent back through a branch that was entered with `input`: one pass over as many copies of it.
fn through_branch(branch: &Model, input: &[f64], cotangents: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let seen = pass(branch, &input.repeat(cotangents.len()), &cotangents.concat(), Keep::Values).seen;
    values(&seen.backward, "input").chunks_exact(input.len()).map(<[f64]>::to_vec).collect()
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure = Figure::new(
        "Energy of the gradient by path length",
        Scale::linear("branches that it went through"),
        Scale::linear("share of the energy"),
    );
    let cases = cases();
    let mut error = 0.0_f64;
    for (index, case) in cases.iter().enumerate() {
        let mut spectra = Vec::new();
        for seed in 0..NETWORKS {
            lab.at(index * NETWORKS as usize + seed as usize, cases.len() * NETWORKS as usize)?;
            spectra.push(case.spectrum(seed)?);
        }
        error = spectra.iter().fold(error, |error, spectrum| error.max(spectrum.error));
        let energy: Vec<f64> =
            (0..=BLOCKS).map(|length| mean(spectra.iter().map(|spectrum| spectrum.energy[length]))).collect();
        let length: f64 = energy.iter().enumerate().map(|(length, energy)| length as f64 * energy).sum();
        let what = format!("mean path length of 20, {}", case.name);
        found.rows.push(Row::new(&what, length, Expected::within(case.theory, 0.05), Basis::Exact));
        found.rows.push(Row::new(what, length, Expected::within(case.measured, 0.05), Basis::Measured));
        let points = energy.iter().enumerate().map(|(length, energy)| (length as f64, *energy)).collect();
        figure = figure.with(case.name, Mark::Line, points);
    }
    // Rounding of some hundred additions.
    let sum = Expected::Below { limit: 1e-12 };
    found.rows.push(Row::new("the parts' sum off the gradient, relative", error, sum, Basis::Exact));
    found.figures.push(figure);
    Ok(found)
}
