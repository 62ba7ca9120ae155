//! T5: how fast depth makes two inputs alike and gradients small: measured on wide tanh networks against the e-folding
//! depth xi_c and the factor chi of mean-field theory (Poole et al. 2016; Schoenholz et al. 2017), and the critical weights
//! under dropout (Pretorius et al. 2018).

use burn::tensor::DType;
use isogain_core::network::{Dropout, Network, Op, OpKind, Shape};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::mean_field::{FixedPoint, MeanField};

use super::bench::{Sampler, activation, linear, mean, model, network, normal, pass, phi, rms, slope, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "depth-scales",
    title: "Two inputs become one, and gradients vanish, over a depth that theory knows",
    source: "Poole et al. 2016; Schoenholz et al. 2017; Pretorius et al. 2018",
    setting: "tanh networks of width 500, bias variance 0.05, 120 networks, two inputs of correlation 0.6; ReLU networks of \
              width 500 with dropout, 40 networks",
    disproof: None,
    seconds: 70,
    run,
};

const WIDTH: usize = 500;
/// Each layer's squared gain scatters by 7 % in a network of this width. Over the 26 layers of the first case a network's
/// slope then scatters by 0.014, eleven percent of it, and the mean of 120 by one percent; with 10 networks of width 1000
/// it would be 2.5 %.
const NETWORKS: u64 = 120;
/// Weight variance; depth; the layers over which the correlation falls exponentially: past the first, where 1 - c is not
/// small, and before it sinks below 1e-3 or so.
const CASES: [(f64, usize, std::ops::Range<usize>); 2] = [(1.3, 36, 10..36), (1.0, 24, 6..24)];
const BIAS: f64 = 0.05;
const CORRELATION: f64 = 0.6;
/// Three standard errors.
const TOLERANCE: f64 = 0.03;

const DROPOUT_WIDTH: usize = 500;
const DROPOUT_DEPTH: usize = 20;
const DROPOUT_NETWORKS: u64 = 40;
const KEPT: f64 = 0.8;
/// ln of the mean of 40 networks over 20 layers: each layer's squared gain has a relative variance of (6/0.8 - 1) / 500,
/// so that three standard errors of the mean per layer are 0.012.
const DROPOUT_TOLERANCE: f64 = 0.012;

/// Layers z -> W phi(z) + b, entered at z.
fn tanh(depth: usize, weight_variance: f64) -> Result<Network, Error> {
    let (phi, weights) = (phi("tanh")?, normal(weight_variance, BIAS)?);
    let layers = (1..=depth).flat_map(|layer| {
        [activation(format!("act{layer}"), phi), linear(format!("fc{layer}"), [WIDTH; 2], weights, phi)]
    });
    Ok(network(Shape::vector(WIDTH), WIDTH, layers.collect()))
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure = Figure::new("Two inputs become one", Scale::linear("layer"), Scale::log("1 - correlation"));
    for (index, (weight_variance, depth, range)) in CASES.into_iter().enumerate() {
        let theory = MeanField { activation: phi("tanh")?, weight_variance, bias_variance: BIAS };
        let (q, propagation) = match theory.fixed_point(1.0) {
            FixedPoint::Stable { q } => (q, theory.propagation(1.0)),
            other => return Err(Error::Mismatch(format!("no stable variance: {other:?}"))),
        };
        let xi = propagation.correlation_depth.unwrap_or(f64::NAN);
        let network = tanh(depth, weight_variance)?;
        let (mut apart, mut lengths) = (vec![0.0; depth], vec![0.0; depth]);
        let mut squares = [0.0; 2];
        for seed in 0..NETWORKS {
            lab.at(index * NETWORKS as usize + seed as usize, 3 * NETWORKS as usize)?;
            let model = model(&network, seed, DType::F32);
            let mut sampler = Sampler::new(seed);
            let (first, other) = (sampler.normals(WIDTH, q.sqrt()), sampler.normals(WIDTH, q.sqrt()));
            let rest = (1.0 - CORRELATION * CORRELATION).sqrt();
            let second = first.iter().zip(&other).map(|(a, b)| CORRELATION * a + rest * b);
            let inputs: Vec<f64> = first.iter().copied().chain(second).collect();
            let seen = pass(&model, &inputs, &sampler.normals(2 * WIDTH, 1.0), Keep::Values).seen;
            for layer in 1..=depth {
                let z = values(&seen.forward, &format!("fc{layer}"));
                let (a, b) = z.split_at(WIDTH);
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                apart[layer - 1] += (1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()) / NETWORKS as f64;
                lengths[layer - 1] += dot(&z, &z) / z.len() as f64 / NETWORKS as f64;
            }
            // Means of squares, of which theory speaks; the mean of logarithms is lower by half of their variance.
            for (square, layer) in squares.iter_mut().zip([1, depth]) {
                *square += rms(&seen.backward, &format!("fc{layer}")).powi(2);
            }
        }
        let points: Vec<(f64, f64)> = (1..=depth).map(|layer| (layer as f64, apart[layer - 1])).collect();
        let logs: Vec<(f64, f64)> = points[range.clone()].iter().map(|(layer, apart)| (*layer, apart.ln())).collect();
        let name = format!("weight variance {weight_variance}");
        let mut row = |what: &str, ours: f64, theirs: f64| {
            found.rows.push(Row::new(
                format!("{name}: {what}"),
                ours,
                Expected::within(theirs, TOLERANCE),
                Basis::Exact,
            ));
        };
        row("slope of ln(1 - correlation), -1/xi_c", slope(&logs), -1.0 / xi);
        row("variance of pre-activations, q*", mean(lengths[depth / 2..].iter().copied()), q);
        let decay = (squares[0] / squares[1]).ln() / (depth - 1) as f64;
        row("ln of the squared gradient per layer, ln chi", decay, propagation.chi.ln());
        let start = logs[0].1 + logs[0].0 / xi;
        let line = points.iter().map(|(layer, _)| (*layer, (start - layer / xi).exp())).collect();
        figure = figure.with(format!("{name}, theory"), Mark::Theory, line).with(name, Mark::Line, points);
    }
    found.figures.push(figure);
    for (what, weight_variance, expected) in
        [("critical weights 2 p", 2.0 * KEPT, 0.0), ("He weights", 2.0, -KEPT.ln())]
    {
        let growth = dropout(weight_variance, lab)?;
        let what = format!("dropout, 0.8 kept, {what}: ln of the signal's growth per layer");
        let expected = Expected::Near { value: expected, tolerance: DROPOUT_TOLERANCE };
        found.rows.push(Row::new(what, growth, expected, Basis::Exact));
    }
    Ok(found)
}

/// ln of the growth per layer of the mean squared pre-activation, over networks with dropout after every ReLU.
fn dropout(weight_variance: f64, lab: &Lab<'_>) -> Result<f64, Error> {
    let (relu, weights) = (phi("relu")?, normal(weight_variance, 0.0)?);
    let drop = |layer: usize| {
        let dropout = Dropout { fraction: 1.0 - KEPT };
        Op { name: format!("dropout{layer}"), kind: OpKind::Dropout(dropout) }
    };
    let layer = |layer: usize| {
        let weights = linear(format!("fc{layer}"), [DROPOUT_WIDTH; 2], weights, relu);
        [weights, activation(format!("act{layer}"), relu), drop(layer)]
    };
    let ops = (1..=DROPOUT_DEPTH).flat_map(layer).collect();
    let network = network(Shape::vector(DROPOUT_WIDTH), DROPOUT_WIDTH, ops);
    let (mut first, mut last) = (0.0, 0.0);
    for seed in 0..DROPOUT_NETWORKS {
        lab.at(2 * NETWORKS as usize, 3 * NETWORKS as usize)?;
        let model = model(&network, seed, DType::F32);
        let mut sampler = Sampler::new(seed);
        let inputs = sampler.normals(8 * DROPOUT_WIDTH, 1.0);
        let seen = pass(&model, &inputs, &inputs, Keep::Moments).seen;
        first += rms(&seen.forward, "fc1").powi(2);
        last += rms(&seen.forward, &format!("fc{DROPOUT_DEPTH}")).powi(2);
    }
    Ok((last / first).ln() / (DROPOUT_DEPTH - 1) as f64)
}
