//! 16-bit training, emulated: what is rounded where, what loss scaling brings back, and that a run can be resumed with it.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;

use isogain::check::Subject;
use isogain::checkpoint;
use isogain::train::{Trainer, first_batch};
use isogain_core::recipe::{OptimizerName, Recipe, parse};
use isogain_core::record::StepRecord;
use isogain_core::statistics::rounding::{to_bf16, to_fp16};

/// Five sigmoid layers under the squared error at a large batch: cotangents of about 1e-8.
fn recipe(run: &str) -> Recipe {
    let text = format!(
        "[data]\nbatch = 1024\nloss = \"mean-squared-error\"\n[network]\ndepth = 5\nwidth = 64\nactivation = \"sigmoid\"\n\
         [optimizer]\nname = \"adam\"\nlearning_rate = 0.01\neps = 1e-30\n[run]\nsteps = 300\n{run}\n"
    );
    parse(&text, "test").unwrap()
}

fn small(optimizer: &str, run: &str) -> Recipe {
    let text = format!("[network]\ndepth = 3\nwidth = 16\n[optimizer]\n{optimizer}\n[run]\nsteps = 40\n{run}\n");
    parse(&text, "test").unwrap()
}

fn subject(recipe: &Recipe) -> Subject {
    Subject::load(recipe, Path::new(".")).unwrap()
}

fn trainer(subject: &Subject) -> Trainer {
    Trainer::new(&subject.recipe, &subject.network, &subject.data, subject.recipe.run.seed)
}

fn accuracy(run: &str) -> f64 {
    let subject = subject(&recipe(run));
    let mut trainer = trainer(&subject);
    while trainer.step < subject.recipe.run.steps && !trainer.is_broken() {
        trainer.advance(&subject.data, false);
    }
    trainer.outcome(&subject.data).train_accuracy.unwrap()
}

#[test]
fn half_precision_needs_loss_scaling_here_and_bfloat16_does_not() {
    support::alone(|| {
        // One class of ten: 0.11. In f32 0.996.
        assert!(accuracy("precision = \"fp16\"") < 0.15);
        assert!(accuracy("precision = \"fp16\"\nloss_scale = \"dynamic\"") > 0.9);
        assert!(accuracy("precision = \"fp16\"\nloss_scale = 65536.0") > 0.9);
        assert!(accuracy("precision = \"bf16\"") > 0.9);
    });
}

#[test]
fn everything_but_the_weights_kept_is_of_the_format() {
    support::alone(|| {
        for (precision, round) in [("fp16", to_fp16 as fn(f32) -> f32), ("bf16", to_bf16)] {
            let subject = subject(&small("", &format!("precision = \"{precision}\"")));
            let mut trainer = trainer(&subject);
            let record = trainer.advance(&subject.data, true).unwrap();
            let is_of_format = |value: f64| f64::from(round(value as f32)) == value;
            for joint in &record.joints {
                for moments in [joint.activation, joint.cotangent] {
                    assert!(is_of_format(moments.abs_max), "{precision} {}", joint.name);
                    assert!(moments.min.into_iter().chain(moments.max).all(is_of_format), "{precision} {}", joint.name);
                }
            }
            assert!(record.parameters.iter().all(|parameter| is_of_format(parameter.gradient.abs_max)), "{precision}");
            // The master weights keep their 24 bits.
            let weights = trainer.model.parameters["fc1.weight"].to_f64();
            assert!(weights.iter().any(|value| !is_of_format(*value)), "{precision}");
        }
    });
}

/// A power of two changes no bit of f32 on its way in and out, and none of the record.
#[test]
fn a_loss_scale_leaves_true_numbers() {
    support::alone(|| {
        let record = |run: &str| {
            let subject = subject(&small("", run));
            let mut trainer = trainer(&subject);
            (0..5).map(|_| trainer.advance(&subject.data, true).unwrap()).next_back().unwrap()
        };
        let (plain, scaled) = (record(""), record("loss_scale = 1024.0"));
        assert_eq!(scaled.scaling.unwrap().loss_scale, 1024.0);
        assert_eq!(StepRecord { scaling: None, ..scaled }, plain);
        let snapshot = |run: &str| subject(&small("", run)).start;
        assert_eq!(snapshot("").flow, snapshot("loss_scale = 1024.0").flow);
    });
}

#[test]
fn an_overflow_leaves_the_step_out_and_halves_the_scale() {
    support::alone(|| {
        // Cotangents of the last layer are about 1e-2: at 2^26 they are beyond 65504.
        let subject = subject(&small("", "precision = \"fp16\"\nloss_scale = \"dynamic\""));
        let mut trainer = trainer(&subject);
        trainer.scaler.scale = 2f64.powi(26);
        let before = trainer.model.parameters["fc1.weight"].to_f64();
        let record = trainer.advance(&subject.data, true).unwrap();
        let scaling = record.scaling.unwrap();
        assert_eq!((scaling.loss_scale, scaling.skipped), (2f64.powi(26), true));
        assert_eq!((trainer.scaler.scale, trainer.scaler.skipped), (2f64.powi(25), 1));
        assert_eq!(trainer.model.parameters["fc1.weight"].to_f64(), before);
        assert!(record.parameters.iter().any(|parameter| parameter.gradient.non_finite > 0));
        assert!(record.parameters.iter().all(|parameter| parameter.update.zeros == parameter.weight.count));
        assert!(!trainer.is_broken() && record.loss.is_finite());
        let skipped =
            (0..30).filter(|_| trainer.advance(&subject.data, true).unwrap().scaling.unwrap().skipped).count();
        assert!((1..20).contains(&skipped) && !trainer.is_broken(), "{skipped}");
        assert_ne!(trainer.model.parameters["fc1.weight"].to_f64(), before);
        // Without a scale that gives way, the same overflow breaks the run.
        let fixed = self::subject(&small("", "precision = \"fp16\"\nloss_scale = 67108864.0"));
        let mut trainer = self::trainer(&fixed);
        trainer.advance(&fixed.data, true);
        assert_eq!(trainer.first_non_finite.unwrap().phase, "backward");
    });
}

#[test]
fn a_checkpoint_holds_every_rule_and_the_scale() {
    support::alone(|| {
        for name in OptimizerName::ALL {
            let name = serde_json::to_value(name).unwrap();
            let more = if name == "rmsprop" { "momentum = 0.9\n" } else { "" };
            let optimizer = format!(
                "name = {name}\nlearning_rate = 0.001\nweight_decay = 0.01\n{more}[schedule]\nkind = \"cosine\"\nwarm_up = 5"
            );
            let subject = subject(&small(&optimizer, "precision = \"fp16\"\nloss_scale = \"dynamic\""));
            let mut whole = trainer(&subject);
            whole.scaler.scale = 2f64.powi(26);
            for _ in 0..20 {
                whole.advance(&subject.data, false);
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("checkpoint.safetensors");
            checkpoint::save(&whole, &[], &path).unwrap();
            let (mut resumed, _) = checkpoint::load(&subject.recipe, &subject.network, &subject.data, &path).unwrap();
            assert_eq!(resumed.scaler, whole.scaler);
            assert!(whole.scaler.skipped > 0);
            for _ in 0..20 {
                assert_eq!(resumed.advance(&subject.data, true), whole.advance(&subject.data, true), "{name}");
            }
        }
    });
}

#[test]
fn the_rate_in_force_is_recorded_and_the_snapshot_settles() {
    support::alone(|| {
        let subject = subject(&small("learning_rate = 0.08\n[schedule]\nkind = \"warm-up\"\nwarm_up = 4", ""));
        let mut trainer = trainer(&subject);
        let rates: Vec<f64> = (0..5).map(|_| trainer.advance(&subject.data, true).unwrap().learning_rate).collect();
        assert_eq!(rates, [0.02, 0.04, 0.06, 0.08, 0.08]);

        let scaled = self::subject(&small("", "precision = \"fp16\"\nloss_scale = \"dynamic\""));
        let mut trainer = self::trainer(&scaled);
        trainer.scaler.scale = 2f64.powi(30);
        let batch = first_batch(&scaled.recipe, &scaled.data, 0);
        let snapshot = trainer.snapshot(&batch).unwrap();
        assert!(snapshot.parameters.iter().all(|parameter| parameter.gradient.non_finite == 0));
        assert_eq!(trainer.scaler.scale, 2f64.powi(30), "a look changes nothing");
    });
}
