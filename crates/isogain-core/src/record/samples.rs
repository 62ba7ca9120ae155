//! Records for tests. Every floating-point number has a fraction, so that tests can tell it from a count.

use serde_json::json;

use crate::conservation::{BrokenLaw, Law};
use crate::flow::shattering::Shattering;
use crate::network::{Linear, Loss, Network, Op, OpKind, Residual, Shape};
use crate::recipe::{Level, Precision, Recipe};
use crate::rules::{Evidence, Finding};
use crate::statistics::Moments;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

use super::healed::{Attempt, Healed};
use super::line::{Header, SCHEMA};
use super::{
    ClipRecord, DataSummary, HistogramRecord, JointRecord, NonFinite, Outcome, ParameterRecord, Sharpness, Snapshot,
    StepRecord, TensorKind, UnitRecord,
};

pub(crate) fn moments() -> Moments {
    Moments {
        count: 8,
        sum: 1.5,
        sum_of_squares: 2.25,
        min: Some(-0.5),
        max: Some(1.25),
        abs_max: 1.25,
        zeros: 2,
        non_finite: 1,
    }
}

pub(crate) fn healed() -> Healed {
    let attempt = |remedy: &str, parameters: &str, step, loss| Attempt {
        remedy: remedy.into(),
        parameters: parameters.into(),
        step,
        until: 140,
        loss,
    };
    Healed {
        rule: "diverging-loss".into(),
        found: 40,
        step: 25,
        until: 140,
        over: 50,
        untreated: Some(2.5),
        tried: vec![
            attempt("change-learning-rate", "learning_rate = 0.01", 40, Some(1.5)),
            attempt("clip-by-global-norm", "threshold = 0.5", 25, Some(0.25)),
        ],
        applied: Some(1),
        recipe: Some("[run]\n".into()),
    }
}

fn finite() -> Moments {
    Moments { non_finite: 0, ..moments() }
}

pub(crate) fn header() -> Header {
    let linear = |name: &str| Op {
        name: name.into(),
        kind: OpKind::Linear(Linear::new(3, 3, Initializer::PYTORCH_DEFAULT, Activation::relu())),
    };
    let block = Residual::new(vec![linear("block1.fc")], 0.5, true);
    let relu = Op { name: "relu1".into(), kind: OpKind::Activation { activation: Activation::relu() } };
    Header {
        schema: SCHEMA,
        version: "0.1.0".into(),
        recipe: toml::to_string(&Recipe::default()).unwrap(),
        network: Network {
            input: Shape::vector(3),
            outputs: 3,
            ops: vec![linear("fc1"), relu, Op { name: "block1".into(), kind: OpKind::Residual(block) }, linear("head")],
            loss: Loss::CrossEntropy,
        },
        data: DataSummary {
            source: "digits".into(),
            train_samples: 1438,
            test_samples: 359,
            input: moments(),
            feature_rms_ratio: 3.5,
            target: Some(moments()),
            classes: None,
            baseline_loss: 2.3,
        },
        seed: u64::MAX,
        precision: Precision::F32,
    }
}

pub(crate) fn step(step: u64) -> StepRecord {
    StepRecord {
        step,
        loss: 2.3 + step as f64 * 1e-9,
        learning_rate: 0.05,
        joints: vec![JointRecord { name: "fc1".into(), activation: finite(), cotangent: finite(), detail: None }],
        parameters: vec![ParameterRecord {
            name: "fc1.weight".into(),
            weight: finite(),
            gradient: finite(),
            update: finite(),
        }],
        clip: Some(ClipRecord { norm_before: 1.5, norm_after: 0.5, cosine: 0.25, acted: true }),
        scaling: None,
        snapshot: None,
        histograms: Vec::new(),
    }
}

/// A step with everything that a step can hold.
pub(crate) fn full_step() -> StepRecord {
    let joint = json!({
        "name": "block1", "kind": "residual", "log_gain": -0.5, "split": [{ "cause": "branch-sum", "log_gain": -0.5 }],
        "cotangent_rms": 0.5, "cotangent_in_rms": 0.5, "activation_rms": 0.5,
        "branch": { "skip_share": 0.5, "branch_share": 0.5, "ratio": 0.5, "cosine": 0.5, "joints": [] },
    });
    let flow = json!({
        "total_log_gain": -0.5,
        "joints": [joint],
        "head": {
            "loss": 0.5, "output_rms": 0.5, "output_spread_rms": 0.5, "cotangent_rms": 0.5, "joints": [joint],
        },
        "weights": [
            { "name": "fc1", "log_norm": 0.5, "backward_signal": 0.5, "input_size": 0.5, "coherence": 0.5 },
        ],
    });
    let snapshot = Snapshot {
        step: 7,
        batch: 64,
        flow: serde_json::from_value(flow).unwrap(),
        units: vec![UnitRecord {
            name: "relu1".into(),
            units: 3,
            dead: 1,
            duplicates: 0,
            saturated_fraction: 0.5,
            signal_fraction: 0.25,
        }],
        parameters: step(7).parameters,
        joints: step(7).joints,
        sharpness: Some(Sharpness {
            gauss_newton: 12.5,
            rehearsal_rise: Some(0.5),
            rehearsal_first: 2.3,
            rehearsal_last: Some(1.9),
            seeds: 3,
        }),
        shattering: Some(Shattering { gradient_correlation: 0.5, activation_correlation: 0.75 }),
        broken_laws: vec![BrokenLaw {
            law: Law::HandedOn,
            layers: vec!["fc1".into(), "head".into()],
            left: 0.5,
            right: 0.25,
            share: 0.125,
            left_by_eps: Some(0.0625),
        }],
    };
    let histogram = HistogramRecord {
        name: "fc1".into(),
        kind: TensorKind::Cotangent,
        histogram: serde_json::from_value(json!({ "first_bin": 120, "counts": [3, 0, 5] })).unwrap(),
    };
    StepRecord { snapshot: Some(snapshot), histograms: vec![histogram], ..step(7) }
}

pub(crate) fn finding(step: u64) -> Finding {
    Finding {
        rule: "vanishing-gradient".into(),
        level: Level::Deny,
        layers: ["fc1".into(), "head".into()],
        step,
        message: "the gradient shrinks, \"by 10^11.6\"\nfrom head to fc1".into(),
        evidence: vec![Evidence {
            name: "slope".into(),
            value: Some(-0.8959),
            threshold: Some(-0.5),
            source: "theory".into(),
        }],
        causes: Vec::new(),
        theory: Some("x0.40825 per layer".into()),
        remedies: vec!["rescale-init".into()],
        consequences: Vec::new(),
    }
}

pub(crate) fn outcome() -> Outcome {
    Outcome {
        seed: 3,
        steps: 3,
        losses: vec![Some(2.3), None, Some(0.1)],
        loss: Some(0.1),
        test_loss: Some(0.2),
        train_accuracy: Some(0.5),
        test_accuracy: Some(0.25),
        first_non_finite: Some(NonFinite { step: 1, name: "fc1".into(), phase: "forward".into() }),
    }
}
