//! T22: what clipping does to a gradient: by value it turns, by norm it is only shortened (Pascanu et al. 2013); and a
//! descent that overflows without clipping.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};
use isogain_core::recipe::{Clip, ClipKind};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};

use super::bench::Sampler;
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::clip::Clipper;
use crate::model::{Value, vector};
use crate::snapshot::Gradients;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "clipping-family",
    title: "Clipping by value turns the gradient, clipping by norm keeps its direction",
    source: "Pascanu, Mikolov & Bengio 2013; reports on PyTorch's clip_grad_norm_",
    setting: "chosen gradients through this program's clipping; descent on x^4/4 from 10 at 0.1",
    disproof: None,
    seconds: 1,
    run,
};

fn gradient(values: &[f64], dtype: DType) -> Gradients {
    BTreeMap::from([("weight".to_owned(), Value::Vector(vector(values, dtype, &Device::flex())))])
}

/// The clipped values, and the cosine to what they were.
fn clipped(values: &[f64], kind: ClipKind, threshold: f64, dtype: DType) -> (Vec<f64>, f64) {
    let mut gradients = gradient(values, dtype);
    // What these kinds do does not depend on the parameters.
    let record = Clipper::new(&Clip { kind, threshold, ..Clip::default() }).clip(&mut gradients, &BTreeMap::new());
    (gradients["weight"].to_f64(), record.map_or(f64::NAN, |record| record.cosine))
}

/// Degrees between a vector and the second axis.
fn angle(vector: &[f64]) -> f64 {
    (vector[0] / vector[1]).atan().to_degrees()
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    lab.at(0, 1)?;
    let mut found = Found::default();
    let mut near = |what: &str, ours: f64, value: f64, tolerance: f64| {
        found.rows.push(Row::new(what, ours, Expected::Near { value, tolerance }, Basis::Exact));
    };
    let steep = [0.9, 100.0];
    let length = f64::hypot(steep[0], steep[1]);
    let (by_norm, _) = clipped(&steep, ClipKind::GlobalNorm, 1.0, DType::F64);
    let (by_value, _) = clipped(&steep, ClipKind::Value, 1.0, DType::F64);
    near("(0.9, 100) clipped by norm at 1: first", by_norm[0], steep[0] / length, 1e-12);
    near("(0.9, 100) clipped by norm at 1: second", by_norm[1], steep[1] / length, 1e-12);
    near("its angle to the axis, before, degrees", angle(&steep), 0.009_f64.atan().to_degrees(), 1e-12);
    near("its angle to the axis, clipped by norm", angle(&by_norm), 0.009_f64.atan().to_degrees(), 1e-12);
    near("its angle to the axis, clipped by value at 1", angle(&by_value), 0.9_f64.atan().to_degrees(), 1e-12);

    // For z ~ N(0, 1): E[z clamp(z)] over the root of E[clamp(z)^2]; a million numbers tell it to 1e-3.
    let normals = Sampler::new(0).normals(1_000_000, 1.0);
    let mut curve = Vec::new();
    for threshold in [1.0, 0.3, 0.1] {
        let theirs = cosine(threshold);
        let (_, cosine) = clipped(&normals, ClipKind::Value, threshold, DType::F64);
        near(&format!("cosine of a normal gradient clipped by value at {threshold} deviations"), cosine, theirs, 1e-3);
        curve.push((threshold, cosine));
    }
    let (_, sign) = clipped(&normals, ClipKind::Value, 1e-6, DType::F64);
    near("the same near 0: only signs are left", sign, (2.0 / std::f64::consts::PI).sqrt(), 1e-3);

    // The square of 1e20 is beyond f32: a norm summed up in f32 is infinite, and the gradient would become zero.
    let (large, _) = clipped(&[1e20; 100], ClipKind::GlobalNorm, 1.0, DType::F32);
    near("100 times 1e20 in f32, clipped by norm at 1: each", large[0], 0.1, 1e-7);
    let (broken, _) = clipped(&[1.0, f64::NAN], ClipKind::GlobalNorm, 1.0, DType::F32);
    near("a gradient with NaN stays as it is: first", broken[0], 1.0, 0.0);

    let descend = |threshold: f64, until: f64| {
        let (mut x, mut steps) = (10.0_f64, 0);
        while x.is_finite() && x.abs() > until && steps < 1000 {
            let (g, _) = clipped(&[x.powi(3)], ClipKind::GlobalNorm, threshold, DType::F64);
            x -= 0.1 * g[0];
            steps += 1;
        }
        (x, steps)
    };
    near("descent on x^4/4, clipped at 1: steps to 1/2", f64::from(descend(1.0, 0.5).1), 104.0, 0.0);
    let what = "descent on x^4/4 without clipping";
    found.rows.push(Row::new(what, descend(f64::MAX, 0.5).0, Expected::Diverges, Basis::Exact));
    let exact = (1..=60).map(|at| f64::from(at) * 0.05).map(|c| (c, cosine(c))).collect();
    found.figures.push(
        Figure::new(
            "What clipping by value leaves of the direction",
            Scale::linear("threshold, in deviations of the gradient"),
            Scale::linear("cosine"),
        )
        .with("exact", Mark::Theory, exact)
        .with("measured", Mark::Dots, curve),
    );
    Ok(found)
}

/// Cosine of z ~ N(0, 1) and z clamped at +-c.
fn cosine(c: f64) -> f64 {
    use isogain_core::theory::quadrature::gaussian_expectation;
    let kinks = [-c, c];
    let along = gaussian_expectation(1.0, &kinks, |z| z * z.clamp(-c, c));
    along / gaussian_expectation(1.0, &kinks, |z| z.clamp(-c, c).powi(2)).sqrt()
}
