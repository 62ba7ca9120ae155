use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::theory::finite_width::{self, LogSquaredGain};
use crate::theory::initializers::Initializer;
use crate::theory::sampling::standard_normal;

fn field(name: &str, weight_variance: f64, bias_variance: f64) -> MeanField {
    MeanField { activation: Activation::named(name).unwrap(), weight_variance, bias_variance }
}

fn stable(fixed_point: FixedPoint) -> f64 {
    match fixed_point {
        FixedPoint::Stable { q } => q,
        other => panic!("not stable: {other:?}"),
    }
}

#[test]
fn tanh_with_a_bias_variance_of_a_twentieth() {
    // sw2, q*, chi, xi_c, c*.
    for (sw2, q, chi, depth, correlation) in [
        (0.5, 0.08757987, 0.43198738, 1.1914, 1.0),
        (0.8, 0.13808028, 0.64683851, 2.2954, 1.0),
        (1.0, 0.19359252, 0.75903165, 3.6270, 1.0),
        (1.3, 0.31531648, 0.88016351, 7.8341, 1.0),
        (1.5, 0.41803720, 0.93863627, 15.7910, 1.0),
        (2.5, 1.06395838, 1.13351570, 11.7956, 0.446804),
        (4.0, 2.19549393, 1.34240241, 6.9803, 0.165065),
    ] {
        let p = field("tanh", sw2, 0.05).propagation(1.0);
        assert!((stable(p.fixed_point) - q).abs() < 1e-8, "sw2 {sw2}: {p:?}");
        assert!((p.chi - chi).abs() < 1e-8, "sw2 {sw2}: {p:?}");
        assert!((p.correlation_depth.unwrap() - depth).abs() < 6e-5, "sw2 {sw2}: {p:?}");
        assert!((p.correlation.unwrap() - correlation).abs() < 6e-7, "sw2 {sw2}: {p:?}");
        assert_eq!(p.phase, if chi < 1.0 { Phase::Ordered } else { Phase::Chaotic });
    }
}

#[test]
fn the_fixed_point_at_framework_like_variances() {
    for (name, q, chi) in [
        ("relu", 0.4, 1.0 / 6.0),
        ("tanh", 0.41471018, 0.20907841),
        ("sigmoid", 0.42404008, 0.01754894),
        ("gelu", 0.37882544, 0.12871185),
        ("silu", 0.37086938, 0.10612700),
        ("elu", 0.43605237, 0.24105853),
        ("selu", 0.53797218, 0.39912785),
    ] {
        let p = field(name, 1.0 / 3.0, 1.0 / 3.0).propagation(1.0);
        assert!((stable(p.fixed_point) - q).abs() < 1e-8, "{name}: {p:?}");
        assert!((p.chi - chi).abs() < 1e-8, "{name}: {p:?}");
    }
    // Keras: Glorot weights without biases under a ReLU. The signal halves and so does the squared gradient.
    let keras = field("relu", 1.0, 0.0).propagation(1.0);
    assert_eq!(keras.fixed_point, FixedPoint::Vanishes);
    assert!((0.5 * keras.chi.ln() + 0.3466).abs() < 5e-5);
}

#[test]
fn slopes_per_layer_of_the_library_defaults() {
    let nepers = |name: &str, bias: f64| 0.5 * field(name, 1.0 / 3.0, bias).propagation(1.0).chi.ln();
    for (name, slope) in [("relu", -0.8959), ("tanh", -0.7825), ("sigmoid", -2.0214), ("gelu", -1.0251)] {
        assert!((nepers(name, 1.0 / 3.0) - slope).abs() < 5e-5, "{name}");
    }
    // torch.nn.Linear draws its biases within 1 / sqrt(fan_in) too: for width 1000 their variance is 1/3000, and
    // tanh stays near its linear part.
    assert!((nepers("relu", 1.0 / 3000.0) - -0.8959).abs() < 5e-5);
    assert!((nepers("tanh", 1.0 / 3000.0) - 0.5 * (1f64 / 3.0).ln()).abs() < 1e-3);
}

#[test]
fn marginal_and_runaway_cases_are_named() {
    assert_eq!(field("relu", 2.0, 0.0).fixed_point(0.7), FixedPoint::Marginal { q: 0.7 });
    assert_eq!(field("relu", 2.0, 0.1).fixed_point(1.0), FixedPoint::Diverges);
    assert_eq!(field("relu", 3.0, 0.0).fixed_point(1.0), FixedPoint::Diverges);
    assert_eq!(field("tanh", 0.9, 0.0).fixed_point(1.0), FixedPoint::Vanishes);
    for name in ["tanh", "elu", "softsign"] {
        assert_eq!(field(name, 1.0, 0.0).fixed_point(1.0), FixedPoint::Marginal { q: 0.0 }, "{name}");
    }
    for name in ["gelu", "silu"] {
        assert_eq!(field(name, 2.0, 0.0).fixed_point(1.0), FixedPoint::Vanishes, "{name}");
    }
    for name in ["selu", "elu", "softplus"] {
        assert_eq!(field(name, 2.2, 0.0).fixed_point(1.0), FixedPoint::Diverges, "{name}");
    }
    // Near the transition the fixed point is small but there: q* -> (sw2 - 1) / 2.
    let q = stable(field("tanh", 1.001, 0.0).fixed_point(1.0));
    assert!((q / 5e-4 - 1.0).abs() < 0.01, "{q}");
}

#[test]
fn gelu_and_silu_are_held_from_one_side() {
    for (name, weight, bias, q) in
        [("gelu", 1.9830582574, 0.1729223908, 3.5615528128), ("silu", 1.9880046783, 0.5551431707, 14.3201736)]
    {
        let field = field(name, weight, bias);
        assert!((field.chi(q) - 1.0).abs() < 1e-8, "{name}");
        assert!((field.length_slope(q) - 1.0).abs() < 1e-8, "{name}");
        // The drift of q around the point is cubic and below 1e-8 per layer: anywhere near counts as held.
        for start in [q, 30.0] {
            match field.fixed_point(start) {
                FixedPoint::Marginal { q: found } => assert!((found / q - 1.0).abs() < 0.03, "{name}: {found}"),
                other => panic!("{name} from {start}: {other:?}"),
            }
            assert!((field.propagation(start).chi - 1.0).abs() < 1e-3, "{name}");
        }
    }
    // From below GELU's variance sinks to a stable point instead, which is nearly critical.
    let below = field("gelu", 1.9830582574, 0.1729223908).propagation(1.0);
    assert!((stable(below.fixed_point) - 3.03498).abs() < 1e-4 && (below.chi - 1.0).abs() < 0.01, "{below:?}");
    // The bias variance that public code carries for SiLU, a factor of ten too small: strongly vanishing.
    let wrong = field("silu", 1.9880046783, 0.055514317).propagation(1.0);
    assert!((stable(wrong.fixed_point) - 0.120).abs() < 5e-4 && (wrong.chi - 0.550).abs() < 5e-4);
}

#[test]
fn pytorchs_recommended_gains_are_heuristics() {
    // torch.nn.init.calculate_gain: tanh 5/3 is chaotic, SELU 3/4 nearly critical.
    let tanh = field("tanh", 25.0 / 9.0, 0.0).propagation(1.0);
    assert!((tanh.chi.sqrt() - 1.099923).abs() < 1e-6);
    assert_eq!(tanh.phase, Phase::Chaotic);
    let selu = field("selu", 0.5625, 0.0);
    let p = selu.propagation(1.0);
    assert!((p.chi.sqrt() - 1.001833).abs() < 1e-6);
    // PyTorch pull request 50664 printed 0.7968, 0.3127, 0.2404 for layers 1, 11 and 21 of 100.
    let rms = |q: f64| (selu.length_map(q) / 0.5625).sqrt();
    let trajectory = selu.trajectory(0.5625, 100);
    for (layer, expected) in [(1, 0.7975), (11, 0.3126), (21, 0.2412), (31, 0.2183)] {
        assert!((rms(trajectory[layer - 1]) - expected).abs() < 5e-5, "layer {layer}");
    }
    assert!((rms(stable(p.fixed_point)) - 0.202358).abs() < 5e-7);
}

#[test]
fn glorot_and_bengios_five_layers() {
    // tanh, 5 x 1000, unit inputs: activation deviations, and gradient RMS relative to the fifth layer.
    for (sw2, deviations, gradients) in [
        (1.0 / 3.0, [0.4603, 0.2495, 0.1412, 0.0810, 0.0467], [0.0832, 0.1764, 0.3247, 0.5736, 1.0]),
        (1.0, [0.6279, 0.4863, 0.4082, 0.3576, 0.3216], [0.4098, 0.6014, 0.7538, 0.8842, 1.0]),
    ] {
        let field = field("tanh", sw2, 0.0);
        let trajectory = field.trajectory(sw2, 5);
        for (layer, q) in trajectory.iter().enumerate() {
            let deviation = (field.length_map(*q) / sw2).sqrt();
            assert!((deviation - deviations[layer]).abs() < 6e-5, "layer {layer}: {deviation}");
            let gradient: f64 = trajectory[layer..4].iter().map(|q| field.chi(*q).sqrt()).product();
            assert!((gradient - gradients[layer]).abs() < 6e-5, "layer {layer}: {gradient}");
        }
    }
}

#[test]
fn length_slope_is_the_slope_of_the_length_map() {
    for activation in Activation::all() {
        let field = MeanField { activation, weight_variance: 1.3, bias_variance: 0.1 };
        for q in [0.1, 1.0, 8.0] {
            let h = 1e-4 * q;
            let slope = (field.length_map(q + h) - field.length_map(q - h)) / (2.0 * h);
            // V = 1.3 e^(2q) for the exponential: 10^7 at q = 8, where a difference over 2e-4 q is worth 4 digits.
            let tolerance = if activation.name() == "exponential" { 1e-5 * slope } else { 1e-7 };
            assert!((slope - field.length_slope(q)).abs() < tolerance, "{activation} {q}");
            assert!(slope > 0.0, "fixed_point relies on a rising map: {activation} {q}");
        }
    }
}

/// Layers below the measured ones.
const SETTLING: usize = 6;

/// ln of the gradient's RMS factor per layer, between the last hidden layer and the one `span` below, in one drawn net.
fn measured_slope(initializer: Initializer, activation: Activation, width: usize, span: usize, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let layers = span + SETTLING;
    let mut x: Vec<f64> = (0..width).map(|_| standard_normal(&mut rng)).collect();
    let mut tape = Vec::new();
    for _ in 0..layers {
        let w = initializer.sample_weight(width, width, activation, &mut rng);
        let mut z = initializer.sample_bias(width, width, activation, &mut rng);
        for (x, row) in x.iter().zip(w.chunks(width)) {
            z.iter_mut().zip(row).for_each(|(z, w)| *z += x * w);
        }
        x = z.iter().map(|z| activation.value(*z)).collect();
        tape.push((w, z));
    }
    let mut delta: Vec<f64> =
        tape[layers - 1].1.iter().map(|z| standard_normal(&mut rng) * activation.derivative(*z)).collect();
    let ln_rms = |delta: &[f64]| 0.5 * delta.iter().map(|d| d * d).sum::<f64>().ln();
    let start = ln_rms(&delta);
    for layer in (layers - 1 - span..layers - 1).rev() {
        let w = &tape[layer + 1].0;
        let z = &tape[layer].1;
        delta = w
            .chunks(width)
            .zip(z)
            .map(|(row, z)| activation.derivative(*z) * row.iter().zip(&delta).map(|(w, d)| w * d).sum::<f64>())
            .collect();
    }
    (ln_rms(&delta) - start) / span as f64
}

#[test]
fn drawn_nets_have_the_predicted_slope() {
    let (width, span, nets) = (300, 12, 24);
    let initializer = Initializer::named("pytorch-default").unwrap();
    for name in ["relu", "tanh", "sigmoid", "gelu", "selu"] {
        let activation = Activation::named(name).unwrap();
        let field = MeanField {
            activation,
            weight_variance: width as f64 * initializer.weight_variance(width, width, activation),
            bias_variance: initializer.bias_variance(width, activation),
        };
        let variances = field.trajectory(1.0 / 3.0 + field.bias_variance, SETTLING + span);
        let crossed = &variances[SETTLING - 1..SETTLING + span - 1];
        // Of finite width: the typical gradient lies below the mean one, and scatters.
        let law = LogSquaredGain::in_a_row(crossed.iter().map(|q| finite_width::layer(activation, *q, width)));
        let ln_chi: f64 = crossed.iter().map(|q| field.chi(*q).ln()).sum();
        let predicted = 0.5 * (ln_chi + law.mean) / span as f64;
        let error = 0.5 * (law.variance / nets as f64).sqrt() / span as f64;
        let total: f64 = (0..nets).map(|seed| measured_slope(initializer, activation, width, span, seed)).sum();
        let measured = total / nets as f64;
        let off = (measured - predicted).abs();
        assert!(off < 3.0 * error, "{name}: measured {measured}, predicted {predicted} +- {error}");
        // SELU's slope is so flat that two per cent of it are less than the scatter.
        assert!(off < 0.02 * predicted.abs() || name == "selu", "{name}: measured {measured}, predicted {predicted}");
    }
}
