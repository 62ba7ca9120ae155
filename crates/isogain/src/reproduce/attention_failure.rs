//! T26: how attention fails. Large logits make the softmax a choice of one and its gradient small; attention alone, without
//! skips, makes all tokens the same at a doubly exponential rate (Dong et al. 2021; Noci et al. 2022).

use burn::tensor::DType;
use isogain_core::network::{Attention, Network, NormKind, Op, OpKind, Shape};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::{Sampler, init, linear, mean, model, network, norm, pass, phi, residual, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "attention-failure",
    title: "Attention with large logits passes no gradient; without skips it makes all tokens the same",
    source: "Dong et al. 2021; Noci et al. 2022",
    setting: "softmax of 128 normal logits, 100,000 rows; 8 layers of one-headed attention on 32 tokens of width 64, 20 \
              networks",
    disproof: None,
    seconds: 15,
    run,
};

const LOGITS: usize = 128;
/// In each of [`BATCHES`]: |J^T v|^2 of one row with large logits scatters by twice its mean, so that the mean of all is
/// known to 0.7 %.
const ROWS: usize = 50_000;
const BATCHES: u64 = 2;
const TOKENS: usize = 32;
const WIDTH: usize = 64;
const LAYERS: usize = 8;
const NETWORKS: u64 = 20;

/// Deviation of the logits; entropy over its largest value, and mean squared norm of the Jacobian, both measured by an
/// independent program on 100,000 rows. The third is sqrt(2 ln 128), where random energies freeze.
const SOFTMAX: [(f64, f64, f64); 4] =
    [(0.0, 1.0, 0.007751), (1.0, 0.8998, 0.01875), (3.115, 0.4290, 0.09358), (8.0, 0.1351, 0.07734)];

/// Mean entropy as a part of ln 128, and mean squared Frobenius norm of the Jacobian: |J^T v|^2 for random v.
fn softmax(deviation: f64) -> (f64, f64) {
    let op = Op { name: "softmax".to_owned(), kind: OpKind::Softmax };
    let model = model(&network(Shape::vector(LOGITS), LOGITS, vec![op]), 0, DType::F64);
    let (mut entropy, mut squares) = (0.0, 0.0);
    for batch in 0..BATCHES {
        let mut sampler = Sampler::new(batch);
        let logits = sampler.normals(ROWS * LOGITS, deviation);
        let passed = pass(&model, &logits, &sampler.normals(ROWS * LOGITS, 1.0), Keep::Values);
        entropy -= passed.outputs.iter().map(|p| if *p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>();
        squares += values(&passed.seen.backward, "input").iter().map(|g| g * g).sum::<f64>();
    }
    let rows = BATCHES as f64 * ROWS as f64;
    (entropy / rows / (LOGITS as f64).ln(), squares / rows)
}

/// Layers of attention, each token scaled to one length after it.
fn attention(skip: bool) -> Result<Network, Error> {
    let (lecun, phi) = (init("lecun-normal", &[])?, phi("linear")?);
    let layer = |layer: usize| {
        let heads =
            Attention { features: WIDTH, heads: 1, steps: TOKENS, causal: false, rotary: false, logit_cap: None };
        let branch = vec![
            linear(format!("qkv{layer}"), [WIDTH, 3 * WIDTH], lecun, phi),
            Op { name: format!("attention{layer}"), kind: OpKind::Attention(heads) },
        ];
        let ops = if skip { vec![residual(format!("block{layer}"), 1.0, branch)] } else { branch };
        ops.into_iter().chain([norm(format!("norm{layer}"), NormKind::Rms, WIDTH, 0.0)])
    };
    Ok(network(Shape::sequence(TOKENS, WIDTH), WIDTH, (1..=LAYERS).flat_map(layer).collect()))
}

/// How far the tokens are from all being the same after each layer, |X - mean| / |X|: the geometric mean over networks.
fn apart(skip: bool) -> Result<Vec<f64>, Error> {
    let network = attention(skip)?;
    let mut logs = vec![0.0; LAYERS];
    for seed in 0..NETWORKS {
        let tokens = Sampler::new(seed).normals(TOKENS * WIDTH, 1.0);
        let seen = pass(&model(&network, seed, DType::F64), &tokens, &tokens, Keep::Values).seen;
        for (layer, log) in (1..=LAYERS).zip(&mut logs) {
            let x = values(&seen.forward, &format!("norm{layer}"));
            let centre: Vec<f64> =
                (0..WIDTH).map(|feature| mean(x.iter().skip(feature).step_by(WIDTH).copied())).collect();
            let off = x.iter().zip(centre.iter().cycle()).map(|(x, centre)| (x - centre).powi(2)).sum::<f64>();
            let all = x.iter().map(|x| x * x).sum::<f64>();
            // Rounding is all that is left of it after some layers.
            *log += 0.5 * (off / all).max(1e-32).ln() / NETWORKS as f64;
        }
    }
    Ok(logs.into_iter().map(f64::exp).collect())
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    for (index, (deviation, entropy, jacobian)) in SOFTMAX.into_iter().enumerate() {
        lab.at(index, SOFTMAX.len() + 2)?;
        let (ours, slopes) = softmax(deviation);
        let what = format!("logits of deviation {deviation}");
        let mut row = |what: String, ours: f64, theirs: f64| {
            found.rows.push(Row::new(what, ours, Expected::within(theirs, 0.02), Basis::Measured));
        };
        row(format!("{what}: entropy over ln 128"), ours, entropy);
        row(format!("{what}: squared norm of the Jacobian"), slopes, jacobian);
    }
    let mut figure =
        Figure::new("How far the tokens differ", Scale::linear("layer"), Scale::log("difference over size"));
    let mut measured = Vec::new();
    for (index, (name, skip)) in [("attention alone", false), ("with skips", true)].into_iter().enumerate() {
        lab.at(SOFTMAX.len() + index, SOFTMAX.len() + 2)?;
        let apart = apart(skip)?;
        let points = apart.iter().enumerate().map(|(layer, apart)| ((layer + 1) as f64, *apart)).collect();
        figure = figure.with(name, Mark::Line, points);
        measured.push(apart);
    }
    let [alone, skips] = [&measured[0], &measured[1]];
    // Doubly exponential: each layer's logarithm is a multiple of the one before.
    let between = |low: f64, high: f64| Expected::Between { low, high };
    for (what, ours, theirs) in [
        ("attention alone: difference after layer 1", alone[0], between(0.7, 0.86)),
        ("attention alone: difference after layer 2", alone[1], between(0.13, 0.52)),
        ("attention alone: difference after layer 3", alone[2], between(1.3e-3, 0.13)),
        ("attention alone: difference after layer 5", alone[4], Expected::Below { limit: 1e-8 }),
        ("with skips: difference after layer 1", skips[0], between(0.95, 1.0)),
        ("with skips: difference after layer 8", skips[7], between(0.2, 0.86)),
    ] {
        found.rows.push(Row::new(what, ours, theirs, Basis::Measured));
    }
    found.figures.push(figure);
    Ok(found)
}
