//! One small network of each kind against PyTorch in float64: outputs, loss, gradients of every parameter, activations and
//! cotangents of every joint, evaluation mode. `oracle/kinds.py` wrote the files.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::DType;
use isogain::data::{Samples, Targets};
use isogain::model::{Mode, Model, Running};
use isogain::probe::{Keep, Probes};
use isogain::snapshot::{loss_and_gradients, snapshot};
use isogain_core::flow::{Flow, Joint};
use isogain_core::network::{Loss, Network, Op, OpKind};
use serde::Deserialize;

const KINDS: [&str; 27] = [
    "antisymmetric_recurrences",
    "auxiliary_heads",
    "batch_renorm",
    "computed_weights",
    "convnet",
    "densenet",
    "diagonal_recurrences",
    "encoder",
    "encoder_layer_scale",
    "encoder_spectral",
    "gru_every",
    "highway",
    "lstm",
    "orthogonal_recurrences",
    "orthogonal_weights",
    "oscillators",
    "resnet",
    "rnn_relu_every",
    "rnn_tanh",
    "spectral_weights",
    "transformer_capped",
    "transformer_post",
    "transformer_pre_tied",
    "transformer_qk_norm",
    "transformer_rotary_rms",
    "transformer_sandwich",
    "transformer_sub",
];

#[derive(Deserialize)]
struct Case {
    network: Network,
    parameters: BTreeMap<String, Vec<f64>>,
    inputs: Vec<f64>,
    targets: Vec<f64>,
    loss: f64,
    gradients: BTreeMap<String, Vec<f64>>,
    activations: BTreeMap<String, Vec<f64>>,
    cotangents: BTreeMap<String, Vec<f64>>,
    /// Running mean, variance and batches where training reads them.
    #[serde(default)]
    before: BTreeMap<String, (Vec<f64>, Vec<f64>, usize)>,
    #[serde(default)]
    running: BTreeMap<String, [Vec<f64>; 2]>,
    #[serde(default)]
    evaluation: Vec<f64>,
}

fn case(kind: &str) -> Case {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/kinds/{kind}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

impl Case {
    fn samples(&self) -> Samples {
        let targets = match self.network.loss {
            Loss::CrossEntropy => {
                let labels = self.targets.iter().map(|&label| label as usize).collect();
                Targets::Classes { labels, classes: self.network.outputs }
            }
            _ => Targets::Values { values: self.targets.clone(), outputs: self.network.outputs },
        };
        Samples { shape: self.network.input.clone(), inputs: self.inputs.clone(), targets }
    }

    fn model(&self, dtype: DType) -> Model {
        let mut model = Model::new(&self.network, 0, dtype, &self.samples());
        assert_eq!(model.parameters.keys().collect::<Vec<_>>(), self.parameters.keys().collect::<Vec<_>>());
        for (name, value) in &mut model.parameters {
            *value = value.with(&self.parameters[name], dtype);
        }
        for (name, (mean, variance, batches)) in self.before.clone() {
            model.running.insert(name, Running { mean, variance, batches });
        }
        model
    }
}

/// Largest difference as a part of the largest expected value.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0_f64, |scale, value| scale.max(value.abs()));
    let apart = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
    // What is zero but for rounding: a bias in front of batch norm.
    if scale < 1e-12 { apart } else { apart / scale }
}

fn check(kind: &str, dtype: DType, tolerance: f64, change: fn(Model) -> Model) {
    let case = case(kind);
    let (model, batch) = (change(case.model(dtype)), case.samples());
    let probes = Probes::new(Keep::Values);
    let (loss, gradients) = loss_and_gradients(&model, &batch, Some(&probes));
    let seen = probes.take();
    assert!((loss - case.loss).abs() <= tolerance * case.loss.abs(), "{kind}: loss {loss} is not {}", case.loss);
    for (name, expected) in &case.gradients {
        let apart = distance(&gradients[name].to_f64(), expected);
        assert!(apart <= tolerance, "{kind}: gradient of {name} is {apart:e} off");
    }
    for (side, kept, expected) in
        [("activation", &seen.forward, &case.activations), ("cotangent", &seen.backward, &case.cotangents)]
    {
        for (name, expected) in expected {
            let found = kept[name.as_str()].values().unwrap().to_f64().into_owned();
            let apart = distance(&found, expected);
            assert!(apart <= tolerance, "{kind}: {side} at {name} is {apart:e} off");
        }
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    for kind in KINDS {
        check(kind, DType::F64, 1e-9, |model| model);
        check(kind, DType::F32, 1e-4, |model| model);
    }
}

/// What a GPU computes, here on the processor.
#[test]
fn gradients_by_burns_operations_are_those_of_pytorch() {
    for kind in KINDS {
        check(kind, DType::F64, 1e-9, Model::by_burns_operations);
        check(kind, DType::F32, 1e-4, Model::by_burns_operations);
    }
}

#[test]
fn evaluation_uses_running_statistics_as_pytorch_does() {
    let mut compared = 0;
    for kind in KINDS {
        let case = case(kind);
        if case.running.is_empty() {
            continue;
        }
        let mut model = case.model(DType::F64);
        for (name, [mean, variance]) in &case.running {
            model.running.insert(name.clone(), Running { mean: mean.clone(), variance: variance.clone(), batches: 1 });
        }
        for model in [model.clone(), model.by_burns_operations()] {
            let outputs = model.forward(&mut model.plain(Mode::Evaluate, None), model.inputs(&case.samples()));
            let found: Vec<f64> = outputs.into_data().iter::<f64>().collect();
            let apart = distance(&found, &case.evaluation);
            assert!(apart <= 1e-9, "{kind}: evaluation is {apart:e} off");
        }
        compared += 1;
    }
    assert_eq!(compared, 3);
}

/// Every joint's split adds up to its log-gain, and the joints to the total.
fn closes(kind: &str, flow: &Flow, dtype: DType) {
    fn splits(kind: &str, joint: &Joint, dtype: DType) {
        let gain = joint.log_gain.unwrap_or_else(|| panic!("{kind}: {} has no log-gain", joint.name));
        let sum: f64 = joint.split.iter().map(|part| part.log_gain).sum();
        assert!((sum - gain).abs() < 1e-9, "{kind}: {}: {sum} is not {gain}", joint.name);
        if let Some(branch) = &joint.branch {
            assert!((branch.skip_share + branch.branch_share - 1.0).abs() < 1e-9);
            let inside = branch.joints.iter().chain(&branch.shortcut).chain(&branch.gate);
            inside.for_each(|inner| splits(kind, inner, dtype));
            let inner: f64 = branch.joints.iter().filter_map(|joint| joint.log_gain).sum();
            // What came back through the branch, and from its part in the sum the whole.
            let (b, ratio) = (branch.joints.last().unwrap().cotangent_rms * inner.exp(), branch.ratio);
            let sum = b / ratio * (1.0 + ratio * ratio + 2.0 * ratio * branch.cosine).sqrt();
            let apart = (sum / joint.cotangent_in_rms - 1.0).abs();
            // The sum itself is rounded.
            let rounding = if dtype == DType::F32 { 1e-6 } else { 1e-9 };
            assert!(apart < rounding, "{kind}: the branch of {}: {sum} is not {}", joint.name, joint.cotangent_in_rms);
            if branch.shortcut.is_empty() && branch.gate.is_empty() && kind != "densenet" {
                // g itself went past: its size times that of the branch.
                let scale = (branch.joints.last().unwrap().cotangent_rms / joint.cotangent_rms).ln();
                assert!((inner + scale - ratio.ln()).abs() < 1e-9, "{kind}: the branch of {}", joint.name);
            }
        }
        if !joint.paths.is_empty() {
            let shares: f64 = joint.paths.iter().map(|path| path.share).sum();
            assert!((shares - 1.0).abs() < 1e-9, "{kind}: shares of {} add up to {shares}", joint.name);
        }
    }
    flow.joints.iter().chain(&flow.head.joints).for_each(|joint| splits(kind, joint, dtype));
    let sum: f64 = flow.joints.iter().filter_map(|joint| joint.log_gain).sum();
    assert!((sum - flow.total_log_gain.unwrap()).abs() < 1e-9, "{kind}: {sum} is not {:?}", flow.total_log_gain);
}

#[test]
fn the_chain_rule_taken_apart_adds_up_on_every_kind() {
    for kind in KINDS {
        let case = case(kind);
        for dtype in [DType::F32, DType::F64] {
            let found = snapshot(&case.model(dtype), &case.samples(), 0).unwrap();
            closes(kind, &found.flow, dtype);
            let recurrent = case.network.walk().into_iter().filter(|op| matches!(op.kind, OpKind::Recurrent(_)));
            for op in recurrent {
                let joint = found.flow.joints.iter().find(|joint| joint.name == op.name).unwrap();
                assert_eq!(joint.states.len(), 6, "{kind}: a cotangent for each step");
                assert!(!joint.paths.is_empty());
            }
        }
    }
}

/// What goes back from state to state is what the gates and the cell carry: with the loss at the last step alone, the
/// paths' parts add up to the next state's cotangent. Checked against a difference quotient of the loss in the weights,
/// through [`gradients_are_those_of_pytorch`], and here for the first layer's share of the cell.
#[test]
fn an_lstm_carries_its_memory_in_the_cell() {
    let case = case("lstm");
    let found = snapshot(&case.model(DType::F64), &case.samples(), 0).unwrap();
    let joint = found.flow.joints.iter().find(|joint| joint.name == "lstm2").unwrap();
    let names: Vec<&str> = joint.paths.iter().map(|path| path.path.as_str()).collect();
    assert_eq!(names, ["input", "forget", "candidate", "output", "cell"]);
    let cell = joint.paths.iter().find(|path| path.path == "cell").unwrap();
    assert!(cell.share > 0.3, "{:?}", joint.paths);
}

/// At the end of the only branch: with every sample left out the block is its skip, and evaluation takes a share of the
/// branch of all.
#[test]
fn stochastic_depth_is_a_function_of_the_seed_and_its_mean_in_evaluation() {
    let with = |fraction: f64| {
        let mut case = case("encoder");
        let drop = OpKind::StochasticDepth(isogain_core::network::Dropout { fraction });
        for op in &mut case.network.ops {
            if let OpKind::Residual(residual) = &mut op.kind {
                residual.branch.push(Op { name: "block1.drop".into(), kind: drop.clone() });
            }
        }
        case
    };
    let outputs = |case: &Case, mode: Mode, seed: u64| {
        let model = case.model(DType::F64);
        let mut pass = model.plain(mode, None).with_noise(seed);
        let outputs = model.forward(&mut pass, model.inputs(&case.samples()));
        outputs.into_data().iter::<f64>().collect::<Vec<f64>>()
    };
    let half = with(0.5);
    assert_eq!(outputs(&half, Mode::Train, 1), outputs(&half, Mode::Train, 1));
    let first = outputs(&half, Mode::Train, 0);
    assert!((1..10).any(|seed| outputs(&half, Mode::Train, seed) != first));
    let scaled = |factor: f64| {
        let mut case = case("encoder");
        for op in &mut case.network.ops {
            if let OpKind::Residual(residual) = &mut op.kind {
                residual.scale *= factor;
            }
        }
        case
    };
    let expected = outputs(&scaled(0.5), Mode::Evaluate, 0);
    assert!(distance(&outputs(&half, Mode::Evaluate, 1), &expected) < 1e-12);
    assert!(distance(&expected, &half.activations["head"]) > 1e-3);
    closes("stochastic depth", &snapshot(&half.model(DType::F64), &half.samples(), 0).unwrap().flow, DType::F64);
    // Next to everything is left out: four samples of a batch stay by a chance of 4e-6.
    let nothing = with(1.0 - 1e-6);
    assert!(distance(&outputs(&nothing, Mode::Train, 1), &outputs(&scaled(0.0), Mode::Train, 1)) < 1e-12);
}

#[test]
fn dropout_is_a_function_of_the_seed_and_absent_in_evaluation() {
    let mut case = case("encoder");
    let dropout = OpKind::Dropout(isogain_core::network::Dropout { fraction: 0.5 });
    case.network.ops.insert(1, Op { name: "dropout1".into(), kind: dropout });
    let (model, inputs) = (case.model(DType::F64), case.samples());
    let outputs = |mode: Mode, seed: u64| {
        let mut pass = model.plain(mode, None).with_noise(seed);
        let outputs = model.forward(&mut pass, model.inputs(&inputs));
        outputs.into_data().iter::<f64>().collect::<Vec<f64>>()
    };
    assert_eq!(outputs(Mode::Train, 1), outputs(Mode::Train, 1));
    assert_ne!(outputs(Mode::Train, 1), outputs(Mode::Train, 2));
    assert_eq!(outputs(Mode::Evaluate, 1), outputs(Mode::Evaluate, 2));
    let expected = &case.activations["head"];
    assert!(distance(&outputs(Mode::Evaluate, 1), expected) < 1e-9);
}
