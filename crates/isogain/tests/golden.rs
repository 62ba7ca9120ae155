//! Loss, activations, cotangents and gradients against PyTorch in float64: the files in `golden/`, and the same networks
//! live where a Python with torch is at hand. `oracle/` holds the scripts that wrote the files.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use burn::tensor::DType;
use isogain::clip::Clipper;
use isogain::data::{Samples, Targets};
use isogain::model::Model;
use isogain::optimizer::{Optimizer, Turn};
use isogain::probe::{Keep, Probes};
use isogain::snapshot::loss_and_gradients;
use isogain_core::network::{Linear, Loss, Network, Norm, NormKind, Op, OpKind, Residual, Shape};
use isogain_core::recipe::{AdjustLr, Clip, ClipKind, Optimizer as OptimizerRecipe, OptimizerName};
use isogain_core::theory::activations::Activation;
use isogain_core::theory::initializers::Initializer;
use serde_json::Value as Json;

// `tanh_two_outputs` is left out: a regression here predicts one number.
const NETWORKS: [&str; 16] = [
    "binary_one",
    "binary_several",
    "relu_batch_norm",
    "relu_he_12",
    "relu_layer_norm",
    "relu_rms_norm",
    "residual_learnable",
    "residual_plain",
    "residual_post",
    "residual_pre_norm",
    "residual_scaled",
    "residual_zero",
    "sigmoid_20",
    "sigmoid_squared",
    "softmax_squared",
    "tanh_regression",
];

/// splitmix64, as `oracle/generator.py` defines it.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn symmetric(&mut self) -> f64 {
        (self.next() >> 40) as f64 / 8_388_608.0 - 1.0
    }
}

fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}

fn read(name: &str) -> Json {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn number(json: &Json) -> f64 {
    json.as_f64().unwrap()
}

fn count(json: &Json) -> usize {
    json.as_u64().unwrap() as usize
}

fn text(json: &Json) -> String {
    json.as_str().unwrap().to_owned()
}

/// The case's layers as operations, and their parameters in the order drawn.
fn ops(layers: &Json, draws: &mut Stream, parameters: &mut Vec<(String, Vec<f64>)>) -> Vec<Op> {
    let list = layers.as_array().unwrap().iter();
    list.map(|layer| {
        let name = text(&layer["name"]);
        let kind = match layer["kind"].as_str().unwrap() {
            "linear" => {
                let (fan_in, fan_out) = (count(&layer["fan_in"]), count(&layer["fan_out"]));
                let bound = number(&layer["gain"]) / (fan_in as f64).sqrt();
                let mut draw = |n: usize| (0..n).map(|_| rounded(draws.symmetric() * bound)).collect::<Vec<f64>>();
                // PyTorch keeps weights [out, in].
                let rows = draw(fan_out * fan_in);
                let weight = (0..fan_in * fan_out).map(|i| rows[(i % fan_out) * fan_in + i / fan_out]).collect();
                parameters.push((format!("{name}.weight"), weight));
                parameters.push((format!("{name}.bias"), draw(fan_out)));
                OpKind::Linear(Linear::new(fan_in, fan_out, Initializer::pytorch_default(), Activation::linear()))
            }
            "activation" => OpKind::Activation { activation: Activation::named(&text(&layer["function"])).unwrap() },
            "softmax" => OpKind::Softmax,
            "residual" => {
                let (scale, learnable) = (number(&layer["scale"]), layer["learnable"].as_bool().unwrap());
                let branch = ops(&layer["branch"], draws, parameters);
                OpKind::Residual(Residual::new(branch, scale, learnable))
            }
            kind => {
                let (features, eps) = (count(&layer["width"]), number(&layer["eps"]));
                let norm = match kind {
                    "batch-norm" => NormKind::Batch,
                    "layer-norm" => NormKind::Layer,
                    "rms-norm" => NormKind::Rms,
                    other => panic!("unknown layer {other}"),
                };
                let mut draw =
                    |from: f64| (0..features).map(|_| rounded(from + 0.5 * draws.symmetric())).collect::<Vec<f64>>();
                parameters.push((format!("{name}.gamma"), draw(1.0)));
                if norm != NormKind::Rms {
                    parameters.push((format!("{name}.beta"), draw(0.0)));
                }
                OpKind::Norm(Norm::new(norm, features, eps))
            }
        };
        Op { name, kind }
    })
    .collect()
}

fn build(case: &Json, dtype: DType) -> (Model, Samples) {
    let (batch, inputs) = (count(&case["batch"]), count(&case["inputs"]));
    let mut parameters = Vec::new();
    let ops = ops(&case["layers"], &mut Stream(1), &mut parameters);
    let outputs = ops.iter().rev().find_map(|op| match &op.kind {
        OpKind::Linear(linear) => Some(linear.fan_out),
        _ => None,
    });
    let outputs = outputs.unwrap();
    let mut draws = Stream(2);
    let values = (0..batch * inputs).map(|_| rounded(draws.symmetric() * 3.0_f64.sqrt())).collect();
    let loss = match case["loss"].as_str().unwrap() {
        "cross-entropy" => Loss::CrossEntropy,
        "bce" => Loss::BinaryCrossEntropy,
        _ => Loss::MeanSquaredError,
    };
    let targets = if case["loss"] == "mse" {
        let mut draws = Stream(4);
        let values = (0..batch * outputs).map(|_| rounded(draws.symmetric())).collect();
        Targets::Values { values, outputs }
    } else {
        let (mut draws, classes) = (Stream(3), outputs.max(2));
        let labels = (0..batch).map(|_| (draws.next() % classes as u64) as usize).collect();
        Targets::Classes { labels, classes }
    };
    let samples = Samples { shape: Shape::vector(inputs), inputs: values, targets };
    let network = Network { input: Shape::vector(inputs), outputs, ops, loss };
    let mut model = Model::new(&network, 0, dtype, &samples);
    for (name, values) in parameters {
        let value = model.parameters.get_mut(&name).unwrap();
        *value = value.with(&values, dtype);
    }
    (model, samples)
}

/// PyTorch's names of what we call by the op's own: norms have weight and bias, a residual's factor is alpha.
fn our_name(theirs: &str) -> String {
    let (op, parameter) = theirs.rsplit_once('.').unwrap();
    let ours = match (op.starts_with("norm"), parameter) {
        (true, "weight") => "gamma",
        (true, "bias") => "beta",
        (_, "alpha") => "scale",
        (_, other) => other,
    };
    format!("{op}.{ours}")
}

fn close(what: &str, found: f64, expected: f64, relative: f64, absolute: f64) {
    let allowed = relative * expected.abs() + absolute;
    assert!(
        (found - expected).abs() <= allowed,
        "{what}: {found:e} is not {expected:e} (off by {:e})",
        found - expected
    );
}

fn norm(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    largest * values.iter().map(|value| (value / largest).powi(2)).sum::<f64>().sqrt()
}

/// A bias in front of batch norm has gradient zero up to rounding, which is no relative matter.
fn compare(name: &str, document: &Json, dtype: DType, relative: f64, absolute: f64) {
    let (model, samples) = build(&document["network"], dtype);
    let result = &document["result"];
    let probes = Probes::new(Keep::Values);
    let (loss, gradients) = loss_and_gradients(&model, &samples, Some(&probes));
    close(&format!("{name} loss"), loss, number(&result["loss"]), relative, 0.0);
    let seen = probes.take();
    for joint in result["joints"].as_array().unwrap() {
        let joint_name = text(&joint["name"]);
        for (side, key) in [(&seen.forward, "output_norm"), (&seen.backward, "cotangent_norm")] {
            let kept = side.get(joint_name.as_str()).unwrap_or_else(|| panic!("{name}: nothing seen of {joint_name}"));
            let found = norm(&kept.values().unwrap().to_f64());
            close(&format!("{name} {joint_name} {key}"), found, number(&joint[key]), relative, 0.0);
        }
    }
    let parameters = result["parameters"].as_array().unwrap();
    assert_eq!(parameters.len(), gradients.len(), "{name}: every parameter is compared");
    for parameter in parameters {
        let our_name = our_name(&text(&parameter["name"]));
        let found = norm(&gradients[&our_name].to_f64());
        close(&format!("{name} d{our_name}"), found, number(&parameter["gradient_norm"]), relative, absolute);
        close(&our_name, norm(&model.parameters[&our_name].to_f64()), number(&parameter["norm"]), 1e-6, 0.0);
    }
}

#[test]
fn the_generator_is_the_documented_one() {
    let golden = read("generator");
    for (stream, words) in golden["streams"].as_object().unwrap() {
        let mut draws = Stream(stream.parse().unwrap());
        for word in words.as_array().unwrap() {
            assert_eq!(format!("{:016x}", draws.next()), word.as_str().unwrap());
        }
    }
}

#[test]
fn double_precision_is_pytorch_to_rounding() {
    support::alone(|| NETWORKS.iter().for_each(|name| compare(name, &read(name), DType::F64, 1e-9, 1e-14)));
}

/// The 20-layer sigmoid net, whose gradient spans 16 orders of magnitude, and every other case.
#[test]
fn single_precision_is_within_1e_5_of_float64() {
    support::alone(|| NETWORKS.iter().for_each(|name| compare(name, &read(name), DType::F32, 1e-5, 1e-7)));
}

#[test]
fn activations_and_their_slopes_are_pytorchs() {
    let golden = read("activations");
    let points: Vec<f64> = golden["points"].as_array().unwrap().iter().map(number).collect();
    support::alone(|| {
        for (name, expected) in golden["activations"].as_object().unwrap() {
            // PReLU with its usual slope is a leaky ReLU until it is trained.
            let activation = match name.as_str() {
                "prelu" => Activation::named("leaky-relu").unwrap().with_parameter("slope", 0.25).unwrap(),
                name => Activation::named(name).unwrap(),
            };
            // A shaped activation multiplies what is rounded, and its numbers come from two different quadratures, each good
            // to 1e-12, times 1 / (slope - 1) = 73.
            let (factor, solved) = activation.shape().map_or((1.0, 0.0), |shape| (shape.output_scale, 1e-10));
            for (dtype, tolerance) in [(DType::F64, f64::max(1e-12, solved)), (DType::F32, 2e-6 * factor)] {
                activation_matches(name, activation, &points, expected, dtype, tolerance);
            }
        }
    });
}

/// Through the engine: one sample per point, a head of weight 1, loss = output squared, whose cotangent is 2 phi.
fn activation_matches(
    name: &str,
    activation: Activation,
    points: &[f64],
    expected: &Json,
    dtype: DType,
    tolerance: f64,
) {
    let op = |name: &str, kind: OpKind| Op { name: name.into(), kind };
    let linear = Linear::new(1, 1, Initializer::pytorch_default(), Activation::linear());
    let ops = vec![op("act", OpKind::Activation { activation }), op("head", OpKind::Linear(linear))];
    let network = Network { input: Shape::vector(1), outputs: 1, ops, loss: Loss::MeanSquaredError };
    let far = vec![-100.0; points.len()];
    let samples = Samples {
        shape: Shape::vector(1),
        inputs: points.to_vec(),
        targets: Targets::Values { values: far, outputs: 1 },
    };
    let mut model = Model::new(&network, 0, dtype, &samples);
    for (parameter, value) in [("head.weight", 1.0), ("head.bias", 0.0)] {
        let entry = model.parameters.get_mut(parameter).unwrap();
        *entry = entry.with(&[value], dtype);
    }
    let probes = Probes::new(Keep::Values);
    loss_and_gradients(&model, &samples, Some(&probes));
    let seen = probes.take();
    let values = seen.forward["act"].values().unwrap().to_f64().into_owned();
    let outer = seen.backward["act"].values().unwrap().to_f64().into_owned();
    let inner = seen.backward["input"].values().unwrap().to_f64().into_owned();
    for (index, point) in points.iter().enumerate() {
        let what = format!("{name}({point})");
        close(&what, values[index], number(&expected["values"][index]), tolerance, tolerance);
        let slope = inner[index] / outer[index];
        close(&format!("{what} slope"), slope, number(&expected["derivatives"][index]), tolerance, tolerance);
    }
}

#[test]
fn optimizers_and_clipping_take_pytorchs_steps() {
    let cases = [
        "sgd",
        "sgd_weight_decay",
        "momentum",
        "nesterov",
        "nesterov_weight_decay",
        "adam",
        "adam_large_eps",
        "adam_weight_decay",
        "adamw",
        "rmsprop",
        "rmsprop_momentum",
        "adagrad",
        "adagrad_weight_decay",
        "adam_clip_update",
        "adamw_clip_update",
        "adam_spikes",
        "sgd_trust_ratio",
        "momentum_trust_ratio",
        "adamw_trust_ratio",
        "muon",
        "muon_matched",
        "muon_original",
        "sign",
        "sgd_clip_value",
        "sgd_clip_norm",
        "sgd_clip_global_norm",
    ];
    support::alone(|| {
        for (case, dtype) in cases.into_iter().flat_map(|case| [(case, DType::F64), (case, DType::F32)]) {
            let name = &format!("optimizer_{case}");
            let golden = read(name);
            let losses = descend(&golden["network"], dtype);
            let expected = golden["result"]["losses"].as_array().unwrap();
            assert_eq!(losses.len(), expected.len());
            // PyTorch's clipping divides by norm + 1e-6; in single precision rounding adds up over ten steps.
            let tolerance = match dtype {
                DType::F64 if name.contains("norm") => 2e-6,
                DType::F64 => 1e-9,
                _ => 1e-5,
            };
            for (found, expected) in losses.iter().zip(expected) {
                close(name, *found, number(expected), tolerance, 0.0);
            }
        }
    });
}

fn descend(case: &Json, dtype: DType) -> Vec<f64> {
    let (mut model, samples) = build(case, dtype);
    let rule = &case["optimizer"];
    let momentum = rule["momentum"].as_f64().unwrap_or(0.0);
    let name = match rule["kind"].as_str().unwrap() {
        "adam" => OptimizerName::Adam,
        "adamw" => OptimizerName::AdamW,
        "rmsprop" => OptimizerName::RmsProp,
        "adagrad" => OptimizerName::AdaGrad,
        "muon" => OptimizerName::Muon,
        "sign" => OptimizerName::SignSgd,
        _ if rule["nesterov"] == true => OptimizerName::Nesterov,
        _ if momentum > 0.0 => OptimizerName::Momentum,
        _ => OptimizerName::Sgd,
    };
    let recipe = OptimizerRecipe {
        name,
        learning_rate: number(&rule["lr"]),
        momentum,
        betas: [rule["beta1"].as_f64().unwrap_or(0.9), rule["beta2"].as_f64().unwrap_or(0.999)],
        alpha: rule["alpha"].as_f64().unwrap_or(0.99),
        eps: rule["eps"].as_f64().unwrap_or(1e-8),
        weight_decay: rule["weight_decay"].as_f64().unwrap_or(0.0),
        clip_update: rule["clip_update"] == true,
        spike_limit: rule["spike_limit"].as_f64(),
        reset_every: rule["reset_every"].as_u64().map(|steps| steps as usize),
        trust_ratio: rule["trust_ratio"] == true,
        base_width: None,
        adjust_lr: if rule["adjust"] == "original" { AdjustLr::Original } else { AdjustLr::default() },
    };
    let limits = match case["clip"]["kind"].as_str() {
        Some("value") => Clip::at(ClipKind::Value, number(&case["clip"]["limit"])),
        Some("norm") => Clip::at(ClipKind::Norm, number(&case["clip"]["limit"])),
        Some(_) => Clip::at(ClipKind::GlobalNorm, number(&case["clip"]["limit"])),
        None => Clip::default(),
    };
    let (mut optimizer, mut clipper) = (Optimizer::new(&recipe).of(&model.network), Clipper::new(&limits));
    let mut losses = Vec::new();
    for step in 0..=count(&case["steps"]) {
        let (loss, mut gradients) = loss_and_gradients(&model, &samples, None);
        losses.push(loss);
        clipper.clip(&mut gradients, &model.parameters);
        optimizer.step(&mut model.parameters, gradients, Turn { rate: recipe.learning_rate, updates: step }, false);
    }
    losses
}

/// The same comparison with the torch that is installed here.
#[test]
fn live_against_the_installed_torch() {
    let Some(python) = python_with_torch() else {
        println!("skipped: no Python with torch (set ISOGAIN_PYTHON)");
        assert!(std::env::var_os("CI").is_none(), "under CI the oracle must be installed");
        return;
    };
    support::alone(|| {
        for name in ["sigmoid_20", "relu_batch_norm", "residual_learnable", "tanh_regression"] {
            let document = live(&python, name);
            compare(name, &document, DType::F64, 1e-9, 1e-14);
            compare(name, &document, DType::F32, 1e-5, 1e-7);
        }
    });
}

fn python_with_torch() -> Option<String> {
    let chosen = std::env::var("ISOGAIN_PYTHON").ok();
    let candidates = chosen.into_iter().chain(["python3".into(), "/usr/bin/python3".into()]);
    candidates.into_iter().find(|python| {
        let probe = Command::new(python).args(["-c", "import torch, numpy"]).output();
        probe.is_ok_and(|output| output.status.success())
    })
}

fn live(python: &str, name: &str) -> Json {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../oracle/live.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{{\"case\": \"{name}\"}}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
