//! T29: dormant units, s = E|h| over the layer's mean E|h| at or below a threshold (Sokar et al. 2023), on a layer where they
//! were planted.

use burn::tensor::DType;
use isogain_core::summary::reproduction::{Basis, Expected, Row};

use super::bench::{Sampler, init, mean, model, pass, phi, set, stack, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "dormant-units",
    title: "Dormant and dead units are counted where they were planted",
    source: "Sokar et al. 2023",
    setting: "a ReLU layer of 32 units with 3 of weights zero and 2 of a twentieth, 512 inputs: units at or below the threshold",
    disproof: None,
    seconds: 1,
    run,
};

const WIDTH: usize = 32;
const SAMPLES: usize = 512;
const DEAD: usize = 3;
const WEAK: usize = 2;

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    lab.at(0, 1)?;
    let mut planted = model(&stack(WIDTH, 1, init("orthogonal", &[])?, phi("relu")?, None), 0, DType::F32);
    let factor = |unit: usize| match unit {
        ..DEAD => 0.0,
        unit if unit < DEAD + WEAK => 0.05,
        _ => 1.0,
    };
    let weight = planted.parameters["fc1.weight"].to_f64();
    let weight: Vec<f64> = weight.iter().enumerate().map(|(at, w)| w * factor(at % WIDTH)).collect();
    set(&mut planted, "fc1.weight", &weight);
    let inputs = Sampler::new(0).normals(SAMPLES * WIDTH, 1.0);
    let h = values(&pass(&planted, &inputs, &inputs, Keep::Values).seen.forward, "act1");
    let activity: Vec<f64> =
        (0..WIDTH).map(|unit| mean(h.iter().skip(unit).step_by(WIDTH).map(|value| value.abs()))).collect();
    let layer = mean(activity.iter().copied());
    let mut found = Found::default();
    for (threshold, planted) in [(0.0, DEAD), (0.1, DEAD + WEAK)] {
        let count = activity.iter().filter(|unit| **unit / layer <= threshold).count();
        let theirs = Expected::Near { value: planted as f64, tolerance: 0.0 };
        found.rows.push(Row::new(format!("threshold {threshold}"), count as f64, theirs, Basis::Exact));
    }
    Ok(found)
}
