//! Repairs of a training in progress: each kind on a network that needs it, nothing on one that does not, every change in
//! the record, and a stopped run goes on as if it had never been stopped.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use isogain::check::Subject;
use isogain::heal::Healing;
use isogain::run::{self, Ended, RunFolder, Watch};
use isogain_core::recipe::parse;
use isogain_core::record::{Healed, Run, read};

static NEVER: AtomicBool = AtomicBool::new(false);

fn subject(text: &str, seed: u64) -> Subject {
    let mut recipe = parse(text, "test").unwrap();
    recipe.run.seed = seed;
    Subject::load(&recipe, Path::new(".")).unwrap()
}

fn train(subject: &Subject, heal: bool, folder: &Path) -> (Ended, Run) {
    let watch = Watch { stop: &NEVER, progress: &|_, _| {}, finding: &|_| {}, heal, healing: &|_| {} };
    let ended = support::alone(|| run::fresh(subject, Path::new("."), &RunFolder::new(folder), watch)).unwrap();
    (ended, read(folder).unwrap())
}

/// The run with repairs, what was applied, and how the same run ends without.
fn healed(text: &str, seed: u64) -> (Ended, Vec<Healed>, Ended) {
    let subject = subject(text, seed);
    let folder = tempfile::tempdir().unwrap();
    let (plain, _) = train(&subject, false, &folder.path().join("plain"));
    let (ended, run) = train(&subject, true, &folder.path().join("healed"));
    // What was done stands in the record, word for word.
    assert_eq!(run.healed, ended.healed);
    for healed in &run.healed {
        println!("seed {seed}: {}", healed.sentence());
    }
    println!(
        "seed {seed}: {:?} {:?}, without repairs {:?}",
        ended.outcome.loss, ended.outcome.train_accuracy, plain.outcome.loss
    );
    let applied = ended.healed.iter().filter(|healed| healed.applied.is_some()).cloned().collect();
    (ended, applied, plain)
}

/// Ten layers at a rate at which they break: the run goes back and on with a smaller one, or with clipping.
#[test]
fn a_run_that_breaks_goes_back_and_on() {
    let text = "[network]\ndepth = 10\nwidth = 64\ninit = \"he-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 1.0\n[run]\nsteps = 400\n";
    for seed in 0..3 {
        let (ended, applied, plain) = healed(text, seed);
        assert!(plain.outcome.train_accuracy.unwrap() < 0.5, "{:?}", plain.outcome);
        assert!(ended.outcome.train_accuracy.unwrap() > 0.9, "{:?}", ended.healed);
        let repair = applied[0].repair().unwrap();
        assert!(["change-learning-rate", "clip-by-global-norm"].contains(&repair.remedy.as_str()), "{repair:?}");
        assert!(applied[0].recipe.is_some());
    }
}

/// Cotangents of 1e-8 under fp16: a loss scale, from the step on at which the underflow was seen.
#[test]
fn an_underflow_is_answered_by_a_loss_scale() {
    let text = "[data]\nbatch = 1024\nloss = \"mean-squared-error\"\n[network]\ndepth = 5\nwidth = 64\nactivation = \"sigmoid\"\n\
                [optimizer]\nname = \"adam\"\nlearning_rate = 0.01\neps = 1e-30\n[run]\nsteps = 400\nprecision = \"fp16\"\n";
    let (ended, applied, plain) = healed(text, 0);
    assert!(plain.outcome.train_accuracy.unwrap() < 0.2);
    assert!(ended.outcome.train_accuracy.unwrap() > 0.9);
    assert!(applied.iter().any(|healed| healed.repair().unwrap().remedy == "loss-scaling"), "{applied:?}");
}

/// Thirty layers as PyTorch starts them, whose gradients are below Adam's eps: a smaller one, and they are learned from.
#[test]
fn a_gradient_below_eps_is_answered_by_a_smaller_one() {
    let text =
        "[network]\ndepth = 30\nwidth = 64\n[optimizer]\nname = \"adam\"\nlearning_rate = 0.001\n[run]\nsteps = 1000\n";
    let (ended, applied, plain) = healed(text, 0);
    assert!(plain.outcome.train_accuracy.unwrap() < 0.2);
    assert!(ended.outcome.train_accuracy.unwrap() > 0.5);
    assert_eq!(applied[0].repair().unwrap().remedy, "smaller-eps");
}

/// Layers at scales far apart, half of which hardly move: balanced, the network takes a rate at which it broke before, and
/// keeps what it computes.
#[test]
fn frozen_layers_are_balanced() {
    let layer = |variance: f64| {
        format!(
            "{{ linear = 64, init = {{ name = \"normal\", weight_variance = {variance} }} }}, {{ activation = \"relu\" }}"
        )
    };
    let layers: Vec<String> = [200.0, 0.02, 200.0, 0.02, 200.0, 0.02].into_iter().map(layer).collect();
    let text = format!(
        "[network]\nkind = \"layers\"\nlayers = [{}, {{ linear = 10, init = \"normal\" }}]\n[optimizer]\nname = \"sgd\"\n\
         learning_rate = 0.01\n[run]\nsteps = 500\n",
        layers.join(", ")
    );
    let (ended, applied, plain) = healed(&text, 0);
    let frozen = |ended: &Ended| ended.findings.iter().any(|finding| finding.rule == "frozen-layer");
    assert!(frozen(&plain) && !frozen(&ended), "{:?}", ended.findings);
    assert!(ended.outcome.loss.unwrap() < 0.5 * plain.outcome.loss.unwrap());
    let repair = applied[0].repair().unwrap();
    assert_eq!(repair.remedy, "balance-layers");
    let same_rate = applied[0].tried.iter().find(|attempt| attempt.parameters == "learning_rate = 0.05").unwrap();
    assert_eq!(same_rate.loss, None, "unbalanced it breaks at five times the rate");
}

/// A network that is well is left alone, to the last bit.
#[test]
fn nothing_is_done_to_what_is_well() {
    let text = "[network]\ndepth = 4\nwidth = 64\ninit = \"he-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.05\n[run]\nsteps = 300\n";
    let (ended, _, plain) = healed(text, 0);
    assert_eq!(ended.healed, []);
    assert_eq!(ended.outcome, plain.outcome);
}

/// Where nothing helps, nothing is changed, and the record says what was tried.
#[test]
fn what_does_not_help_is_not_applied() {
    // Sigmoid layers under SGD: no setting of a run in progress brings the gradient back.
    let text = "[network]\ndepth = 12\nwidth = 64\nactivation = \"sigmoid\"\ninit = \"glorot-uniform\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.05\n[run]\nsteps = 200\n";
    let (ended, applied, plain) = healed(text, 0);
    assert!(applied.is_empty(), "{applied:?}");
    assert_eq!(ended.outcome, plain.outcome);
}

/// Stopped at any moment, before and after the repair: the same losses, the same repairs, the same record of them.
#[test]
fn a_stopped_run_is_repaired_the_same() {
    let text = "[network]\ndepth = 10\nwidth = 64\ninit = \"he-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 1.0\n[run]\nsteps = 120\n";
    let subject = subject(text, 0);
    let folder = tempfile::tempdir().unwrap();
    let (whole, record) = train(&subject, true, &folder.path().join("whole"));
    assert!(whole.healed.iter().any(|healed| healed.applied.is_some()));
    let interrupted = |stop: &AtomicBool, at: usize, tries: &(dyn Fn() + Sync), path: &RunFolder| {
        let progress = |step: usize, _: f64| {
            stop.fetch_or(step == at, Ordering::Relaxed);
        };
        let healing = |healing: Healing<'_>| {
            if matches!(healing, Healing::Begins { .. }) {
                tries();
            }
        };
        let watch = Watch { stop, progress: &progress, finding: &|_| {}, heal: true, healing: &healing };
        let stopped = support::alone(|| run::fresh(&subject, Path::new("."), path, watch));
        assert!(matches!(stopped, Err(isogain::Error::Interrupted)), "{stopped:?}");
    };
    let goes_on = |what: &str, path: &RunFolder| {
        // Without being asked again: the run was begun with repairs.
        let watch = Watch { stop: &NEVER, progress: &|_, _| {}, finding: &|_| {}, heal: false, healing: &|_| {} };
        let ended = support::alone(|| run::resume(&subject, path, watch)).unwrap();
        assert_eq!(ended.outcome, whole.outcome, "stopped {what}");
        assert_eq!(ended.healed, whole.healed, "stopped {what}");
        assert_eq!(read(path.path()).unwrap().healed, record.healed, "stopped {what}");
    };
    for at in [3, 17, 40, 90] {
        let path = RunFolder::new(folder.path().join(at.to_string()));
        interrupted(&AtomicBool::new(false), at, &|| {}, &path);
        goes_on(&format!("at {at}"), &path);
    }
    // While repairs are tried on copies of a network that is broken already.
    let (stop, path) = (AtomicBool::new(false), RunFolder::new(folder.path().join("trying")));
    interrupted(&stop, usize::MAX, &|| stop.store(true, Ordering::Relaxed), &path);
    assert_eq!(read(path.path()).unwrap().healed, []);
    goes_on("while repairs are tried", &path);
}
