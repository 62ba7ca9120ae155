//! T11: narrow deep ReLU networks are often constant from the start (Lu et al. 2020).

use burn::tensor::DType;
use isogain_core::network::Shape;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::born_dead::{lower_bound, upper_bound};

use super::bench::{activation, init, linear, model, network, outputs, phi};
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "born-dead",
    title: "Narrow deep ReLU networks are dead before training, with a probability between known bounds",
    source: "Lu, Shin, Su & Karniadakis 2020",
    setting: "networks of one input without biases, 4000 of each: share of those that give zero everywhere",
    disproof: None,
    seconds: 15,
    run,
};

const NETWORKS: u64 = 4000;

/// Width; layers with the output layer; share of dead networks of an independent program, and its standard error.
const CASES: [(usize, usize, f64, f64); 7] = [
    (2, 3, 0.156205, 0.00081),
    (2, 10, 0.880335, 0.00073),
    (3, 10, 0.578685, 0.00110),
    (4, 10, 0.295420, 0.00102),
    (5, 10, 0.127500, 0.00075),
    (5, 20, 0.354875, 0.00107),
    (10, 10, 0.001433, 0.00015),
];

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let (he, relu) = (init("he-normal", &[])?, phi("relu")?);
    for (index, (width, layers, theirs, error)) in CASES.into_iter().enumerate() {
        let hidden = layers - 1;
        let ops = (1..=hidden).flat_map(|layer| {
            let inputs = if layer == 1 { 1 } else { width };
            [linear(format!("fc{layer}"), [inputs, width], he, relu), activation(format!("act{layer}"), relu)]
        });
        let network = network(Shape::vector(1), width, ops.collect());
        let mut dead = 0;
        for seed in 0..NETWORKS {
            if seed % 100 == 0 {
                lab.at(index * NETWORKS as usize + seed as usize, CASES.len() * NETWORKS as usize)?;
            }
            // Without biases all positive inputs are alike, and all negative ones.
            let both = outputs(&model(&network, seed, DType::F64), &[1.0, -1.0]);
            dead += usize::from(both.iter().all(|value| *value == 0.0));
        }
        let share = dead as f64 / NETWORKS as f64;
        let own_error = (theirs * (1.0 - theirs) / NETWORKS as f64).sqrt();
        let what = format!("{layers} layers of width {width}: share of dead networks");
        let near = Expected::Near { value: theirs, tolerance: 3.0 * own_error.hypot(error) };
        found.rows.push(Row::new(&what, share, near, Basis::Measured));
        let (low, high) = (lower_bound(width, hidden), upper_bound(width, hidden));
        let between =
            Expected::Between { low: (low - 3.0 * own_error).max(0.0), high: (high + 3.0 * own_error).min(1.0) };
        found.rows.push(Row::new(format!("{what}, between the bounds"), share, between, Basis::Exact));
    }
    let of = |bound: fn(usize, usize) -> f64| (2..=40).map(|layers| (layers as f64, bound(5, layers - 1))).collect();
    let measured = found.rows.iter().step_by(2).zip(CASES).filter(|(_, case)| case.0 == 5);
    let measured = measured.map(|(row, case)| (case.1 as f64, row.ours.unwrap_or(f64::NAN))).collect();
    found.figures.push(
        Figure::new("Dead networks of width 5", Scale::linear("layers"), Scale::linear("probability"))
            .with("lower bound", Mark::Theory, of(lower_bound))
            .with("upper bound", Mark::Theory, of(upper_bound))
            .with("measured", Mark::Dots, measured),
    );
    Ok(found)
}
