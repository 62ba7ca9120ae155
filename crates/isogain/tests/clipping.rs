//! Clipping against the numbers of its definition, and where it does harm.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use isogain::clip::Clipper;
use isogain::model::Value;
use isogain_core::recipe::{Clip, ClipKind};
use isogain_core::theory::sampling::standard_normal;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn gradients(parts: &[&[f64]], dtype: DType) -> BTreeMap<String, Value> {
    let device = Device::flex();
    let value = |values: &[f64]| {
        let data = if dtype == DType::F64 {
            TensorData::new(values.to_vec(), [values.len()])
        } else {
            TensorData::new(values.iter().map(|&value| value as f32).collect::<Vec<f32>>(), [values.len()])
        };
        Value::Vector(Tensor::from_data(data, (&device, dtype)))
    };
    parts.iter().enumerate().map(|(index, values)| (format!("p{index}"), value(values))).collect()
}

fn clipped(parts: &[&[f64]], kind: ClipKind, threshold: f64) -> (Vec<f64>, isogain_core::record::ClipRecord) {
    let mut gradients = gradients(parts, DType::F64);
    let parameters = gradients.clone();
    let record = Clipper::new(&Clip::at(kind, threshold)).clip(&mut gradients, &parameters).unwrap();
    (gradients.values().flat_map(Value::to_f64).collect(), record)
}

fn close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }
}

/// Pascanu et al. 2013 keep the direction; clipping by value turns (0.9, 100) from 0.5 to 42 degrees off the axis.
#[test]
fn by_norm_keeps_the_direction_and_by_value_turns_it() {
    let (values, record) = clipped(&[&[0.9, 100.0]], ClipKind::Norm, 1.0);
    close(&values, &[0.009, 0.999_960], 1e-6);
    assert!((record.cosine - 1.0).abs() < 1e-12 && record.acted);

    let (values, record) = clipped(&[&[0.9, 100.0]], ClipKind::Value, 1.0);
    assert_eq!(values, [0.9, 1.0]);
    let before = (0.9_f64 / 100.0).atan().to_degrees();
    let after = (0.9_f64).atan().to_degrees();
    close(&[before, after], &[0.516, 41.99], 0.01);
    close(&[record.cosine.acos().to_degrees()], &[after - before], 1e-6);
}

/// For Gaussian gradients the cosine falls to sqrt(2 / pi), that of the sign alone.
#[test]
fn by_value_turns_a_gaussian_gradient_by_the_known_angle() {
    let mut generator = ChaCha8Rng::seed_from_u64(7);
    let gradient: Vec<f64> = (0..200_000).map(|_| standard_normal(&mut generator)).collect();
    for (threshold, cosine) in [(1.0, 0.950), (0.3, 0.854), (0.1, 0.818), (1e-6, (2.0 / std::f64::consts::PI).sqrt())] {
        let (_, record) = clipped(&[&gradient], ClipKind::Value, threshold);
        close(&[record.cosine], &[cosine], 2e-3);
    }
}

#[test]
fn by_norm_is_per_parameter_and_by_global_norm_is_not() {
    let parts: &[&[f64]] = &[&[3.0], &[4.0]];
    let (values, record) = clipped(parts, ClipKind::Norm, 1.0);
    assert_eq!(values, [1.0, 1.0]);
    assert!(record.cosine < 0.9999, "each parameter is scaled by a factor of its own");
    let (values, record) = clipped(parts, ClipKind::GlobalNorm, 1.0);
    close(&values, &[0.6, 0.8], 1e-15);
    close(&[record.norm_before, record.norm_after, record.cosine], &[5.0, 1.0, 1.0], 1e-12);
    let (values, record) = clipped(parts, ClipKind::GlobalNorm, 5.5);
    assert_eq!((values.as_slice(), record.acted), ([3.0, 4.0].as_slice(), false));
}

/// The squares of 1e20 leave f32; a norm taken there is infinite, and scaling by it erases every gradient.
#[test]
fn large_single_precision_gradients_keep_their_direction() {
    let mut gradients = gradients(&[&[1e20; 100]], DType::F32);
    let parameters = gradients.clone();
    let record = Clipper::new(&Clip::at(ClipKind::GlobalNorm, 1.0)).clip(&mut gradients, &parameters).unwrap();
    assert!((record.norm_before / 1e21 - 1.0).abs() < 1e-6);
    let values = gradients["p0"].to_f64();
    assert!(values.iter().all(|value| (value - 0.1).abs() < 1e-6), "{values:?}");
}

#[test]
fn what_is_not_finite_is_left_to_be_seen() {
    for bad in [f64::NAN, f64::INFINITY] {
        for kind in [ClipKind::Norm, ClipKind::GlobalNorm] {
            let (values, record) = clipped(&[&[1.0, bad]], kind, 0.5);
            assert_eq!(values[0], 1.0);
            assert!(!values[1].is_finite() && !record.norm_before.is_finite());
        }
    }
}

/// f = x^4 / 4 from 10 with a step of 0.1: plain descent overflows, clipped to 1 it comes down.
#[test]
fn clipping_saves_descent_where_the_curvature_grows() {
    let descend = |limit: Option<f64>, steps: usize| {
        let mut x = 10.0_f64;
        for _ in 0..steps {
            let gradient = x.powi(3);
            let gradient = match limit {
                Some(limit) => clipped(&[&[gradient]], ClipKind::GlobalNorm, limit).0[0],
                None => gradient,
            };
            x -= 0.1 * gradient;
        }
        x
    };
    let plain = descend(None, 5);
    assert!((plain / -1.9e118 - 1.0).abs() < 0.05, "{plain:e}");
    assert!(descend(Some(1.0), 103) > 0.5 && descend(Some(1.0), 104) <= 0.5 + 1e-9);
}

/// The clipping that adapts, from the definitions in its papers: see `oracle/clip_family.py`.
#[test]
fn the_adaptive_kinds_are_those_of_their_papers() {
    let text = include_str!("golden/clip/family.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        let rows = value.as_array().unwrap().iter();
        rows.flat_map(|row| row.as_array().cloned().unwrap_or_else(|| vec![row.clone()]))
            .map(|number| number.as_f64().unwrap())
            .collect()
    };
    let named = |tensors: &serde_json::Value| -> BTreeMap<String, Value> {
        let of = |(name, value): (&String, &serde_json::Value)| {
            let device = (&Device::flex(), DType::F64);
            let columns = value[0].as_array().map(Vec::len);
            let values = numbers(value);
            let tensor = match columns {
                Some(columns) => {
                    let shape = [values.len() / columns, columns];
                    Value::Matrix(Tensor::from_data(TensorData::new(values, shape), device))
                }
                None => Value::Vector(Tensor::from_data(TensorData::new(values.clone(), [values.len()]), device)),
            };
            (name.clone(), tensor)
        };
        tensors.as_object().unwrap().iter().map(of).collect()
    };
    let recipe = "[network]\ndepth = 1\nwidth = 3\n";
    let mut network = isogain_core::recipe::expand::network(
        &isogain_core::recipe::parse(recipe, "t").unwrap(),
        isogain_core::network::Shape::vector(4),
        2,
    )
    .unwrap();
    network.ops[0].name = "fc".into();
    let parameters = named(&vectors["parameters"]);
    for (kind, expected) in vectors["kinds"].as_object().unwrap() {
        let settings: String =
            expected["settings"].as_object().unwrap().iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let text = format!("[network]\n[clip]\nkind = \"{kind}\"\n{settings}");
        let recipe = isogain_core::recipe::parse(&text, kind).unwrap().clip;
        let mut clipper = Clipper::new(&recipe).of(&network);
        let mut last = BTreeMap::new();
        for (step, norm) in vectors["steps"].as_array().unwrap().iter().zip(numbers(&expected["norms"])) {
            // What a checkpoint holds is all that the next step depends on.
            let memory = std::mem::take(&mut clipper.memory);
            clipper = Clipper::new(&recipe).of(&network);
            clipper.memory = memory;
            last = named(step);
            let before = last.values().flat_map(Value::to_f64).map(|x| x * x).sum::<f64>().sqrt();
            let record = clipper.clip(&mut last, &parameters).unwrap();
            close(&[record.norm_before, record.norm_after], &[before, norm], 1e-12 * before);
        }
        for (name, value) in named(&expected["last"]) {
            close(&last[&name].to_f64(), &value.to_f64(), 1e-12);
        }
    }
}

/// ZClip at mean 1 and deviation 0.1: a norm of 2 is 10 deviations out, and comes down to 1 + 2.5^2 0.1 / 10 = 1.0625.
#[test]
fn a_spike_comes_down_the_further_the_larger_it_is() {
    let recipe = Clip { warm_up: Some(2), ..Clip::of(ClipKind::ZClip) };
    let mut clipper = Clipper::new(&recipe);
    let mut norm_after = |norm: f64| {
        let mut gradients = gradients(&[&[norm]], DType::F64);
        let parameters = gradients.clone();
        clipper.clip(&mut gradients, &parameters).unwrap().norm_after
    };
    assert_eq!([norm_after(0.9), norm_after(1.1)], [0.9, 1.1]);
    close(&[norm_after(2.0)], &[1.0625], 1e-5);
}
