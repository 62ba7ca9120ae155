use serde_json::{Value, json};

use super::*;
use crate::flow::capture::OpCaptureKind;
use crate::matmul::transpose;
use crate::recipe::{Level, OptimizerName};
use crate::rules::fixture::Bench;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// A trace of the bench's network, as another engine would write it down.
fn traced(bench: &Bench) -> (String, Vec<Values>) {
    let capture = &bench.capture;
    let mut buffers = Vec::new();
    let mut keep = |values: &Values| {
        buffers.push(values.clone());
        buffers.len() - 1
    };
    let ops: Vec<Value> = capture
        .ops()
        .iter()
        .map(|op| {
            let mut found = json!({
                "name": op.name, "rows": op.rows, "kind": op.kind_name(),
                "input": keep(&op.input), "output": keep(&op.output),
                "cotangent_in": keep(&op.cotangent_in), "cotangent_out": keep(&op.cotangent_out),
            });
            match &op.kind {
                OpCaptureKind::Linear { weight, weight_gradient, .. } => {
                    found["units"] = "columns".into();
                    found["weight"] = keep(weight).into();
                    found["weight_gradient"] = keep(weight_gradient).into();
                }
                OpCaptureKind::Activation(activation) => found["activation"] = activation.name().into(),
                _ => unreachable!("a plain network"),
            }
            found
        })
        .collect();
    let parameters: Vec<Value> = ops
        .iter()
        .filter(|op| op["kind"] == "linear")
        .map(|op| {
            let name = format!("{}.weight", op["name"].as_str().unwrap());
            json!({ "name": name, "weight": op["weight"], "gradient": op["weight_gradient"] })
        })
        .collect();
    let input = ops[0]["input"].clone();
    let description = json!({
        "model": "MLP", "batch": capture.batch(), "loss": capture.loss(), "loss_kind": "cross-entropy",
        "ops": ops, "parameters": parameters, "optimizer": null, "steps": null, "seed": 0, "precision": "f32",
        "data": {
            "input": input, "feature_rms_ratio": null, "target": null, "classes": 10, "baseline_loss": 10.0_f64.ln(),
        },
    });
    (description.to_string(), buffers)
}

/// A network diagnosed from its trace is diagnosed as from its recipe.
#[test]
fn a_trace_says_what_the_recipe_says() {
    let bench = Bench::new("[network]\ndepth = 12\nwidth = 64\n");
    let (description, buffers) = traced(&bench);
    let subject = Subject::new(&description, &buffers).unwrap();
    assert_eq!(subject.recipe.network.init, Initializer::PYTORCH_DEFAULT);
    assert_eq!((subject.recipe.network.depth, subject.recipe.network.width), (12, 64));
    assert_eq!(subject.recipe.network.activation, Activation::relu());
    let (found, expected) = (subject.findings(), bench.diagnose());
    assert_eq!((found[0].rule.as_str(), found[0].level), ("vanishing-gradient", Level::Deny));
    assert_eq!(found[0].layers, expected[0].layers);
    let evidence = |finding: &Finding| finding.evidence[0].value.unwrap();
    assert!((evidence(&found[0]) - evidence(&expected[0])).abs() < 1e-9);
    assert_eq!(subject.report().flow.joints.len(), bench.start.flow.joints.len());
}

/// Weights may lie either way round, as long as the description says which.
#[test]
fn other_directions_are_followed_through_weights_that_lie_either_way_round() {
    let bench = Bench::new("[network]\ndepth = 5\nwidth = 16\ninit = \"he-normal\"\n");
    let (description, mut buffers) = traced(&bench);
    let mut description: Value = serde_json::from_str(&description).unwrap();
    description["counterfactual"] = true.into();
    let jacobian = |description: &Value, buffers: &[Values]| {
        Subject::new(&description.to_string(), buffers).unwrap().start.flow.jacobian.unwrap()
    };
    let expected = jacobian(&description, &buffers);
    assert!(matches!(expected, Asked::Told(_)));
    for op in description["ops"].as_array_mut().unwrap().iter_mut().filter(|op| op["kind"] == "linear") {
        let weight = op["weight"].as_u64().unwrap() as usize;
        let fan_out = buffers[op["output"].as_u64().unwrap() as usize].len() / bench.capture.batch();
        let turned = transpose(&buffers[weight].to_f64(), buffers[weight].len() / fan_out, fan_out);
        buffers[weight] = Values::from(turned);
        op["units"] = "rows".into();
    }
    assert_eq!(jacobian(&description, &buffers), expected);
    let of = description["ops"].as_array_mut().unwrap().iter_mut().find(|op| op["name"] == "fc3").unwrap();
    of["units"] = "columns".into();
    let left_out = "what comes back through fc3 is not what its buffers say".to_owned();
    assert_eq!(jacobian(&description, &buffers), Asked::LeftOut { left_out });
}

/// Laws are held against weights whose gradient is the operation's own, across whatever passes a scale on.
#[test]
fn a_gradient_that_breaks_a_law_is_named() {
    // Its biases are zero, and carry nothing.
    let bench = Bench::new("[network]\ndepth = 5\nwidth = 16\ninit = \"he-normal\"\n");
    let (description, mut buffers) = traced(&bench);
    let mut description: Value = serde_json::from_str(&description).unwrap();
    let names = |description: &Value, buffers: &[Values]| {
        let subject = Subject::new(&description.to_string(), buffers).unwrap();
        subject.start.broken_laws.into_iter().map(|law| law.layers.join(" ")).collect::<Vec<_>>()
    };
    let ops = description["ops"].as_array_mut().unwrap();
    for op in ops.iter_mut().filter(|op| op["kind"] == "linear") {
        op["own"] = json!({ "bias": null });
    }
    // As another engine tells what it has no name for.
    let relu = ops.iter_mut().filter(|op| op["kind"] == "activation").nth(1).unwrap().as_object_mut().unwrap();
    let clamp = json!({ "kind": "other", "operation": "clamp", "weighted": false, "homogeneous": true });
    relu.remove("activation");
    relu.extend(clamp.as_object().unwrap().clone());
    assert_eq!(names(&description, &buffers), [""; 0]);

    let of = description["ops"].as_array().unwrap().iter().find(|op| op["name"] == "fc3").unwrap();
    let gradient = of["weight_gradient"].as_u64().unwrap() as usize;
    buffers[gradient] = Values::from(buffers[gradient].to_f64().iter().map(|g| 0.5 * g).collect::<Vec<f64>>());
    assert_eq!(names(&description, &buffers), ["fc2 fc3", "fc3 fc4"]);
    let mut coarse = description.clone();
    coarse["unit_roundoff"] = 0.1.into();
    assert_eq!(names(&coarse, &buffers), [""; 0], "numbers that are right to a tenth say nothing of a half");
    let ops = description["ops"].as_array_mut().unwrap();
    ops.iter_mut().find(|op| op["name"] == "fc3").unwrap().as_object_mut().unwrap().remove("own");
    assert_eq!(names(&description, &buffers), [""; 0], "other calls may have a part in it");
}

/// A pass over neighbouring inputs says what it says of a recipe's network.
#[test]
fn neighbouring_inputs_are_told_as_of_a_recipe() {
    let bench = Bench::new("[network]\ndepth = 3\nwidth = 16\n");
    let (description, mut buffers) = traced(&bench);
    let mut description: Value = serde_json::from_str(&description).unwrap();
    assert_eq!(Subject::new(&description.to_string(), &buffers).unwrap().start.shattering, None);
    let first = buffers.len();
    buffers.extend([vec![1.0, 0.0, 0.6, 0.8], vec![1.0, 2.0, 3.0, 4.0]].map(Values::from));
    description["arc"] = json!({ "points": 2, "gradient": first, "activation": first + 1 });
    let measured = Subject::new(&description.to_string(), &buffers).unwrap().start.shattering.unwrap();
    // Of two points what is left of the mean is one thing and its opposite.
    assert!((measured.gradient_correlation - 0.6).abs() < 1e-12 && measured.activation_correlation == -1.0);
    description["arc"]["gradient"] = (first + 2).into();
    let error = Subject::new(&description.to_string(), &buffers).unwrap_err().to_string();
    assert!(error.starts_with("arc: buffer "), "{error}");
}

#[test]
fn what_a_prescription_changes() {
    let bench = Bench::new("[network]\ndepth = 12\nwidth = 64\n");
    let (description, buffers) = traced(&bench);
    let subject = Subject::new(&description, &buffers).unwrap();
    let prescribed = subject.prescriptions(&subject.findings());
    let changes = |remedy: &str| {
        let found = prescribed.iter().find(|found| found.remedies == [remedy]).unwrap();
        serde_json::to_value(subject.changes(&found.recipe)).unwrap()
    };
    assert_eq!(changes("rescale-init"), json!({ "init": "he-normal" }));
    let scale = 1.0 / 11.0_f64.sqrt();
    assert_eq!(changes("add-skip"), json!({ "skip": { "scale": scale, "learnable": false } }));
    assert_eq!(changes("insert-layer-norm"), json!({ "norm": "layer" }));
    assert_eq!(changes("swap-activation"), json!({ "activation": "tanh", "init": "edge-of-chaos" }));
    assert!(prescribed.iter().all(|found| subject.changes(&found.recipe) != Changes::default()));
    // The loss of a model is computed outside of it, and gates and more features are layers of its own.
    for finding in subject.findings() {
        assert!(!finding.remedies.iter().any(|remedy| remedy == "supervise-layers"), "{finding:?}");
    }
    let joins =
        |found: &Prescription| found.recipe.network.gate_bias.is_some() || found.recipe.network.growth.is_some();
    assert!(!prescribed.iter().any(joins));
    assert!(prescribed.iter().all(|found| found.recipe.network.supervise_every.is_none()));
    let mut adam = subject.recipe.clone();
    (adam.optimizer.clip_update, adam.optimizer.spike_limit) = (true, Some(5000.0));
    (adam.optimizer.reset_every, adam.optimizer.trust_ratio) = (Some(100), true);
    adam.optimizer.base_width = Some(64);
    let expected = json!({
        "clip_update": true, "trust_ratio": true, "spike_limit": 5000.0, "reset_every": 100, "base_width": 64
    });
    assert_eq!(serde_json::to_value(subject.changes(&adam)).unwrap(), json!({ "optimizer": expected }));
    assert_eq!(changes("orthogonalise-updates"), json!({ "optimizer": { "muon": true } }));
    let mut sign = subject.recipe.clone();
    (sign.optimizer.name, sign.optimizer.momentum) = (OptimizerName::SignSgd, 0.5);
    assert_eq!(serde_json::to_value(subject.changes(&sign)).unwrap(), json!({ "optimizer": { "sign_momentum": 0.5 } }));
}

#[test]
fn a_number_of_no_buffer_is_an_error() {
    let (description, mut buffers) = traced(&Bench::new("[network]\ndepth = 2\nwidth = 8\n"));
    let count = buffers.len();
    buffers.pop();
    let error = Subject::new(&description, &buffers).unwrap_err().to_string();
    assert!(
        error.ends_with(&format!("buffer {} is not among the {} that came with the trace", count - 1, count - 1)),
        "{error}"
    );
    assert!(Subject::new("{}", &[]).unwrap_err().to_string().starts_with("the trace cannot be read: "));
}
