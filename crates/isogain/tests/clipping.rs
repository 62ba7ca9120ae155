//! Clipping against the numbers of its definition, and where it does harm.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use isogain::clip::clip;
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
    let record = clip(&mut gradients, &Clip { kind, threshold }).unwrap();
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
    let record = clip(&mut gradients, &Clip { kind: ClipKind::GlobalNorm, threshold: 1.0 }).unwrap();
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
