//! T4: the depth to which tanh networks can be trained follows from the e-folding depth xi_c of correlations, drawn before
//! any training (Schoenholz et al. 2017).

use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::mean_field::MeanField;

use super::bench::phi;
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "phase-diagram",
    title: "How deep a tanh network can be trained is known before training: about 6 xi_c",
    source: "Schoenholz et al. 2017",
    setting: "digits, tanh, width 64, bias variance 0.05, momentum 0.9, batch 64, 500 steps, best of learning rates 0.001, \
              0.003 and 0.01: deepest of 10, 20, 40 and 80 layers with a loss below 1",
    disproof: None,
    seconds: 250,
    run,
};

const BIAS: f64 = 0.05;
const VARIANCES: [f64; 7] = [0.5, 0.8, 1.0, 1.3, 1.7609546, 2.5, 4.0];
const DEPTHS: [usize; 4] = [10, 20, 40, 80];
const RATES: [f64; 3] = [0.001, 0.003, 0.01];
/// Loss below which a network counts as trained; knowing nothing is ln 10 = 2.3.
const TRAINED: f64 = 1.0;

/// Smallest loss at the end over the learning rates.
fn best(weight_variance: f64, depth: usize, lab: &Lab<'_>) -> Result<f64, Error> {
    let mut best = f64::INFINITY;
    for rate in RATES {
        let recipe = format!(
            "[network]\nkind = \"mlp\"\ndepth = {depth}\nwidth = 64\nactivation = \"tanh\"\ninit = {{ name = \"normal\", \
             weight_variance = {weight_variance}, bias_variance = {BIAS} }}\nhead_init = \"lecun-normal\"\n[optimizer]\nname = \
             \"momentum\"\nlearning_rate = {rate}\n[run]\nsteps = 500\n"
        );
        let ended = Subject::new(&recipe)?.train(0, lab)?;
        if ended.loss.is_finite() {
            best = best.min(ended.loss);
        }
    }
    Ok(best)
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let tanh = phi("tanh")?;
    let predicted = |weight_variance: f64| {
        let theory = MeanField { activation: tanh, weight_variance, bias_variance: BIAS }.propagation(1.0);
        6.0 * theory.correlation_depth.unwrap_or(f64::INFINITY)
    };
    let mut found = Found::default();
    let (mut trained, mut stuck) = (Vec::new(), Vec::new());
    let all = VARIANCES.len() * DEPTHS.iter().sum::<usize>();
    let mut done = 0;
    let mut deepest_elsewhere = 0.0_f64;
    for weight_variance in VARIANCES {
        let mut deepest = 0.0;
        for depth in DEPTHS {
            lab.at(done, all)?;
            let loss = best(weight_variance, depth, lab)?;
            let learned = loss < TRAINED;
            if learned { &mut trained } else { &mut stuck }.push((weight_variance, depth as f64));
            if learned {
                deepest = depth as f64;
            }
            done += depth;
        }
        let limit = predicted(weight_variance);
        let what = format!("weight variance {weight_variance}: deepest that trains");
        // At the critical point the ceiling is the learning rate's, not the correlation's.
        if limit > 1000.0 {
            found.rows.push(Row::new(what, deepest, Expected::Above { limit: 79.0 }, Basis::Claimed));
        } else {
            let theirs = Expected::Between { low: limit / 4.0, high: limit * 4.0 };
            found.rows.push(Row::new(what, deepest, theirs, Basis::Claimed));
            deepest_elsewhere = deepest_elsewhere.max(deepest);
        }
    }
    let what = "away from the critical weight variance 1.761: deepest that trains";
    found.rows.push(Row::new(what, deepest_elsewhere, Expected::Below { limit: 80.0 }, Basis::Measured));
    let curve = (0..=180).map(|at| 0.45 + 0.02 * f64::from(at)).map(|variance| (variance, predicted(variance)));
    found.figures.push(
        Figure::new(
            "Trained and stuck, with the curve drawn before",
            Scale::linear("weight variance"),
            Scale::log("layers"),
        )
        .with("6 xi_c", Mark::Theory, curve.filter(|(_, depth)| *depth < 200.0).collect())
        .with("trained", Mark::Dots, trained)
        .with("stuck", Mark::Dots, stuck),
    );
    Ok(found)
}
