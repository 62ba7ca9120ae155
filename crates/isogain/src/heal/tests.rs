use isogain_core::recipe::parse;

use super::{dormant, edit, gauge};
use crate::check::Subject;
use crate::data::{Dataset, Samples};
use crate::model::{Mode, Value, to_f64};
use crate::train::{Trainer, first_batch};

/// A trainer after a few steps, its subject, and the batch of step 0.
fn trained(network: &str, optimizer: &str, steps: usize) -> (Trainer, Subject, Samples) {
    let text = format!("[network]\n{network}\n[optimizer]\n{optimizer}\n[run]\nprecision = \"f64\"\n");
    let recipe = parse(&text, "t").unwrap();
    let data = std::sync::Arc::new(Dataset::load(&recipe.data, std::path::Path::new(".")).unwrap());
    let subject = Subject::new(&recipe, data).unwrap();
    let mut trainer = Trainer::new(&subject.recipe, &subject.network, &subject.data, 0);
    for _ in 0..steps {
        trainer.advance(&subject.data, false);
    }
    let batch = first_batch(&subject.recipe, &subject.data, 0);
    (trainer, subject, batch)
}

fn outputs(trainer: &Trainer, batch: &Samples) -> Vec<f64> {
    let model = &trainer.model;
    to_f64(model.forward(&mut model.plain(Mode::Evaluate, None), model.inputs(batch)).into_data())
}

/// Thirteen matrices, the layers at scales from e^-1 to e^1 so that their relative gradients differ by nepers: one step
/// makes them equal and changes no output.
#[test]
fn a_gauge_balances_all_layers_and_changes_no_output() {
    let network = "depth = 12\nwidth = 32\nactivation = \"leaky-relu\"\ninit = \"pytorch-default\"";
    for optimizer in ["name = \"momentum\"\nlearning_rate = 0.01", "name = \"adam\"\nlearning_rate = 0.001"] {
        let (mut trainer, subject, batch) = trained(network, optimizer, 3);
        for layer in 1..=12 {
            let factor = (f64::from(layer * 5 % 7) / 3.0 - 1.0).exp();
            edit::multiply(&mut trainer.model.parameters, &format!("fc{layer}.weight"), factor);
        }
        let before = outputs(&trainer, &batch);
        let batches = [batch.clone()];
        let layers = gauge::layers(&trainer.model.network).unwrap();
        assert_eq!(layers.len(), 13);
        let balanced = gauge::repair(&mut trainer, &batches).unwrap();
        assert!(balanced.spread() > 2.0, "{}", balanced.spread());

        let largest = before.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for (before, after) in before.iter().zip(outputs(&trainer, &batch)) {
            assert!((before - after).abs() < 1e-12 * largest, "{before} became {after}");
        }
        let after = gauge::log_ratios(&trainer, &layers, &batches);
        let (low, high) =
            (after.iter().copied().fold(f64::MAX, f64::min), after.iter().copied().fold(f64::MIN, f64::max));
        assert!(high - low < 1e-12, "{}", high - low);
        let mean = |ratios: &[f64]| ratios.iter().sum::<f64>() / ratios.len() as f64;
        assert!((mean(&after) - mean(&balanced.before)).abs() < 1e-12);
        assert!(trainer.advance(&subject.data, true).is_some_and(|record| record.loss.is_finite()));
    }
}

/// What builds up in an optimizer is that of gradients of the rescaled network: accumulating them there gives the same.
#[test]
fn a_gauge_takes_the_optimizers_state_with_it() {
    let network = "depth = 4\nwidth = 16\ninit = \"he-normal\"";
    let (mut trainer, _, batch) = trained(network, "name = \"momentum\"\nlearning_rate = 1e-12\nmomentum = 0.5", 1);
    // After one step the velocity is the gradient itself, before and after.
    let gradient = |trainer: &Trainer| crate::snapshot::loss_and_gradients(&trainer.model, &batch, None).1;
    let close = |trainer: &Trainer| {
        for (name, gradient) in gradient(trainer) {
            let velocity = trainer.optimizer.first[&name].to_f64();
            for (expected, found) in gradient.to_f64().iter().zip(velocity) {
                assert!((expected - found).abs() <= 1e-8 * expected.abs() + 1e-14, "{name}: {found} is not {expected}");
            }
        }
    };
    close(&trainer);
    let balanced = gauge::repair(&mut trainer, std::slice::from_ref(&batch)).unwrap();
    assert!(balanced.log_scales.iter().any(|scale| scale.abs() > 0.05));
    close(&trainer);
}

#[test]
fn a_network_without_a_gauge_says_why() {
    for (network, why) in [
        ("depth = 2\nactivation = \"tanh\"", "tanh1: the activation is not positively homogeneous"),
        ("depth = 2\nnorm = \"layer\"", "norm1: a normalisation takes every scale away again"),
        ("kind = \"residual\"\ndepth = 3", "block2: a skip connection would need one scale"),
        ("depth = 3\nsupervise_every = 2", "aux2: its head reads the same values as the next layer"),
    ] {
        let (mut trainer, _, batch) = trained(network, "name = \"sgd\"", 0);
        let error = gauge::repair(&mut trainer, &[batch]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// T29 on a network: units that are made silent start again, and the outputs stay what they were.
#[test]
fn dead_units_start_again_and_change_nothing_yet() {
    let network = "depth = 2\nwidth = 40\ninit = \"he-normal\"";
    let (mut trainer, subject, batch) = trained(network, "name = \"adam\"\nlearning_rate = 0.001", 3);
    // Three units of the first layer off for good.
    let dead = [4, 17, 33];
    edit::set(&mut trainer.model.parameters, "fc1.bias", dead.iter().map(|unit| (*unit, -1e6)));
    let before = outputs(&trainer, &batch);
    let found = dormant::reset(&mut trainer, &batch, 0.0, 7);
    let first = found.iter().find(|reset| reset.activation == "relu1").unwrap();
    assert!(dead.iter().all(|unit| first.units.contains(unit)), "{found:?}");
    assert_eq!(outputs(&trainer, &batch), before);
    let bias = trainer.model.parameters["fc1.bias"].to_f64();
    let next = trainer.model.parameters["fc2.weight"].to_f64();
    for unit in dead {
        assert!(bias[unit].abs() < 1.0);
        assert!(next[unit * 40..][..40].iter().all(|weight| *weight == 0.0));
        for state in [&trainer.optimizer.first, &trainer.optimizer.second] {
            let weights = state["fc1.weight"].to_f64();
            assert!(weights.iter().skip(unit).step_by(40).all(|value| *value == 0.0));
            assert!(state["fc2.weight"].to_f64()[unit * 40..][..40].iter().all(|value| *value == 0.0));
        }
    }
    // They are awake, and their outgoing weights move with the next step.
    assert!(
        !dormant::reset(&mut trainer.clone(), &batch, 0.0, 8)
            .iter()
            .any(|reset| { reset.activation == "relu1" && reset.units.iter().any(|unit| dead.contains(unit)) })
    );
    trainer.advance(&subject.data, false);
    let Some(Value::Matrix(_)) = trainer.model.parameters.get("fc2.weight") else { panic!("a matrix") };
    let next = trainer.model.parameters["fc2.weight"].to_f64();
    assert!(next[4 * 40..][..40].iter().any(|weight| *weight != 0.0));
}

/// What a unit gives auxiliary heads is zero too when it starts again.
#[test]
fn auxiliary_heads_do_not_see_a_unit_that_starts_again() {
    let network = "depth = 3\nwidth = 40\ninit = \"he-normal\"\nsupervise_every = 2";
    let (mut trainer, _, batch) = trained(network, "name = \"adam\"\nlearning_rate = 0.001", 3);
    edit::set(&mut trainer.model.parameters, "fc2.bias", std::iter::once((4, -1e6)));
    let before = outputs(&trainer, &batch);
    let found = dormant::reset(&mut trainer, &batch, 0.0, 7);
    assert!(found.iter().any(|reset| reset.activation == "relu2" && reset.units.contains(&4)), "{found:?}");
    assert_eq!(outputs(&trainer, &batch), before);
    // Units of the next layer that start again too have new weights of all that they read.
    let is_new = |reader: &str, unit: usize| {
        reader == "fc3" && found.iter().any(|reset| reset.activation == "relu3" && reset.units.contains(&unit))
    };
    for (reader, columns) in [("aux2.head", 10), ("fc3", 40)] {
        let name = format!("{reader}.weight");
        for values in [&trainer.model.parameters, &trainer.optimizer.first, &trainer.optimizer.second] {
            let values = values[&name].to_f64();
            let kept = (0..columns).filter(|column| !is_new(reader, *column));
            assert!(kept.map(|column| values[4 * columns + column]).all(|value| value == 0.0), "{name}");
        }
    }
}
