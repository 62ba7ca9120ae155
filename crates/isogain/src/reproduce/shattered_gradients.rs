//! T27: batch norm in a plain network makes the gradient of one input say nothing of that of its neighbour; skips keep it
//! (Balduzzi et al. 2017).

use burn::tensor::DType;
use isogain_core::network::{Network, NormKind, Op, OpKind, Shape};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::{Activation, Initializer};

use super::bench::{
    Sampler, Side, activation, init, linear, mean, model, network, norm, normal, pass, phi, residual, set, values,
};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::model::{Mode, Model, Value, branch_joint, matrix, vector};
use crate::probe::{Keep, Probes};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "shattered-gradients",
    title: "Batch norm without skips shatters the gradient: neighbours' gradients have nothing in common",
    source: "Balduzzi et al. 2017",
    setting: "networks of one input and width 200 on 256 points from -2 to 2, 20 networks, 60 without batch norm, which \
              scatter more: correlation of df/dx at neighbouring points, the batch's statistics held",
    disproof: None,
    seconds: 60,
    run,
};

const WIDTH: usize = 200;
const POINTS: usize = 256;
const NETWORKS: u64 = 20;
/// Without batch norm the correlations of 50 layers scatter by 0.14 from network to network.
const PLAIN_NETWORKS: u64 = 60;
/// Factor on each branch.
const BRANCH: f64 = 0.1;
/// Steps of the grid at which the correlation is drawn.
const LAGS: [usize; 5] = [1, 2, 4, 8, 16];

struct Case {
    name: &'static str,
    normalised: bool,
    skips: bool,
    depth: usize,
    /// Correlation of neighbours, measured by an independent program on 20 networks, on 300 without batch norm.
    measured: f64,
}

const CASES: [Case; 7] = [
    Case { name: "plain", normalised: false, skips: false, depth: 24, measured: 0.879 },
    Case { name: "plain", normalised: false, skips: false, depth: 50, measured: 0.773 },
    Case { name: "plain with batch norm", normalised: true, skips: false, depth: 10, measured: 0.479 },
    Case { name: "plain with batch norm", normalised: true, skips: false, depth: 24, measured: -0.009 },
    Case { name: "plain with batch norm", normalised: true, skips: false, depth: 50, measured: -0.011 },
    Case { name: "skips and batch norm", normalised: true, skips: true, depth: 24, measured: 0.931 },
    Case { name: "skips and batch norm", normalised: true, skips: true, depth: 50, measured: 0.892 },
];

impl Case {
    fn networks(&self) -> u64 {
        if self.normalised { NETWORKS } else { PLAIN_NETWORKS }
    }

    fn network(&self) -> Result<Network, Error> {
        let (relu, he) = (phi("relu")?, init("he-normal", &[])?);
        // Weights N(0, 1), so that with the biases below the kinks lie across the grid.
        let first = linear("fc0", [1, WIDTH], normal(1.0, 0.0)?, phi("linear")?);
        let layer = |layer: usize| {
            let name = if self.skips { format!("block{layer}.") } else { String::new() };
            let norm = self.normalised.then(|| norm(format!("{name}norm{layer}"), NormKind::Batch, WIDTH, 0.0));
            let rest = [
                activation(format!("{name}act{layer}"), relu),
                linear(format!("{name}fc{layer}"), [WIDTH; 2], he, relu),
            ];
            let ops: Vec<Op> = norm.into_iter().chain(rest).collect();
            if self.skips { vec![residual(format!("block{layer}"), BRANCH, ops)] } else { ops }
        };
        let head = linear("head", [WIDTH, 1], init("lecun-normal", &[])?, phi("linear")?);
        let ops = std::iter::once(first).chain((1..=self.depth).flat_map(layer)).chain([head]).collect();
        Ok(network(Shape::vector(1), 1, ops))
    }

    /// Correlation of df/dx at points so many steps apart.
    fn correlations(&self, seed: u64) -> Result<Vec<f64>, Error> {
        let mut model = model(&self.network()?, seed, DType::F64);
        set(&mut model, "fc0.bias", &Sampler::new(seed).normals(WIDTH, 1.0));
        let grid: Vec<f64> = (0..POINTS).map(|at| -2.0 + 4.0 * at as f64 / (POINTS - 1) as f64).collect();
        let frozen = frozen(&model, &grid);
        let seen = pass(&frozen, &grid, &[1.0; POINTS], Keep::Values).seen;
        let gradient = values(&seen.backward, "input");
        let centre = mean(gradient.iter().copied());
        let off: Vec<f64> = gradient.iter().map(|value| value - centre).collect();
        let variance = mean(off.iter().map(|value| value * value));
        let of = |lag: usize| mean(off.iter().zip(&off[lag..]).map(|(a, b)| a * b)) / variance;
        Ok(LAGS.into_iter().map(of).collect())
    }
}

/// The same network with each batch norm replaced by a diagonal layer that does what the norm does on these inputs: the
/// batch's statistics are then constants to the gradient.
fn frozen(model: &Model, inputs: &[f64]) -> Model {
    let probes = Probes::new(Keep::Values);
    let inputs = matrix(inputs, inputs.len(), 1, model.dtype, &model.device);
    model.forward(&mut model.plain(Mode::Train, Some(&probes)), inputs);
    let (seen, mut frozen) = (probes.take().forward, model.clone());
    let mut ops = std::mem::take(&mut frozen.network.ops);
    freeze(&mut ops, "input", &seen, &mut frozen);
    frozen.network.ops = ops;
    frozen
}

/// Freezes the norms of a list of operations that is entered at a joint.
fn freeze(ops: &mut [Op], entry: &str, seen: &Side, model: &mut Model) {
    let mut before = entry.to_owned();
    for op in ops {
        match &mut op.kind {
            OpKind::Residual(block) => freeze(&mut block.branch, &branch_joint(&op.name), seen, model),
            OpKind::Norm(norm) => {
                let (features, input) = (norm.features, values(seen, &before));
                let column = |feature: usize| input.iter().skip(feature).step_by(features).copied();
                let centres: Vec<f64> = (0..features).map(|feature| mean(column(feature))).collect();
                let variance =
                    |feature: usize| mean(column(feature).map(|x| (x - centres[feature]).powi(2))) + norm.eps;
                let factors: Vec<f64> = (0..features).map(|feature| variance(feature).sqrt().recip()).collect();
                let diagonal =
                    |at: usize| if at.is_multiple_of(features + 1) { factors[at / (features + 1)] } else { 0.0 };
                let weight: Vec<f64> = (0..features * features).map(diagonal).collect();
                let bias: Vec<f64> = centres.iter().zip(&factors).map(|(centre, factor)| -centre * factor).collect();
                let weight = Value::Matrix(matrix(&weight, features, features, model.dtype, &model.device));
                let bias = Value::Vector(vector(&bias, model.dtype, &model.device));
                model.parameters.insert(format!("{}.weight", op.name), weight);
                model.parameters.insert(format!("{}.bias", op.name), bias);
                let fans = [features, features];
                op.kind = linear("", fans, Initializer::pytorch_default(), Activation::linear()).kind;
            }
            _ => {}
        }
        before.clone_from(&op.name);
    }
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure = Figure::new(
        "Correlation of the gradients of two inputs",
        Scale::linear("distance, steps of 4/255"),
        Scale::linear("correlation"),
    );
    let (mut done, all) = (0, CASES.iter().map(Case::networks).sum::<u64>() as usize);
    for case in &CASES {
        let mut sums = vec![0.0; LAGS.len()];
        for seed in 0..case.networks() {
            lab.at(done, all)?;
            done += 1;
            let found = case.correlations(seed)?;
            sums.iter_mut().zip(found).for_each(|(sum, value)| *sum += value / case.networks() as f64);
        }
        let name = format!("{}, {} layers", case.name, case.depth);
        let theirs = Expected::Near { value: case.measured, tolerance: 0.05 };
        found.rows.push(Row::new(format!("{name}: correlation of neighbours"), sums[0], theirs, Basis::Measured));
        if case.depth == 24 {
            let points = LAGS.into_iter().zip(&sums).map(|(lag, value)| (lag as f64, *value)).collect();
            figure = figure.with(name, Mark::Line, points);
        }
    }
    found.figures.push(figure);
    Ok(found)
}
