//! Every operation against the same formula put together from Burn's own operations: outputs, cotangents and
//! parameters' gradients, in both precisions.

use std::ops::Range;

use burn::tensor::{DType, Device, Distribution, Tensor, activation as burn_activation};
use isogain_core::network::{Attention, QkNorm};
use isogain_core::renorm::Averages;
use isogain_core::theory::activations::Activation;

use super::*;
use crate::model::{Running, Value, matrix, to_f64, vector};
use crate::probe::{Keep, Probes};

const BATCH: usize = 19;
const FEATURES: usize = 37;

/// Largest difference allowed, as a part of the largest value.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-12 } else { 1e-6 }
}

/// Values between -2 and 2 without a pattern that a sum could cancel.
fn numbers(count: usize, phase: f64) -> Vec<f64> {
    (0..count).map(|k| 2.0 * (1.7 * k as f64 + phase).sin() * (0.31 * k as f64).cos()).collect()
}

fn some_matrix(rows: usize, columns: usize, phase: f64, dtype: DType) -> Tensor<2> {
    matrix(&numbers(rows * columns, phase), rows, columns, dtype, &Device::flex())
}

fn some_vector(count: usize, phase: f64, dtype: DType) -> Tensor<1> {
    vector(&numbers(count, phase), dtype, &Device::flex())
}

fn assert_close(what: &str, dtype: DType, ours: Vec<f64>, theirs: Vec<f64>) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours - theirs).abs() <= tolerance(dtype) * scale, "{what} {dtype:?}: {ours} is not {theirs}");
    }
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    to_f64(tensor.into_data())
}

/// Output, cotangent of the input and gradients of leaves when the output is weighted with fixed numbers.
fn pulled(
    x: &Tensor<2>,
    leaves: &[Tensor<1>],
    operation: impl Fn(Tensor<2>, &[Tensor<1>]) -> Tensor<2>,
) -> (Vec<f64>, Vec<f64>, Vec<Option<Vec<f64>>>) {
    let leaf = x.clone().autodiff().require_grad();
    let leaves: Vec<_> = leaves.iter().map(|leaf| leaf.clone().autodiff().require_grad()).collect();
    // Times one: an operation may leave out the cotangent of a leaf, which a network never reads.
    let output = operation(leaf.clone() * 1.0, &leaves);
    let [rows, columns] = output.dims();
    let weights = some_matrix(rows, columns, 0.7, x.dtype()).autodiff();
    let gradients = (output.clone() * weights).sum().backward();
    let cotangent = read(leaf.grad(&gradients).unwrap());
    let of_leaves = leaves.iter().map(|leaf| leaf.grad(&gradients).map(read)).collect();
    (read(output.inner()), cotangent, of_leaves)
}

/// Compares an operation of ours with theirs; `leaves` are its parameters by name.
fn compare(
    what: &str,
    x: &Tensor<2>,
    leaves: &[(&str, Tensor<1>)],
    ours: impl Fn(Tensor<2>, &[Tensor<1>], Site) -> Tensor<2>,
    theirs: impl Fn(Tensor<2>, &[Tensor<1>]) -> Tensor<2>,
) {
    let dtype = x.dtype();
    let collected = Collected::default();
    let parameters: Vec<_> = leaves.iter().map(|(_, leaf)| leaf.clone()).collect();
    let (output, cotangent, _) = pulled(x, &[], |x, _| ours(x, &parameters, Site::new("op", None, &collected)));
    let (their_output, their_cotangent, their_gradients) = pulled(x, &parameters, theirs);
    assert_close(&format!("{what}: output"), dtype, output, their_output);
    assert_close(&format!("{what}: cotangent"), dtype, cotangent, their_cotangent);
    let gradients = collected.take_gradients();
    for ((name, _), their_gradient) in leaves.iter().zip(their_gradients) {
        let gradient = gradients[&format!("op.{name}")].to_f64();
        assert_close(&format!("{what}: {name}"), dtype, gradient, their_gradient.unwrap());
    }
}

/// The rows of one part.
fn whole_batch() -> Vec<Range<usize>> {
    std::iter::once(0..BATCH).collect()
}

/// (x - mean) / sqrt(variance + eps) over one dimension.
fn standardised(x: Tensor<2>, dimension: usize, eps: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(dimension);
    let variance = (centred.clone() * centred.clone()).mean_dim(dimension);
    centred / (variance + eps).sqrt()
}

#[test]
fn linear_is_a_product_plus_a_bias() {
    for dtype in [DType::F32, DType::F64] {
        let (x, weight) = (some_matrix(BATCH, FEATURES, 0.0, dtype), some_matrix(FEATURES, 23, 1.0, dtype));
        let bias = some_vector(23, 2.0, dtype);
        compare(
            "linear",
            &x,
            &[("bias", bias)],
            |x, leaves, site| linear(x, weight.clone(), leaves[0].clone(), site),
            |x, leaves| x.matmul(weight.clone().autodiff()) + leaves[0].clone().unsqueeze::<2>(),
        );
        // The weight's gradient is x^T g for the cotangent g.
        let collected = Collected::default();
        let site = Site::new("fc", None, &collected);
        pulled(&x, &[], |x, _| linear(x, weight.clone(), some_vector(23, 2.0, dtype), site.clone()));
        let expected = read(x.transpose().matmul(some_matrix(BATCH, 23, 0.7, dtype)));
        let Value::Matrix(gradient) = collected.take_gradients().remove("fc.weight").unwrap() else {
            panic!("a vector")
        };
        assert_eq!(gradient.dims(), [FEATURES, 23]);
        assert_close("weight", dtype, read(gradient), expected);
    }
}

#[test]
fn norms_are_their_formulas() {
    let eps = 1e-5;
    for dtype in [DType::F32, DType::F64] {
        // Far from zero: the variance must not be the difference of two large numbers.
        let x = some_matrix(BATCH, FEATURES, 0.0, dtype) * 3.0 + 5.0;
        let affine = [("gamma", some_vector(FEATURES, 1.0, dtype)), ("beta", some_vector(FEATURES, 2.0, dtype))];
        let scaled = |normal: Tensor<2>, leaves: &[Tensor<1>]| {
            normal * leaves[0].clone().unsqueeze::<2>() + leaves[1].clone().unsqueeze::<2>()
        };
        compare(
            "layer norm",
            &x,
            &affine,
            |x, leaves, site| layer_norm(x, eps, leaves[0].clone(), leaves[1].clone(), site),
            |x, leaves| scaled(standardised(x, 1, eps), leaves),
        );
        compare(
            "batch norm",
            &x,
            &affine,
            |x, leaves, site| batch_norm(x, eps, whole_batch(), [leaves[0].clone(), leaves[1].clone()], site),
            |x, leaves| scaled(standardised(x, 0, eps), leaves),
        );
        compare(
            "RMS norm",
            &x,
            &affine[..1],
            |x, leaves, site| rms_norm(x, eps, leaves[0].clone(), site),
            |x, leaves| {
                let mean_square = (x.clone() * x.clone()).mean_dim(1);
                x / (mean_square + eps).sqrt() * leaves[0].clone().unsqueeze::<2>()
            },
        );
    }
}

/// Against the formula with its r and d held fast.
#[test]
fn batch_renormalisation_is_its_formula_with_constant_corrections() {
    let (eps, ramp) = (1e-5, 10);
    let running = Running {
        mean: numbers(FEATURES, 0.4),
        variance: numbers(FEATURES, 0.9).iter().map(|x| x.exp()).collect(),
        batches: 6,
    };
    for dtype in [DType::F32, DType::F64] {
        let x = some_matrix(BATCH, FEATURES, 0.0, dtype) * 1.5 + 0.5;
        let affine = [("gamma", some_vector(FEATURES, 1.0, dtype)), ("beta", some_vector(FEATURES, 2.0, dtype))];
        let held = |x: Tensor<2>| {
            let batch = Averages::of_batch(&read(x), FEATURES);
            let correction = running.correction(&batch, eps, ramp);
            // Bounds of 2.2 and 3: some meet them, some do not.
            assert!(correction.ratio.iter().any(|r| *r > 2.19) && correction.ratio.iter().any(|r| *r < 2.0));
            [correction.ratio, correction.shift].map(|values| vector(&values, dtype, &Device::flex()).autodiff())
        };
        let [r, d] = held(x.clone());
        compare(
            "batch renormalisation",
            &x,
            &affine,
            |x, leaves, site| {
                batch_renorm(x, eps, [leaves[0].clone(), leaves[1].clone()], (running.clone(), ramp), site)
            },
            |x, leaves| {
                let corrected = standardised(x, 0, eps) * r.clone().unsqueeze::<2>() + d.clone().unsqueeze::<2>();
                corrected * leaves[0].clone().unsqueeze::<2>() + leaves[1].clone().unsqueeze::<2>()
            },
        );
    }
}

/// Over parts of 7 and 6 rows as over batches of so many, one below the other; each hands out statistics of its own.
#[test]
fn ghost_batch_norm_is_batch_norm_of_each_part() {
    let (eps, parts) = (1e-5, [0..7, 7..13, 13..19]);
    for dtype in [DType::F32, DType::F64] {
        let x = some_matrix(BATCH, FEATURES, 0.0, dtype) * 3.0 + 5.0;
        let affine = [("gamma", some_vector(FEATURES, 1.0, dtype)), ("beta", some_vector(FEATURES, 2.0, dtype))];
        compare(
            "ghost batch norm",
            &x,
            &affine,
            |x, leaves, site| batch_norm(x, eps, parts.to_vec(), [leaves[0].clone(), leaves[1].clone()], site),
            |x, leaves| {
                let part = |part: &Range<usize>| standardised(x.clone().narrow(0, part.start, part.len()), 0, eps);
                let normal = Tensor::cat(parts.iter().map(part).collect(), 0);
                normal * leaves[0].clone().unsqueeze::<2>() + leaves[1].clone().unsqueeze::<2>()
            },
        );
        let collected = Collected::default();
        let affine = affine.map(|(_, leaf)| leaf);
        batch_norm(x.clone(), eps, parts.to_vec(), affine, Site::new("norm", None, &collected));
        let statistics = collected.take_statistics();
        assert_eq!(statistics.iter().map(|(_, part)| part.count).collect::<Vec<_>>(), [7, 6, 6]);
        let last = read(x.narrow(0, 13, 6).mean_dim(0));
        assert_close("mean of the last part", dtype, statistics[2].1.mean.clone(), last);
    }
}

#[test]
fn batch_norm_hands_out_its_statistics() {
    let x = some_matrix(BATCH, FEATURES, 0.0, DType::F64);
    let collected = Collected::default();
    let (ones, zeros) = (some_vector(FEATURES, 1.0, DType::F64), some_vector(FEATURES, 1.0, DType::F64));
    batch_norm(x.clone(), 1e-5, whole_batch(), [ones, zeros], Site::new("norm", None, &collected));
    let statistics = collected.take_statistics();
    let [(name, BatchStatistics { count, mean, variance })] = statistics.as_slice() else { panic!("one norm") };
    assert_eq!(*count, BATCH);
    assert_eq!(name, "norm");
    let centred = x.clone() - x.clone().mean_dim(0);
    assert_close("mean", DType::F64, mean.clone(), read(x.mean_dim(0)));
    assert_close("variance", DType::F64, variance.clone(), read((centred.clone() * centred).mean_dim(0)));
}

#[test]
fn residual_adds_a_scaled_branch() {
    for dtype in [DType::F32, DType::F64] {
        let x = some_matrix(BATCH, FEATURES, 0.0, dtype);
        for scale in [1.0, 0.3] {
            compare(
                "residual",
                &x,
                &[],
                |x, _, site| residual(x.clone(), x.clone() * x, scale, None, site),
                |x, _| x.clone() + x.clone() * x * scale,
            );
        }
        let scale = vector(&[0.3], dtype, &Device::flex());
        compare(
            "learnable residual",
            &x,
            &[],
            |x, _, site| residual(x.clone(), x.clone() * x, f64::NAN, Some(scale.clone()), site),
            |x, _| x.clone() + x.clone() * x * scale.clone().autodiff().unsqueeze::<2>(),
        );
        // The scale's gradient is <g, F(x)> for the cotangent g; its terms nearly cancel, so the reference is in f64.
        let collected = Collected::default();
        let site = Site::new("block", None, &collected);
        pulled(&x, &[], |x, _| residual(x.clone(), x.clone() * x, f64::NAN, Some(scale.clone()), site.clone()));
        let weights = read(some_matrix(BATCH, FEATURES, 0.7, dtype));
        let expected = read(x).iter().zip(weights).map(|(x, weight)| x * x * weight).sum();
        assert_close("scale", dtype, collected.take_gradients()["block.scale"].to_f64(), vec![expected]);
    }
}

#[test]
fn queries_and_keys_are_divided_by_their_rms_and_values_pass() {
    let (heads, width) = (3, 4);
    let norm = QkNorm { features: heads * width, heads, eps: 1e-5 };
    for dtype in [DType::F32, DType::F64] {
        let x = some_matrix(BATCH, 3 * heads * width, 0.0, dtype) * 3.0;
        let gammas = [("query_gamma", some_vector(width, 1.0, dtype)), ("key_gamma", some_vector(width, 2.0, dtype))];
        compare(
            "QK norm",
            &x,
            &gammas,
            |x, leaves, site| qk_norm(x, &norm, [leaves[0].clone(), leaves[1].clone()], site),
            |x, leaves| {
                let parts = x.reshape([(BATCH * 3) as i32, heads as i32, width as i32]);
                let square = (parts.clone() * parts.clone()).mean_dim(2);
                let normal = (parts.clone() / (square + 1e-5).sqrt()).reshape([BATCH, 3, heads, width]);
                let parts = parts.reshape([BATCH, 3, heads, width]);
                let part = |tensor: &Tensor<4>, index: usize| tensor.clone().narrow(1, index, 1);
                let scaled = |index: usize| part(&normal, index) * leaves[index].clone().unsqueeze::<4>();
                Tensor::cat(vec![scaled(0), scaled(1), part(&parts, 2)], 1).reshape([BATCH, 3 * heads * width])
            },
        );
    }
}

#[test]
fn a_bound_on_the_logits_is_a_tanh_before_the_softmax() {
    let (steps, features, cap) = (5, 4, 1.5);
    let attending = Attention { features, heads: 1, steps, causal: false, rotary: false, logit_cap: Some(cap) };
    for dtype in [DType::F32, DType::F64] {
        let x = some_matrix(3 * steps, 3 * features, 0.0, dtype) * 2.0;
        compare(
            "attention with bounded logits",
            &x,
            &[],
            |x, _, site| attention(x, &attending, site),
            |x, _| {
                let x = x.reshape([3, steps, 3 * features]);
                let part = |index: usize| x.clone().narrow(2, index * features, features);
                let logits = part(0).matmul(part(1).swap_dims(1, 2)) * (features as f64).sqrt().recip();
                let weights = burn_activation::softmax((logits * cap.recip()).tanh() * cap, 2);
                weights.matmul(part(2)).reshape([3 * steps, features])
            },
        );
    }
}

/// Whole samples of three positions each: what stays is as it was, and the cotangent goes where the values went; evaluation
/// has the mean of both.
#[test]
fn stochastic_depth_leaves_out_whole_samples() {
    let (samples, positions, fraction) = (2000, 3, 0.4);
    for dtype in [DType::F32, DType::F64] {
        let x = some_matrix(samples * positions, 2, 0.1, dtype) + 10.0;
        let site = || Site::new("drop", None, &Collected::default());
        let run = |seed: u64| pulled(&x, &[], |x, _| stochastic_depth(x, positions, fraction, seed, site()));
        let (output, cotangent, _) = run(7);
        let weights = read(some_matrix(samples * positions, 2, 0.7, dtype));
        let mut left_out = 0;
        for (sample, values) in output.chunks_exact(2 * positions).enumerate() {
            let is_left_out = values.iter().all(|value| *value == 0.0);
            left_out += usize::from(is_left_out);
            let factor = if is_left_out { 0.0 } else { 1.0 };
            let range = sample * 2 * positions..(sample + 1) * 2 * positions;
            let of = |all: &[f64]| all[range.clone()].iter().map(|value| factor * value).collect::<Vec<f64>>();
            assert_close("stochastic depth: output", dtype, values.to_vec(), of(&read(x.clone())));
            assert_close("stochastic depth: cotangent", dtype, cotangent[range.clone()].to_vec(), of(&weights));
        }
        // Five deviations of a binomial share.
        let share = f64::from(left_out as u32) / samples as f64;
        assert!((share - fraction).abs() < 5.0 * (fraction * (1.0 - fraction) / samples as f64).sqrt(), "{share}");
        assert_eq!(run(7).0, output);
        assert_ne!(run(8).0, output);
        let (output, cotangent, _) = pulled(&x, &[], |x, _| expected_depth(x, fraction, site()));
        let expected = |all: Vec<f64>| all.into_iter().map(|value| (1.0 - fraction) * value).collect::<Vec<f64>>();
        assert_close("evaluation: output", dtype, output, expected(read(x.clone())));
        assert_close("evaluation: cotangent", dtype, cotangent, expected(weights));
    }
}

#[test]
fn layer_scale_has_a_factor_for_each_channel() {
    for dtype in [DType::F32, DType::F64] {
        let (x, factors) = (some_matrix(BATCH, FEATURES, 0.0, dtype), some_vector(FEATURES, 1.0, dtype));
        compare(
            "layer scale",
            &x,
            &[("scale", factors)],
            |x, leaves, site| layer_scale(x.clone(), x.clone() * x, leaves[0].clone(), site),
            |x, leaves| x.clone() + x.clone() * x * leaves[0].clone().unsqueeze::<2>(),
        );
    }
}

#[test]
fn loss_heads_are_their_formulas() {
    let labels: Vec<usize> = (0..BATCH).map(|row| row * 5 % 7).collect();
    let one_hot: Vec<f64> =
        labels.iter().flat_map(|&label| (0..7).map(move |k| f64::from(u8::from(k == label)))).collect();
    for dtype in [DType::F32, DType::F64] {
        let x = some_matrix(BATCH, 7, 0.0, dtype) * 4.0;
        let one_hot = matrix(&one_hot, BATCH, 7, dtype, &Device::flex()).autodiff();
        compare(
            "cross-entropy",
            &x,
            &[],
            |x, _, site| cross_entropy(x, &labels, site).unsqueeze(),
            |x, _| (-(burn_activation::log_softmax(x, 1) * one_hot.clone()).sum() * (1.0 / BATCH as f64)).unsqueeze(),
        );
        let targets = numbers(BATCH * 7, 3.0);
        let their_targets = matrix(&targets, BATCH, 7, dtype, &Device::flex()).autodiff();
        compare(
            "squared error",
            &x,
            &[],
            |x, _, site| squared_error(x, &targets, site).unsqueeze(),
            |x, _| {
                let error = x - their_targets.clone();
                (error.clone() * error).mean().unsqueeze()
            },
        );
    }
}

#[test]
fn cross_entropy_survives_large_logits() {
    let logits = matrix(&[1e4, -1e4, 0.0, 3e4], 2, 2, DType::F32, &Device::flex());
    let site = Site::new("loss", None, &Collected::default());
    assert_eq!(read(cross_entropy(logits, &[0, 0], site.clone())), [15_000.0]);
    let broken = matrix(&[f64::NAN, 0.0], 1, 2, DType::F32, &Device::flex());
    assert!(read(cross_entropy(broken, &[1], site))[0].is_nan());
}

#[test]
fn activations_are_the_cores() {
    for activation in Activation::all().chain([Activation::tailored_relu(0.4)]) {
        for dtype in [DType::F32, DType::F64] {
            for is_stock in [false, true] {
                let x = some_matrix(BATCH, FEATURES, 0.0, dtype) * 4.0;
                let arithmetic = Arithmetic { is_stock, ..Arithmetic::default() };
                let site = Site::new("phi", None, &Collected::default()).with(arithmetic);
                let (output, cotangent, _) = pulled(&x, &[], |x, _| super::activation(activation, x, site.clone()));
                let (x, weights) = (read(x), read(some_matrix(BATCH, FEATURES, 0.7, dtype)));
                let values = x.iter().map(|&x| activation.value(x)).collect();
                let slopes = x.iter().zip(weights).map(|(&x, weight)| weight * activation.derivative(x)).collect();
                assert_close(&format!("{activation:?}: value"), dtype, output, values);
                assert_close(&format!("{activation:?}: slope"), dtype, cotangent, slopes);
            }
        }
    }
}

/// Signals that have nearly vanished, and slopes of what is saturated: each good to a part of itself, not of the largest.
#[test]
fn small_values_and_slopes_are_good_by_burns_operations_too() {
    let x = matrix(&[-40.0, -12.0, -1e-9, -1e-20, 0.0, 1e-20, 1e-9, 12.0, 40.0], 1, 9, DType::F32, &Device::flex());
    let arithmetic = Arithmetic { is_stock: true, ..Arithmetic::default() };
    for name in ["elu", "selu", "sigmoid", "tanh", "silu", "softsign", "softplus", "leaky-relu", "shaped-tanh"] {
        let activation = Activation::named(name).unwrap();
        let site = Site::new("phi", None, &Collected::default()).with(arithmetic);
        let leaf = x.clone().autodiff().require_grad();
        let output = super::activation(activation, leaf.clone(), site);
        let slopes = read(leaf.grad(&output.clone().sum().backward()).unwrap());
        for ((x, value), slope) in read(x.clone()).into_iter().zip(read(output.inner())).zip(slopes) {
            let (expected, expected_slope) = (activation.value(x), activation.derivative(x));
            // Shifts bring rounding errors of their own size.
            let floor = if name == "shaped-tanh" { 1e-6 } else { 1e-36 };
            assert!(
                (value - expected).abs() <= 2e-6 * expected.abs() + floor,
                "{name}({x:e}): {value:e}, {expected:e}"
            );
            let apart = (slope - expected_slope).abs();
            assert!(apart <= 4e-6 * expected_slope.abs() + floor, "{name}'({x:e}): {slope:e}, {expected_slope:e}");
        }
    }
}

/// What an activation without a formula of Burn's would get.
#[test]
fn an_activation_can_be_brought_value_by_value() {
    for dtype in [DType::F32, DType::F64] {
        let x = some_matrix(BATCH, FEATURES, 0.0, dtype) * 4.0;
        let softplus = Activation::named("softplus").unwrap();
        let found = pulled(&x, &[], |x, _| activation::by_values(softplus, x));
        let site = Site::new("phi", None, &Collected::default());
        let expected = pulled(&x, &[], |x, _| super::activation(softplus, x, site.clone()));
        assert_close("value", dtype, found.0, expected.0);
        assert_close("slope", dtype, found.1, expected.1);
    }
}

#[test]
fn activations_keep_what_is_not_a_number() {
    let x = matrix(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY], 1, 3, DType::F32, &Device::flex());
    let names = ["relu", "leaky-relu", "sigmoid", "tanh", "selu", "elu"];
    for (name, is_stock) in names.into_iter().flat_map(|name| [(name, false), (name, true)]) {
        let site = Site::new("phi", None, &Collected::default());
        let site = site.with(Arithmetic { is_stock, ..Arithmetic::default() });
        let activation = Activation::named(name).unwrap();
        let values = read(super::activation(activation, x.clone(), site));
        assert!(values[0].is_nan(), "{name}");
        assert_eq!(values[1], activation.value(f64::INFINITY), "{name}");
        assert!(
            (values[2] - activation.value(f64::NEG_INFINITY)).abs() < 1e-6 || values[2] == f64::NEG_INFINITY,
            "{name}"
        );
    }
}

#[test]
fn a_probe_sees_both_ways_and_changes_nothing() {
    let device = Device::flex();
    let leaf = Tensor::<2>::random([BATCH, FEATURES], Distribution::Default, &device).autodiff().require_grad();
    let probes = Probes::new(Keep::Values);
    let output = probes.watch("here", leaf.clone()) * 3.0;
    let gradients = output.sum().backward();
    let seen = probes.take();
    let values = |kept: &crate::probe::Kept| kept.values().unwrap().to_f64().to_vec();
    assert_eq!(values(&seen.forward["here"]), read(leaf.clone().inner()));
    assert_eq!(values(&seen.backward["here"]), vec![3.0; BATCH * FEATURES]);
    assert_eq!(read(leaf.grad(&gradients).unwrap()), vec![3.0; BATCH * FEATURES]);
}
