use rand_chacha::rand_core::SeedableRng;

use super::*;

fn named(name: &str) -> Initializer {
    Initializer::named(name).unwrap()
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

/// Mean, variance, and the standard error of the variance.
fn moments(values: &[f64]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let fourth = values.iter().map(|v| (v - mean).powi(4)).sum::<f64>() / n;
    (mean, variance, ((fourth - variance * variance).max(0.0) / n).sqrt())
}

#[test]
fn table_and_folder_agree() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/theory/initializers");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().replace('_', "-"))
        .filter(|stem| stem != "mod" && stem != "tests")
        .collect();
    files.sort();
    // One file holds a family that differs in its distribution only.
    let mut names: Vec<String> = Initializer::all()
        .map(|initializer| match initializer.name().split_once('-') {
            Some((family @ ("glorot" | "he" | "lecun"), _)) => family.to_owned(),
            _ => initializer.name().to_owned(),
        })
        .collect();
    assert!(names.is_sorted());
    names.dedup();
    assert_eq!(names, files);
}

#[test]
fn sampled_variance_is_the_formulas() {
    for activation in [Activation::relu(), Activation::tanh()] {
        for initializer in Initializer::all().filter(|init| init.supports(activation)) {
            for (fan_in, fan_out) in [(200, 300), (300, 150)] {
                let weight = initializer.sample_weight(fan_in, fan_out, activation, &mut rng());
                assert_eq!(weight.len(), fan_in * fan_out);
                let (mean, variance, error) = moments(&weight);
                let expected = initializer.weight_variance(fan_in, fan_out, activation);
                assert!(
                    (variance - expected).abs() <= 5.0 * error + 1e-17,
                    "{initializer} {fan_in}x{fan_out}: {variance} against {expected} +- {error}"
                );
                // The identity is no sample: its ones are where they are, and their mean is what it is.
                if initializer.name() == "identity" {
                    assert!((mean - 1.0 / 300.0).abs() < 1e-15, "{mean}");
                    continue;
                }
                let mean_error = (mean - initializer.weight_mean(fan_in)).abs();
                assert!(mean_error <= 5.0 * (expected / weight.len() as f64).sqrt() + 1e-12, "{initializer}: {mean}");
            }
            let bias = initializer.sample_bias(200, 40_000, activation, &mut rng());
            assert_eq!(bias.len(), 40_000);
            let (mean, variance, error) = moments(&bias);
            let expected = initializer.bias_variance(200, activation);
            assert!((variance - expected).abs() <= 5.0 * error, "{initializer} bias: {variance} against {expected}");
            let mean_error = (mean - initializer.bias_mean(200)).abs();
            assert!(mean_error <= 5.0 * (expected / 40_000.0).sqrt(), "{initializer} bias: {mean}");
        }
    }
}

#[test]
fn formulas_of_the_papers() {
    let relu = Activation::relu();
    let variance = |name: &str| named(name).weight_variance(100, 300, relu);
    for suffix in ["uniform", "normal", "truncated"] {
        assert_eq!(variance(&format!("glorot-{suffix}")), 2.0 / 400.0);
        assert_eq!(variance(&format!("he-{suffix}")), 2.0 / 100.0);
        assert_eq!(variance(&format!("lecun-{suffix}")), 1.0 / 100.0);
    }
    assert!((variance("pytorch-default") - 1.0 / 300.0).abs() < 1e-18);
    assert!((named("pytorch-default").bias_variance(100, relu) - 1.0 / 300.0).abs() < 1e-18);
    assert_eq!(variance("keras-default"), 2.0 / 400.0);
    assert!((variance("fixed-variance") - 4e-4).abs() < 1e-18);
    assert!((variance("quadrature-gain") - 0.02).abs() < 1e-14);
    let leaky = Activation::named("leaky-relu").unwrap().with_parameter("slope", 0.5).unwrap();
    assert!((named("he-normal").weight_variance(100, 300, leaky) - 2.0 / 125.0).abs() < 1e-16);
    let tuned = named("glorot-normal").with_parameter("gain", 5.0 / 3.0).unwrap();
    assert!((100.0 * tuned.weight_variance(100, 100, relu) - 25.0 / 9.0).abs() < 1e-13);
    let critical = named("edge-of-chaos");
    assert!((64.0 * critical.weight_variance(64, 64, Activation::tanh()) - 1.76095464).abs() < 1e-8);
    assert_eq!(critical.bias_variance(64, Activation::tanh()), 0.05);
    assert!((64.0 * critical.weight_variance(64, 64, relu) - 2.0).abs() < 1e-14);
}

#[test]
fn uniform_and_truncated_keep_their_bounds() {
    let n = 100;
    let largest = |name: &str| {
        named(name)
            .sample_weight(n, n, Activation::relu(), &mut rng())
            .into_iter()
            .fold(0.0, |largest: f64, w| largest.max(w.abs()))
    };
    for (name, bound) in [
        ("glorot-uniform", (6.0 / 200.0f64).sqrt()),
        ("pytorch-default", 0.1),
        ("lecun-truncated", 2.0 * 0.1 / 0.879_625_661_034_239_8),
    ] {
        let largest = largest(name);
        assert!(largest <= bound && largest > 0.99 * bound, "{name}: {largest} of {bound}");
    }
}

#[test]
fn orthogonal_is_orthogonal_whatever_the_shape() {
    for (fan_in, fan_out) in [(64, 64), (30, 70), (70, 30), (1, 5), (5, 1), (1, 1)] {
        let gain = 1.4;
        let initializer = named("orthogonal").with_parameter("gain", gain).unwrap();
        let w = initializer.sample_weight(fan_in, fan_out, Activation::tanh(), &mut rng());
        let (few, many, at): (_, _, Box<dyn Fn(usize, usize) -> f64>) = if fan_in < fan_out {
            (fan_in, fan_out, Box::new(|i, k| w[i * fan_out + k]))
        } else {
            (fan_out, fan_in, Box::new(|i, k| w[k * fan_out + i]))
        };
        for i in 0..few {
            for j in 0..few {
                let product: f64 = (0..many).map(|k| at(i, k) * at(j, k)).sum();
                let expected = if i == j { gain * gain } else { 0.0 };
                assert!((product - expected).abs() < 1e-10, "{fan_in}x{fan_out} [{i}, {j}]: {product}");
            }
        }
    }
}

#[test]
fn identity_is_an_eye_whatever_the_shape() {
    let initializer = named("identity").with_parameter("gain", 0.5).unwrap();
    for (rows, columns) in [(3, 3), (2, 4), (4, 2)] {
        let w = initializer.sample_weight(rows, columns, Activation::tanh(), &mut rng());
        for (index, value) in w.iter().enumerate() {
            let expected = if index / columns == index % columns { 0.5 } else { 0.0 };
            assert!((value - expected).abs() < 1e-15, "{rows}x{columns}: {w:?}");
        }
        let mean_square = w.iter().map(|w| w * w).sum::<f64>() / w.len() as f64;
        assert!((mean_square - initializer.weight_variance(rows, columns, Activation::tanh())).abs() < 1e-16);
    }
}

#[test]
fn a_convolutions_weight_has_a_fan_out_of_taps_times_channels() {
    // 9 taps, 16 to 32 channels: PyTorch's Glorot has 2 / (9 x 16 + 9 x 32).
    let (fan_in, out, taps) = (144, 32, 9);
    let variance = |name: &str| named(name).patch_variance(fan_in, out, taps, Activation::relu());
    assert_eq!(variance("glorot-normal"), 2.0 / (144.0 + 288.0));
    assert_eq!(variance("he-normal"), 2.0 / 144.0);
    assert_eq!(variance("orthogonal"), 1.0 / 144.0);
    for initializer in Initializer::all().filter(|init| !matches!(init.name(), "constant" | "identity")) {
        let weight = initializer.sample_patch(fan_in, out, taps, Activation::relu(), &mut rng());
        let (_, sampled, error) = moments(&weight);
        let expected = initializer.patch_variance(fan_in, out, taps, Activation::relu());
        assert!((sampled - expected).abs() <= 5.0 * error + 1e-17, "{initializer}: {sampled} against {expected}");
    }
    // One tap is a linear layer.
    for initializer in Initializer::all() {
        let linear = initializer.weight_variance(20, 30, Activation::relu());
        assert_eq!(initializer.patch_variance(20, 30, 1, Activation::relu()), linear);
    }
}

#[test]
fn a_scaled_initializer_draws_scaled_weights() {
    for initializer in Initializer::all() {
        let draw = |init: Initializer| init.sample_weight(40, 30, Activation::tanh(), &mut rng());
        let Some(scaled) = initializer.scaled(0.3) else {
            assert!(
                initializer.is_data_dependent()
                    || matches!(initializer.name(), "edge-of-chaos" | "quadrature-gain" | "randomized-asymmetric"),
                "{initializer}"
            );
            continue;
        };
        for (weight, scaled) in draw(initializer).iter().zip(draw(scaled)) {
            assert!((0.3 * weight - scaled).abs() < 1e-15, "{initializer}: {weight} and {scaled}");
        }
    }
}

#[test]
fn orthogonal_is_haar_and_not_biased_in_sign() {
    // Under the Haar measure the trace of an n x n orthogonal matrix has mean 0 and variance 1; a QR factorisation
    // without the sign correction gives a clearly negative mean.
    let nets = 3000;
    let mut rng = rng();
    let traces: Vec<f64> = (0..nets)
        .map(|_| {
            let w = named("orthogonal").sample_weight(6, 6, Activation::tanh(), &mut rng);
            (0..6).map(|i| w[7 * i]).sum()
        })
        .collect();
    let (mean, variance, error) = moments(&traces);
    assert!(mean.abs() < 5.0 / f64::from(nets).sqrt(), "{mean}");
    assert!((variance - 1.0).abs() < 5.0 * error, "{variance}");
}

#[test]
fn same_seed_same_weights() {
    for initializer in Initializer::all() {
        let draw = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            // All have an answer for ReLU.
            initializer.sample_weight(20, 30, Activation::relu(), &mut rng)
        };
        assert_eq!(draw(3), draw(3));
        let is_random = !matches!(initializer.name(), "zeros" | "constant" | "identity");
        assert_eq!(draw(3) != draw(4), is_random, "{initializer}");
    }
}

#[test]
fn softplus_and_the_exponential_have_no_edge_of_chaos_and_only_kinks_look_linear() {
    for initializer in Initializer::all() {
        for activation in Activation::all() {
            let supported = initializer.supports(activation);
            let expected = match initializer.name() {
                "edge-of-chaos" => !matches!(activation.name(), "softplus" | "exponential"),
                "looks-linear" => activation.is_homogeneous(),
                _ => true,
            };
            assert_eq!(supported, expected, "{initializer} {activation}");
            assert_eq!(initializer.weight_variance(10, 10, activation).is_finite(), supported);
        }
    }
}

#[test]
fn written_as_a_name_or_a_table() {
    let parse = |text: &str| serde_json::from_str::<Initializer>(text).map_err(|error| error.to_string());
    assert_eq!(parse(r#""he-normal""#).unwrap(), named("he-normal"));
    let gpt2 = parse(r#"{"name": "fixed-variance", "std": 0.01}"#).unwrap();
    assert_eq!(gpt2.parameters().collect::<Vec<_>>(), [("std", 0.01)]);
    let normal = parse(r#"{"name": "normal", "weight_variance": 3, "bias_variance": 0.05}"#).unwrap();
    assert_eq!(normal.to_string(), "normal(weight_variance = 3, bias_variance = 0.05)");
    for initializer in Initializer::all().chain([gpt2, normal]) {
        assert_eq!(parse(&serde_json::to_string(&initializer).unwrap()).unwrap(), initializer);
    }
    assert!(parse(r#""he-nromal""#).unwrap_err().contains("did you mean `he-normal`?"));
    assert!(parse(r#"{"name": "orthogonal", "gian": 2}"#).unwrap_err().contains("did you mean `gain`?"));
    assert!(parse(r#"{"name": "orthogonal", "gain": 0}"#).unwrap_err().contains("must be a number above 0"));
    assert!(parse(r#"{"name": "zeros", "gain": 2}"#).unwrap_err().contains("`zeros` has no `gain`"));
}

/// `y = x W` for a row x.
fn times(x: &[f64], w: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).map(|column| x.iter().zip(w.iter().skip(column).step_by(columns)).map(|(x, w)| x * w).sum()).collect()
}

/// A stack of pairs is an isometry of any depth: every singular value of its Jacobian is 1 (Balduzzi et al. 2017).
#[test]
fn a_looks_linear_network_is_an_isometry() {
    let relu = Activation::relu();
    let leaky = Activation::named("leaky-relu").unwrap().with_parameter("slope", 0.3).unwrap();
    for phi in [relu, leaky] {
        let (width, depth, mut rng) = (16, 100, rng());
        let init = named("looks-linear");
        let mut weights = vec![init.reading_no_pairs().sample_weight(8, width, phi, &mut rng)];
        weights.extend((1..depth).map(|_| init.sample_weight(width, width, phi, &mut rng)));
        let head = init.sample_weight(width, 8, Activation::linear(), &mut rng);
        let run = |x: &[f64]| {
            let hidden = weights
                .iter()
                .fold(x.to_vec(), |x, w| times(&x, w, width).into_iter().map(|z| phi.value(z)).collect::<Vec<f64>>());
            times(&hidden, &head, 8)
        };
        // The map is linear, so that its columns are its Jacobian.
        let jacobian: Vec<Vec<f64>> =
            (0..8).map(|k| run(&(0..8).map(|i| f64::from(u8::from(i == k))).collect::<Vec<_>>())).collect();
        for (i, a) in jacobian.iter().enumerate() {
            for (j, b) in jacobian.iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                let expected = f64::from(u8::from(i == j));
                assert!((product - expected).abs() < 1e-10, "{phi} [{i}, {j}]: {product}");
            }
        }
        let x: Vec<f64> = (0..8).map(|k| f64::from(k) - 3.3).collect();
        let sum: f64 = run(&x).iter().map(|y| y * y).sum::<f64>() / x.iter().map(|x| x * x).sum::<f64>();
        assert!((sum - 1.0).abs() < 1e-10, "{phi}: {sum}");
    }
}

#[test]
fn a_delta_orthogonal_patch_is_zero_but_for_its_middle() {
    let (channels, out, taps) = (6, 10, 9);
    let gain = 1.3;
    let init = named("delta-orthogonal").with_parameter("gain", gain).unwrap();
    let weight = init.sample_patch(taps * channels, out, taps, Activation::tanh(), &mut rng());
    let block = channels * out;
    for (tap, weights) in weight.chunks_exact(block).enumerate().filter(|(tap, _)| *tap != 4) {
        assert!(weights.iter().all(|w| *w == 0.0), "{tap}");
    }
    let middle = &weight[4 * block..][..block];
    for i in 0..channels {
        for j in 0..channels {
            let product: f64 = (0..out).map(|k| middle[i * out + k] * middle[j * out + k]).sum();
            let expected = if i == j { gain * gain } else { 0.0 };
            assert!((product - expected).abs() < 1e-10, "[{i}, {j}]: {product}");
        }
    }
}

/// Lu et al. 2019, section 4: one number of each unit is positive, from Beta(2, 1).
#[test]
fn one_number_of_each_asymmetric_unit_is_large_and_positive() {
    let (fan_in, units) = (400, 300);
    let (weight, bias) = named("randomized-asymmetric").sample_layer(fan_in, units, 1, Activation::relu(), &mut rng());
    // Six deviations of the others are 0.18: Beta(2, 1) is below that in 3 % of all units.
    let large = |unit: usize| {
        let of_unit = weight.iter().skip(unit).step_by(units).chain([&bias[unit]]);
        of_unit.filter(|value| **value > 6.0 * 0.6007 / 20.0).count()
    };
    let counts: Vec<usize> = (0..units).map(large).collect();
    assert!(counts.iter().all(|count| *count <= 1));
    let found = counts.iter().sum::<usize>();
    assert!((270..300).contains(&found), "{found}");
}
