//! What `check` explains: the numbers theory gives for the built-in network, and sums that are exact in the JSON.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;

use isogain::check::Subject;
use isogain_core::flow::profile::{Profile, causes};
use isogain_core::flow::{Cause, reference};
use isogain_core::recipe::{Recipe, parse};
use isogain_core::summary::CheckReport;
use serde_json::Value as Json;

fn subject(toml: &str) -> Subject {
    let recipe = parse(toml, "test").unwrap();
    support::alone(|| Subject::load(&recipe, Path::new(".")).unwrap())
}

/// PyTorch's default with ReLU multiplies the gradient by sqrt(1/6) in each layer: 39 % from ReLU's zero half, 61 % from
/// weights too small. The first layer widens 64 pixels to 256 units, which alone multiplies by more than 1: its share of
/// the 30 layers is left out of the -26.8 nepers that theory gives for 30 equal layers.
#[test]
fn the_built_in_network_at_width_256() {
    let subject = subject("[network]\nwidth = 256\n");
    let flow = &subject.start.flow;
    let profile = Profile::of(flow);
    let slope = profile.slope().unwrap();
    assert!((slope / -0.8959 - 1.0).abs() < 0.02, "slope {slope}");

    let total = flow.total_log_gain.unwrap();
    let first = profile.layers[0].log_gain.unwrap();
    let thirty_equal_layers = (total - first) * 30.0 / 29.0;
    assert!((thirty_equal_layers / -26.8 - 1.0).abs() < 0.02, "{total} in all, {first} in the first layer");

    let shares = causes(&flow.joints[2..]);
    let share = |cause: Cause| shares.iter().find(|share| share.cause == cause).unwrap().share;
    let (slope, scale) = (share(Cause::ActivationSlope), share(Cause::WeightScale));
    assert!((slope - 0.39).abs() < 0.01 && (scale - 0.61).abs() < 0.01, "{slope} {scale}");
}

/// Sums over a list of joints in the JSON: every split adds up to its log-gain, and those to `expected`.
fn check_sums(joints: &Json, expected: Option<f64>) {
    let mut sum = 0.0;
    for joint in joints.as_array().unwrap() {
        let Some(gain) = joint["log_gain"].as_f64() else { return };
        let parts: f64 = joint["split"].as_array().unwrap().iter().map(|part| part["log_gain"].as_f64().unwrap()).sum();
        assert!((parts - gain).abs() <= 1e-9 * gain.abs().max(1.0), "{joint}");
        sum += gain;
        let branch = &joint["branch"];
        if branch.is_object() {
            let shares = branch["skip_share"].as_f64().unwrap() + branch["branch_share"].as_f64().unwrap();
            assert!((shares - 1.0).abs() < 1e-9);
            check_sums(&branch["joints"], None);
        }
    }
    if let Some(expected) = expected {
        assert!((sum - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{sum} is not {expected}");
    }
}

#[test]
fn the_parts_add_up_in_the_json() {
    for more in [
        "",
        "norm = \"batch\"\n",
        "norm = \"layer\"\n",
        "norm = \"rms\"\nactivation = \"gelu\"\n",
        "kind = \"residual\"\nbranch_scale = \"depth\"\ninit = \"he-normal\"\n",
        "kind = \"residual\"\nbranch_scale = 0.3\nlearnable_scale = true\nnorm = \"layer\"\n",
    ] {
        let subject = subject(&format!("[network]\ndepth = 12\nwidth = 32\n{more}"));
        let findings = subject.findings();
        let start = subject.start;
        let report = CheckReport::new(subject.recipe, findings, start.flow, subject.limits);
        let json: Json = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        check_sums(&json["flow"]["joints"], json["flow"]["total_log_gain"].as_f64());
        check_sums(&json["flow"]["head"]["joints"], None);
        for weight in json["flow"]["weights"].as_array().unwrap() {
            let part = |key: &str| weight[key].as_f64().unwrap();
            let sum = part("backward_signal") + part("input_size") + part("coherence");
            assert!((sum - part("log_norm")).abs() <= 1e-9 * part("log_norm").abs().max(1.0), "{weight}");
        }
    }
}

/// The engine in double precision against plain loops written independently.
#[test]
fn the_engine_is_the_slow_reference() {
    for more in
        ["", "norm = \"batch\"\n", "kind = \"residual\"\nnorm = \"rms\"\nbranch_scale = 0.5\nlearnable_scale = true\n"]
    {
        let toml =
            format!("[network]\ndepth = 6\nwidth = 24\nactivation = \"tanh\"\n{more}[run]\nprecision = \"f64\"\n");
        let recipe: Recipe = parse(&toml, "test").unwrap();
        support::alone(|| {
            let subject = Subject::load(&recipe, Path::new(".")).unwrap();
            let trainer = isogain::train::Trainer::new(&recipe, &subject.network, &subject.data, 0);
            let batch = isogain::train::first_batch(&recipe, &subject.data, 0);
            let isogain::data::Targets::Classes { labels, .. } = &batch.targets else { panic!("digits have classes") };
            let parameters = trainer.model.parameters.iter().map(|(name, value)| (name.clone(), value.to_f64()));
            let pass = reference::run(
                &subject.network,
                &parameters.collect(),
                &batch.inputs,
                &reference::Targets::Classes(labels.clone()),
            )
            .unwrap();
            let (_, gradients) = isogain::snapshot::loss_and_gradients(&trainer.model, &batch, None);
            for (name, expected) in &pass.gradients {
                let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
                for (found, expected) in gradients[name].to_f64().iter().zip(expected) {
                    assert!((found - expected).abs() <= 1e-9 * largest + 1e-15, "{name}: {found} is not {expected}");
                }
            }
            let ours = subject.start.flow.total_log_gain.unwrap();
            let theirs = isogain_core::flow::attribute(&pass.capture).total_log_gain.unwrap();
            assert!((ours - theirs).abs() < 1e-9, "{ours} is not {theirs}");
        });
    }
}
