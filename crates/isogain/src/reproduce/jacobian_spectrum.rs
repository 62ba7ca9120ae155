//! T8: the singular values of a network's Jacobian. With orthogonal weights a linear network is an isometry at any depth
//! and a tanh one nearly so near the origin; ReLU cannot be (Pennington, Schoenholz & Ganguli 2017).
//!
//! For eigenvalues e of J J^T at criticality, var e / (mean e)^2 = L (m4 / m2^2 - 1 - s): m2, m4 are the moments of the
//! slopes, s is -1 for Gaussian and 0 for orthogonal weights.

use burn::tensor::DType;
use isogain_core::network::Shape;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::edge_of_chaos::critical_at;
use isogain_core::theory::gains::Gains;
use isogain_core::weights::singular_values;

use super::bench::{Sampler, activation, init, jacobian, linear, mean, model, network, normal, phi, set};
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "jacobian-spectrum",
    title: "Orthogonal weights make a deep network an isometry; with ReLU they cannot",
    source: "Saxe et al. 2014; Pennington, Schoenholz & Ganguli 2017",
    setting: "width 400, critical weights, mean of 3 networks, with ReLU of 12: variance over squared mean of the eigenvalues of J J^T",
    disproof: None,
    seconds: 30,
    run,
};

const WIDTH: usize = 400;
const NETWORKS: u64 = 3;
/// Which half of its units passes is random in every layer, and the spread of one network scatters by 0.3.
const RELU_NETWORKS: u64 = 12;
/// Of a moment of 400 eigenvalues, with corrections of the order of depth over width.
const TOLERANCE: f64 = 0.05;
/// The edge of the spectrum comes later: the correction is of the order of width to the power -2/3.
const EDGE_TOLERANCE: f64 = 0.08;

struct Case {
    activation: &'static str,
    orthogonal: bool,
    q: f64,
    depth: usize,
}

const CASES: [Case; 8] = [
    Case { activation: "linear", orthogonal: false, q: 1.0, depth: 8 },
    Case { activation: "linear", orthogonal: false, q: 1.0, depth: 32 },
    Case { activation: "linear", orthogonal: true, q: 1.0, depth: 32 },
    Case { activation: "relu", orthogonal: false, q: 1.0, depth: 8 },
    Case { activation: "relu", orthogonal: true, q: 1.0, depth: 8 },
    Case { activation: "tanh", orthogonal: false, q: 0.1, depth: 16 },
    Case { activation: "tanh", orthogonal: true, q: 0.1, depth: 16 },
    Case { activation: "tanh", orthogonal: true, q: 1.0 / 16.0, depth: 16 },
];

impl Case {
    fn networks(&self) -> u64 {
        if self.activation == "relu" { RELU_NETWORKS } else { NETWORKS }
    }

    fn name(&self) -> String {
        let weights = if self.orthogonal { "orthogonal" } else { "Gaussian" };
        let q = if self.activation == "tanh" { format!(", q = {}", self.q) } else { String::new() };
        format!("{} {weights}, {} layers{q}", self.activation, self.depth)
    }

    /// Singular values of the Jacobian of layers z -> W phi(z) + b, at an input of variance q, which the biases hold.
    fn spectrum(&self, seed: u64) -> Result<Vec<f64>, Error> {
        let phi = phi(self.activation)?;
        let (weight_variance, bias_variance) = critical_at(phi, self.q);
        // What is left of a bias variance where there should be none is rounding.
        let bias_variance = if bias_variance < 1e-12 { 0.0 } else { bias_variance };
        let weights = if self.orthogonal {
            init("orthogonal", &[("gain", weight_variance.sqrt())])?
        } else {
            normal(weight_variance, 0.0)?
        };
        let layers = (1..=self.depth).flat_map(|layer| {
            [activation(format!("act{layer}"), phi), linear(format!("fc{layer}"), [WIDTH; 2], weights, phi)]
        });
        let mut model = model(&network(Shape::vector(WIDTH), WIDTH, layers.collect()), seed, DType::F64);
        let mut sampler = Sampler::new(seed);
        for layer in 1..=self.depth {
            set(&mut model, &format!("fc{layer}.bias"), &sampler.normals(WIDTH, bias_variance.sqrt()));
        }
        let jacobian = jacobian(&model, &sampler.normals(WIDTH, self.q.sqrt()));
        Ok(singular_values(&jacobian, WIDTH, WIDTH))
    }

    fn theory(&self) -> Result<f64, Error> {
        let gains = Gains::at(phi(self.activation)?, self.q);
        let spread = gains.slope_fourth_moment / gains.slope_second_moment.powi(2) - 1.0;
        Ok(self.depth as f64 * (spread + if self.orthogonal { 0.0 } else { 1.0 }))
    }
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut figure = Figure::new(
        "Singular values of the Jacobian, by rank",
        Scale::linear("share of the singular values below"),
        Scale::log("singular value"),
    );
    let all = CASES.iter().map(|case| case.networks() as usize).sum();
    let mut done = 0;
    for (index, case) in CASES.iter().enumerate() {
        let mut spectra = Vec::new();
        for seed in 0..case.networks() {
            lab.at(done, all)?;
            spectra.push(case.spectrum(seed)?);
            done += 1;
        }
        let over = |of: &dyn Fn(&[f64]) -> f64| mean(spectra.iter().map(|spectrum| of(spectrum)));
        let spread = over(&|spectrum| {
            let (first, second) = (mean(spectrum.iter().map(|s| s.powi(2))), mean(spectrum.iter().map(|s| s.powi(4))));
            second / first.powi(2) - 1.0
        });
        let theory = case.theory()?;
        let expected =
            if theory < 1e-9 { Expected::Below { limit: 1e-10 } } else { Expected::within(theory, TOLERANCE) };
        found.rows.push(Row::new(format!("{}: spread", case.name()), spread, expected, Basis::Exact));
        if case.activation == "linear" && case.depth == 8 {
            // Of a product of L Gaussian matrices: (L + 1)^(L + 1) / L^L (Fuss-Catalan numbers).
            let depth = case.depth as f64;
            let edge = ((depth + 1.0).powf(depth + 1.0) / depth.powf(depth)).sqrt();
            let largest = over(&|spectrum| spectrum.last().copied().unwrap_or(f64::NAN));
            let what = format!("{}: largest singular value", case.name());
            found.rows.push(Row::new(what, largest, Expected::within(edge, EDGE_TOLERANCE), Basis::Exact));
        }
        if matches!(index, 0 | 3 | 4 | 7) {
            let points = spectra[0].iter().enumerate().filter(|(_, value)| **value > 1e-4);
            let points = points.map(|(rank, value)| ((rank + 1) as f64 / WIDTH as f64, *value)).collect();
            figure = figure.with(case.name(), Mark::Line, points);
        }
    }
    found.figures.push(figure);
    Ok(found)
}
