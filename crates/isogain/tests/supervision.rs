//! Auxiliary heads on the engine that trains: what is told, what is trained, and what theory expects.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::path::Path;
use std::sync::Arc;

use burn::tensor::DType;
use isogain::check::Subject;
use isogain::checkpoint::save_weights;
use isogain::data::{Dataset, Samples};
use isogain::model::{Mode, Model, Value};
use isogain::snapshot::{Gradients, loss_and_gradients};
use isogain::train::{Trainer, first_batch, judge};
use isogain_core::recipe::{Level, Recipe, parse};
use isogain_core::rules::diagnose;

fn recipe(network: &str) -> Recipe {
    parse(&format!("[network]\n{network}\n"), "recipe").unwrap()
}

fn subject(recipe: &Recipe) -> Subject {
    let data = Arc::new(Dataset::load(&recipe.data, Path::new(".")).unwrap());
    Subject::new(recipe, data).unwrap()
}

fn model(subject: &Subject, seed: u64) -> (Model, Samples) {
    let batch = first_batch(&subject.recipe, &subject.data, seed);
    (Model::new(&subject.network, seed, DType::F64, &batch), batch)
}

const KINDS: [&str; 3] = [
    "depth = 6\nwidth = 12\nactivation = \"tanh\"\ninit = \"unit-jacobian\"",
    "depth = 6\nwidth = 12\nactivation = \"tanh\"\ninit = \"lecun-normal\"",
    "kind = \"convnet\"\ndepth = 4\nwidth = 4\nstages = 2\nactivation = \"tanh\"\ninit = \"he-normal\"",
];

/// A step along the gradient changes the sum of all losses as fast as the gradient says; that of the last head alone, which is
/// told, is another number.
#[test]
fn the_gradient_is_that_of_all_losses_and_the_loss_that_of_the_last_head() {
    for kind in KINDS {
        let alone = subject(&recipe(kind));
        let of = |share: f64| subject(&recipe(&format!("{kind}\nsupervise_every = 2\nsupervise_share = {share}")));
        let (model_alone, batch) = model(&alone, 3);
        let (told, gradients_alone) = loss_and_gradients(&model_alone, &batch, None);
        let [half, whole] = [0.5, 1.0].map(|share| {
            let (model, batch) = model(&of(share), 3);
            (loss_and_gradients(&model, &batch, None), model)
        });
        for ((loss, gradients), model) in [&half, &whole] {
            assert_eq!(*loss, told, "{kind}");
            let objective = |along: f64| {
                let mut moved = model.clone();
                for (name, value) in &mut moved.parameters {
                    let values = value.to_f64().into_iter().zip(gradients[name].to_f64());
                    let values: Vec<f64> = values.map(|(w, g)| w + along * g).collect();
                    *value = value.with(&values, DType::F64);
                }
                let mut pass = moved.tracked(None);
                let outputs = moved.forward(&mut pass, moved.inputs(&batch));
                let sum = pass.objective(moved.loss(outputs, &batch.targets), &batch.targets);
                sum.into_data().iter::<f64>().next().unwrap()
            };
            let slope = (objective(1e-5) - objective(-1e-5)) / 2e-5;
            let squares: f64 = gradients.values().flat_map(Value::to_f64).map(|g| g * g).sum();
            assert!((slope / squares - 1.0).abs() < 1e-7, "{kind}: {slope} {squares}");
        }
        // What the heads add grows with their share of the sum, and behind the last of them nothing is added.
        let name = gradients_alone.keys().find(|name| name.ends_with("1.weight")).unwrap();
        let added = |gradients: &Gradients| {
            let pairs = gradients[name].to_f64().into_iter().zip(gradients_alone[name].to_f64());
            pairs.map(|(with, without)| (with - without).powi(2)).sum::<f64>().sqrt()
        };
        let ratio = added(&whole.0.1) / added(&half.0.1);
        assert!((ratio - 2.0).abs() < 1e-9, "{kind}: {ratio}");
        assert_eq!(whole.0.1["head.weight"].to_f64(), gradients_alone["head.weight"].to_f64());
    }
}

/// With and without heads the body starts with the same weights, and evaluation runs no heads.
#[test]
fn the_network_that_is_kept_is_the_same() {
    for kind in KINDS {
        let [alone, supervised] = ["", "supervise_every = 2"].map(|more| subject(&recipe(&format!("{kind}\n{more}"))));
        let ((alone, batch), (mut supervised, _)) = (model(&alone, 5), model(&supervised, 5));
        for (name, value) in &alone.parameters {
            assert_eq!(value.to_f64(), supervised.parameters[name].to_f64(), "{name}");
        }
        // Nor are they in the file of the weights.
        let [of_both, of_body] = [&supervised, &alone].map(|model| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("weights.safetensors");
            save_weights(model, &path).unwrap();
            std::fs::read(path).unwrap()
        });
        assert_eq!(of_both, of_body, "{kind}");
        let heads: Vec<String> =
            supervised.parameters.keys().filter(|name| !alone.parameters.contains_key(*name)).cloned().collect();
        assert_eq!(heads.len() % 2, 0);
        assert!(!heads.is_empty() && heads.iter().all(|name| name.starts_with("aux")), "{heads:?}");
        for name in heads {
            let value = &supervised.parameters[&name];
            let lost = value.with(&vec![f64::NAN; value.to_f64().len()], DType::F64);
            supervised.parameters.insert(name, lost);
        }
        let outputs = |model: &Model| {
            let outputs = model.forward(&mut model.plain(Mode::Evaluate, None), model.inputs(&batch));
            outputs.into_data().iter::<f64>().collect::<Vec<f64>>()
        };
        assert_eq!(outputs(&alone), outputs(&supervised), "{kind}");
    }
}

/// What training tells of a batch is what judging tells of the same samples before the step, and heads move.
#[test]
fn training_moves_the_heads_and_tells_the_last_ones_loss() {
    let recipe = recipe("depth = 6\nwidth = 12\ninit = \"he-normal\"\nsupervise_every = 2");
    let subject = subject(&recipe);
    let mut trainer = Trainer::new(&recipe, &subject.network, &subject.data, 0);
    let before = trainer.model.clone();
    let judged = judge(&before, &subject.data.train).0;
    let record = trainer.advance(&subject.data, true).unwrap();
    assert!((record.loss - judged).abs() < 0.5 * judged, "{} {judged}", record.loss);
    for name in ["aux2.head.weight", "aux4.head.weight", "fc1.weight", "head.weight"] {
        assert_ne!(before.parameters[name].to_f64(), trainer.model.parameters[name].to_f64(), "{name}");
    }
    assert!(record.joints.iter().any(|joint| joint.name == "aux4.head" && joint.cotangent.count > 0));
}

/// Mean over seeds of the gradient's change from the last layer to the first, per layer, against the forecast.
#[test]
fn the_forecast_is_what_is_measured() {
    for (network, tolerance) in [
        ("depth = 30\nwidth = 64", 0.02),
        ("depth = 30\nwidth = 64\ninit = \"he-normal\"", 0.03),
        ("depth = 30\nwidth = 64\nactivation = \"tanh\"", 0.02),
        ("depth = 24\nwidth = 64\ninit = \"glorot-normal\"", 0.03),
    ] {
        let mut recipe = recipe(&format!("{network}\nsupervise_every = 5"));
        let (mut measured, mut expected) = (0.0, 0.0);
        const SEEDS: u64 = 6;
        for seed in 0..SEEDS {
            recipe.run.seed = seed;
            let subject = subject(&recipe);
            let linears: Vec<_> = subject.start.flow.joints.iter().filter(|joint| joint.kind == "linear").collect();
            let (first, last) = (linears[0].cotangent_rms, linears[linears.len() - 1].cotangent_rms);
            measured += (first / last).ln() / (linears.len() - 1) as f64 / SEEDS as f64;
            expected += subject.limits.gradient_rms_per_layer.unwrap().ln() / SEEDS as f64;
        }
        println!("{network:?}: measured {measured:.4}, expected {expected:.4}");
        assert!((measured - expected).abs() < tolerance, "{network:?}: {measured} {expected}");
    }
}

/// Healthy networks stay so, and the laws of conservation hold with heads.
#[test]
fn heads_raise_no_alarm() {
    for network in [
        "depth = 30\nwidth = 64\ninit = \"he-normal\"",
        "depth = 30\nwidth = 64\ninit = \"glorot-normal\"\nactivation = \"tanh\"",
        "depth = 12\nwidth = 64\ninit = \"he-normal\"\nnorm = \"batch\"",
        "kind = \"convnet\"\ndepth = 10\nwidth = 8\ninit = \"he-normal\"",
    ] {
        let findings = |more: &str| {
            let subject = subject(&recipe(&format!("{network}\n{more}")));
            assert_eq!(subject.start.broken_laws, [], "{network}");
            diagnose(&subject.case())
        };
        let worst =
            |more: &str| findings(more).into_iter().filter(|finding| finding.level >= Level::Warn).collect::<Vec<_>>();
        assert_eq!(worst(""), [], "{network}");
        assert_eq!(worst("supervise_every = 5"), [], "{network}");
    }
}
