//! Whole surveys, in memory and from files.

use std::path::PathBuf;

use half::{bf16, f16};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::tensor::{Dtype, TensorView};

use super::*;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// Tensors `[units, inputs]` of a chain, as PyTorch keeps them.
struct Model {
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    rng: ChaCha8Rng,
}

impl Model {
    fn new() -> Self {
        Self { tensors: Vec::new(), rng: ChaCha8Rng::seed_from_u64(11) }
    }

    fn chain(init: &str, layers: usize, width: usize) -> Self {
        let mut model = Self::new();
        for layer in 1..=layers {
            model.linear(&format!("fc{layer}"), init, width, width);
        }
        model.linear("head", init, width, 10);
        model
    }

    fn linear(&mut self, name: &str, init: &str, inputs: usize, units: usize) {
        let drawn = Initializer::named(init).unwrap().sample_weight(inputs, units, Activation::relu(), &mut self.rng);
        let transposed = (0..inputs * units).map(|at| drawn[(at % inputs) * units + at / inputs] as f32).collect();
        self.tensors.push((format!("{name}.weight"), vec![units, inputs], transposed));
        self.tensors.push((format!("{name}.bias"), vec![units], vec![0.0; units]));
    }

    fn values(&mut self, name: &str) -> &mut Vec<f32> {
        &mut self.tensors.iter_mut().find(|(known, ..)| known == name).unwrap().2
    }

    fn report(&self) -> WeightReport {
        let shapes = self.tensors.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect();
        let mut survey = Survey::new(shapes, false, true).unwrap();
        for (name, _, values) in &self.tensors {
            survey.add(name, &Values::from(values.clone())).unwrap();
        }
        survey.report("model")
    }

    fn write(&self, dtype: Dtype) -> (tempfile::TempDir, PathBuf) {
        let bytes: Vec<Vec<u8>> = self.tensors.iter().map(|(.., values)| encoded(values, dtype)).collect();
        let views = self
            .tensors
            .iter()
            .zip(&bytes)
            .map(|((name, shape, _), bytes)| (name.clone(), TensorView::new(dtype, shape.clone(), bytes).unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        (folder, path)
    }
}

fn encoded(values: &[f32], dtype: Dtype) -> Vec<u8> {
    let each: fn(f32) -> Vec<u8> = match dtype {
        Dtype::F64 => |value| f64::from(value).to_le_bytes().to_vec(),
        Dtype::F16 => |value| f16::from_f32(value).to_le_bytes().to_vec(),
        Dtype::BF16 => |value| bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => |value| value.to_le_bytes().to_vec(),
    };
    values.iter().flat_map(|value| each(*value)).collect()
}

fn rules(report: &WeightReport) -> Vec<(&str, Level)> {
    report.findings.iter().map(|finding| (finding.rule.as_str(), finding.level)).collect()
}

#[test]
fn every_initialiser_is_recognised() {
    for init in [
        "pytorch-default",
        "he-uniform",
        "he-normal",
        "he-truncated",
        "glorot-uniform",
        "glorot-normal",
        "lecun-uniform",
        "lecun-normal",
        "orthogonal",
    ] {
        let mut model = Model::new();
        // Not square, so that Glorot and LeCun differ.
        model.linear("fc1", init, 128, 64);
        let report = model.report();
        let found = &report.layers[0].scale.as_ref().unwrap().initializers;
        // With half as many units as inputs 2 / fan_out is 4 / fan_in, which no other has.
        assert_eq!(found, &[init]);
    }
    let mut model = Model::new();
    model.linear("fc1", "he-normal", 64, 128);
    model.tensors[0].1 = vec![64, 128];
    model.tensors[1].1 = vec![64];
    model.tensors[1].2.truncate(64);
    assert_eq!(model.report().layers[0].scale.as_ref().unwrap().initializers, ["he-normal by fan_out"]);
    let mut model = Model::new();
    model.linear("fc1", "he-normal", 128, 64);
    model.values("fc1.weight").iter_mut().for_each(|weight| *weight *= 1.2);
    assert!(model.report().layers[0].scale.as_ref().unwrap().initializers.is_empty());
}

#[test]
fn scale_is_what_theory_says() {
    let report = Model::chain("pytorch-default", 30, 64).report();
    let scale = report.layers[3].scale.as_ref().unwrap();
    assert!((scale.sw2 - 1.0 / 3.0).abs() < 0.02, "{scale:?}");
    assert!(
        (scale.log_gain.exp() - 0.577).abs() < 0.01 && (scale.log_gain_relu.exp() - 0.408).abs() < 0.01,
        "{scale:?}"
    );
    // E tanh'^2 = 0.46440290 at variance 1.
    assert!((scale.log_gain_tanh - scale.log_gain - 0.5 * 0.464_402_90_f64.ln()).abs() < 1e-7);
    let chain = report.chain.as_ref().unwrap();
    assert_eq!((chain.count, chain.layers.each_ref().map(String::as_str)), (29, ["fc2.weight", "fc30.weight"]));
    assert!((chain.log_gain / 29.0 - (1.0_f64 / 3.0).sqrt().ln()).abs() < 0.01);
    let finding = &report.findings[0];
    assert_eq!((finding.rule.as_str(), finding.level), ("vanishing-gradient", Level::Warn));
    assert!(finding.message.contains("if these 29 layers follow one another"), "{}", finding.message);
    assert!(finding.theory.as_ref().unwrap().contains("the scale of pytorch-default"));
    assert!(!report.is_clean());
}

#[test]
fn healthy_chains_are_left_alone() {
    for init in ["he-normal", "orthogonal"] {
        let report = Model::chain(init, 12, 64).report();
        assert_eq!(rules(&report), [], "{init}");
    }
    // Under ReLU half is lost per layer; whether there is a ReLU is not in the weights.
    assert_eq!(rules(&Model::chain("orthogonal", 30, 64).report()), [("vanishing-gradient", Level::Note)]);
    // Beside a norm nothing can be said of the gradient.
    let mut model = Model::chain("pytorch-default", 30, 64);
    model.tensors.push(("norm1.weight".into(), vec![64], vec![1.0; 64]));
    let report = model.report();
    assert_eq!((report.chain.as_ref(), rules(&report)), (None, vec![]));
    assert_eq!(report.norms.len(), 1);
}

#[test]
fn exploding_chains() {
    let mut model = Model::chain("he-normal", 12, 64);
    for layer in 1..=12 {
        model.values(&format!("fc{layer}.weight")).iter_mut().for_each(|weight| *weight *= 4.0);
    }
    let report = model.report();
    assert_eq!(rules(&report), [("exploding-gradient", Level::Warn)]);
    assert!(report.findings[0].evidence[0].threshold == Some(4.0), "{:?}", report.findings[0].evidence);
}

#[test]
fn constant_repeated_and_zero_weights() {
    let mut model = Model::chain("he-normal", 4, 32);
    model.values("fc2.weight").fill(0.1);
    let report = model.report();
    assert_eq!(rules(&report), [("symmetric-weights", Level::Deny)]);
    assert!(report.findings[0].message.starts_with("31 of 32 units of fc2.weight have the weights of another unit:"));
    model.values("fc2.bias")[3] = 1.0;
    assert_eq!(rules(&model.report()), [("symmetric-weights", Level::Warn)]);
    // A head may start at zero or constant, a matrix in the middle may not.
    let mut model = Model::chain("he-normal", 4, 32);
    model.values("head.weight").fill(0.0);
    assert_eq!(rules(&model.report()), []);
    model.values("fc2.weight").fill(0.0);
    assert_eq!(rules(&model.report()), [("symmetric-weights", Level::Warn)]);
    model.tensors.iter_mut().for_each(|(name, ..)| *name = name.replace("fc", "block"));
    assert_eq!(rules(&model.report()), [("symmetric-weights", Level::Note)]);
}

#[test]
fn dead_units_and_norms() {
    let mut model = Model::chain("he-normal", 4, 32);
    model.values("fc2.weight")[..5 * 32].fill(0.0);
    // Inputs of the first layer are the data's.
    model.values("fc1.weight").iter_mut().step_by(32).for_each(|weight| *weight = 0.0);
    let report = model.report();
    assert_eq!(rules(&report), [("dead-units", Level::Note)]);
    assert_eq!(report.layers[1].counts.empty_units, 5);
    assert!(report.findings[0].message.contains("5 of 32 units"), "{}", report.findings[0].message);
    model.values("fc2.weight")[..20 * 32].fill(0.0);
    assert_eq!(rules(&model.report()), [("dead-units", Level::Warn)]);
    let mut gamma = vec![1.0; 32];
    gamma[..20].fill(1e-6);
    let mut model = Model::chain("he-normal", 2, 32);
    model.tensors.push(("bn1.weight".into(), vec![32], gamma));
    assert_eq!(rules(&model.report()), [("dead-units", Level::Warn)]);
    model.values("bn1.weight").fill(0.0);
    assert_eq!(rules(&model.report()), [("dead-units", Level::Note)]);
}

#[test]
fn values_that_are_not_finite() {
    let mut model = Model::chain("he-normal", 3, 32);
    model.values("fc2.weight")[7] = f32::NAN;
    model.values("fc3.bias")[0] = f32::INFINITY;
    let report = model.report();
    assert_eq!(rules(&report), [("non-finite", Level::Deny)]);
    let message = &report.findings[0].message;
    assert_eq!(message, "1 of the 1024 values of fc2.weight are NaN or infinite, and 1 more tensors hold such values");
    assert_eq!(report.layers[1].spectrum, None);
    assert!(serde_json::to_string(&report).unwrap().contains("\"schema\":\"isogain-weights/1\""));
}

#[test]
fn files_of_every_type_say_the_same() {
    let model = Model::chain("he-normal", 5, 32);
    let expected = model.report();
    for (dtype, tolerance) in [(Dtype::F32, 0.0), (Dtype::F64, 1e-12), (Dtype::F16, 1e-3), (Dtype::BF16, 1e-2)] {
        let (_folder, path) = model.write(dtype);
        let report = file::check(&[path], true).unwrap();
        assert_eq!(report.layers.len(), expected.layers.len());
        for (found, expected) in report.layers.iter().zip(&expected.layers) {
            assert_eq!(found.name, expected.name);
            let (found, expected) = (found.spectrum.unwrap(), expected.spectrum.unwrap());
            assert!((found.largest / expected.largest - 1.0).abs() <= tolerance, "{dtype:?}");
        }
        assert_eq!(report.findings, []);
    }
}

#[test]
fn shards_are_one_model() {
    let model = Model::chain("he-normal", 6, 16);
    let (mut first, mut second) = (Model::new(), Model::new());
    first.tensors = model.tensors[..6].to_vec();
    second.tensors = model.tensors[6..].to_vec();
    let ((_one, first), (_two, second)) = (first.write(Dtype::F32), second.write(Dtype::F32));
    let report = file::check(&[second, first.clone()], false).unwrap();
    assert_eq!(report.layers.len(), 7);
    assert_eq!(report.chain.unwrap().count, 5);
    let twice = file::check(&[first.clone(), first], false).unwrap_err().to_string();
    assert_eq!(twice, "two tensors are called 'fc1.bias'; the files of one model must not overlap");
}

#[test]
fn hostile_files() {
    let folder = tempfile::tempdir().unwrap();
    let error = |bytes: &[u8]| {
        let path = folder.path().join("x.safetensors");
        std::fs::write(&path, bytes).unwrap();
        let text = file::check(std::slice::from_ref(&path), true).unwrap_err().to_string();
        assert!(text.starts_with(&path.display().to_string()) && !text.contains('\n'), "{text}");
        text
    };
    let with_header = |header: &str, data: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    assert!(error(b"").contains("0 bytes are too few"));
    assert!(error(b"PK\x03\x04rest").contains("as torch.save writes it"));
    assert!(error(&[0xff; 64]).contains("announces a header of 18446744073709551615 bytes and has 64 in all"));
    assert!(error(&with_header("{\"a\":", 0)).contains("not a safetensors header"));
    assert!(error(&with_header("[1]", 0)).contains("not a safetensors header"));
    let tensor =
        |shape: &str, end: u64| format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
    assert!(error(&with_header(&tensor("[2,2]", 16), 12)).contains("cut short"));
    assert!(error(&with_header(&tensor("[2,2]", 12), 12)).contains("not a safetensors header"));
    assert!(
        error(&with_header(&tensor("[4294967296,4294967296,4294967296]", 16), 16)).contains("not a safetensors header")
    );
    let overlapping = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    assert!(error(&with_header(overlapping, 12)).contains("not a safetensors header"));
    // Nothing at all is a model without layers, and whole numbers are passed over.
    std::fs::write(folder.path().join("e.safetensors"), with_header("{}", 0)).unwrap();
    let report = file::check(&[folder.path().join("e.safetensors")], true).unwrap();
    assert_eq!((report.layers.len(), report.values), (0, 0));
    let whole = r#"{"steps":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
    std::fs::write(folder.path().join("i.safetensors"), with_header(whole, 8)).unwrap();
    assert_eq!(file::check(&[folder.path().join("i.safetensors")], true).unwrap().others, ["steps (I64)"]);
}

#[test]
fn announced_shapes_hold() {
    let mut survey = Survey::new(vec![("a.weight".into(), vec![2, 2])], true, true).unwrap();
    let values = Values::from(vec![1.0_f32; 3]);
    assert_eq!(survey.add("a.weight", &values).unwrap_err().to_string(), "'a.weight' has 3 values; its shape holds 4");
    assert!(survey.add("b", &values).is_err());
}
