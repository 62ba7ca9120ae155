//! Watching, stopping and resuming change no number.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use isogain::Error;
use isogain::check::Subject;
use isogain::run::{self, RunFolder, Watch};
use isogain::snapshot::snapshot;
use isogain::train::{Trainer, first_batch};
use isogain::trials::{TrialArm, run_job};
use isogain_core::recipe::{Recipe, parse};
use isogain_core::record::{RUN_FILE, read};
use isogain_core::trial::Job;

const RECIPES: [&str; 7] = [
    "[network]\ndepth = 5\nwidth = 24\ninit = \"he-normal\"\n[run]\nsteps = 40\n",
    "[network]\ndepth = 5\nwidth = 24\nnorm = \"batch\"\n[optimizer]\nname = \"momentum\"\n[run]\nsteps = 40\n",
    "[network]\nkind = \"residual\"\ndepth = 5\nwidth = 24\nnorm = \"layer\"\nlearnable_scale = true\nbranch_scale = 0.0\n\
     [optimizer]\nname = \"adam\"\nlearning_rate = 0.01\n[run]\nsteps = 40\n",
    "[network]\ndepth = 4\nwidth = 24\nactivation = \"gelu\"\n[clip]\nkind = \"global-norm\"\nthreshold = 0.1\n\
     [run]\nsteps = 40\nprecision = \"f64\"\n",
    "[data]\nbatch = 6\n[network]\ndepth = 4\nwidth = 24\nnorm = \"batch-renorm\"\nnorm_ramp = 20\n[run]\nsteps = 40\n",
    "[network]\ndepth = 3\nwidth = 24\nweight_norm = \"orthogonal\"\n[optimizer]\nname = \"adam\"\n[run]\nsteps = 40\n",
    "[data]\nsource = \"temporal-order\"\nlength = 12\nsamples = 200\n[network]\nkind = \"rnn\"\nwidth = 12\nweight_norm = \
     \"orthogonal\"\n[run]\nsteps = 40\n",
];

fn recipe(toml: &str) -> Recipe {
    parse(toml, "test").unwrap()
}

fn load(recipe: &Recipe) -> Subject {
    Subject::load(recipe, Path::new(".")).unwrap()
}

fn bits(trainer: &Trainer) -> Vec<(String, Vec<u64>)> {
    let parameters = trainer.model.parameters.iter();
    parameters.map(|(name, value)| (name.clone(), value.to_f64().iter().map(|v| v.to_bits()).collect())).collect()
}

#[test]
fn weights_are_bit_identical_with_and_without_watching() {
    for toml in RECIPES {
        let recipe = recipe(toml);
        support::alone(|| {
            let subject = load(&recipe);
            let fresh = || Trainer::new(&recipe, &subject.network, &subject.data, 3);
            let (mut watched, mut plain) = (fresh(), fresh());
            for _ in 0..recipe.run.steps {
                assert!(watched.advance(&subject.data, true).is_some());
                assert!(plain.advance(&subject.data, false).is_none());
                let batch = first_batch(&recipe, &subject.data, 3);
                snapshot(&watched.model, &batch, 0).unwrap();
            }
            assert_eq!(bits(&watched), bits(&plain));
            assert_eq!(watched.losses, plain.losses);
        });
    }
}

#[test]
fn a_trial_beside_others_computes_what_it_computes_alone() {
    let recipe = recipe(RECIPES[1]);
    let subject = support::alone(|| load(&recipe));
    let arm = TrialArm::new(&subject, &subject);
    let job = Job { id: 0, arm: 0, learning_rate: 0.02, seed: 5, steps: 30 };
    let alone = support::alone(|| run_job(&job, &arm, &|| false).unwrap());
    let beside: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| support::alone(|| run_job(&job, &arm, &|| false).unwrap()))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(beside.iter().all(|outcome| *outcome == alone));
}

/// Stops when that many updates are done.
fn until<T: Send>(steps: usize, work: impl FnOnce(Watch<'_>) -> T + Send) -> T {
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let progress = |step: usize, _: f64| {
        done.store(step, Ordering::Relaxed);
        stop.store(step >= steps, Ordering::Relaxed);
    };
    support::alone(|| work(Watch { stop: &stop, progress: &progress, finding: &|_| {}, heal: false, healing: &|_| {} }))
}

#[test]
fn a_stopped_run_goes_on_to_the_same_losses_bit_for_bit() {
    for toml in RECIPES {
        let recipe = recipe(toml);
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| RunFolder::new(folder.path().join(name));
        let subject = support::alone(|| load(&recipe));
        let whole = until(usize::MAX, |watch| run::fresh(&subject, Path::new("."), &place("whole"), watch)).unwrap();
        let stopped = until(13, |watch| run::fresh(&subject, Path::new("."), &place("parts"), watch));
        assert!(matches!(stopped, Err(Error::Interrupted)));
        let again = until(29, |watch| run::resume(&subject, &place("parts"), watch));
        assert!(matches!(again, Err(Error::Interrupted)));
        let resumed = until(usize::MAX, |watch| run::resume(&subject, &place("parts"), watch)).unwrap();
        assert_eq!(whole.outcome, resumed.outcome);
        let weights = |name: &str| std::fs::read(place(name).weights()).unwrap();
        assert_eq!(weights("whole"), weights("parts"));
        let record = |name: &str| read(place(name).path()).unwrap();
        assert_eq!(record("whole").outcome, record("parts").outcome);
        assert_eq!(record("parts").resumed, [13, 29]);
        let losses = |name: &str| record(name).steps.iter().map(|step| (step.step, step.loss)).collect::<Vec<_>>();
        let (whole, parts) = (losses("whole"), losses("parts"));
        assert!(whole.iter().all(|line| parts.contains(line)), "{whole:?} {parts:?}");
    }
}

/// The record's lines, without the one that says where the run went on.
fn lines(folder: &RunFolder) -> Vec<String> {
    let text = std::fs::read_to_string(folder.path().join(RUN_FILE)).unwrap();
    text.lines().filter(|line| !line.starts_with("{\"line\":\"resumed\"")).map(str::to_owned).collect()
}

/// What breaks soon after a resume is recorded with the steps that led to it, also those from before the resume.
#[test]
fn a_resumed_run_that_breaks_is_recorded_like_one_that_was_never_stopped() {
    // A linear model diverges by a steady factor: it takes some steps to leave the range of f32.
    let mut recipe = recipe(
        "[data]\nsource = \"recipes/data/diabetes.csv\"\ntask = \"regression\"\nbatch = 64\nstandardize_target = true\n\
         [network]\nkind = \"layers\"\nlayers = [{ linear = 1 }]\n\
         [optimizer]\nlearning_rate = 0.3\n[run]\nsteps = 400\n",
    );
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    recipe.data.source = repository.join(&recipe.data.source).to_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| RunFolder::new(folder.path().join(name));
    let subject = support::alone(|| load(&recipe));
    let whole = until(usize::MAX, |watch| run::fresh(&subject, Path::new("."), &place("whole"), watch)).unwrap();
    let broken = whole.outcome.first_non_finite.unwrap().step as usize;
    let expected = lines(&place("whole"));
    let recorded = read(place("whole").path()).unwrap();
    let last: Vec<u64> = recorded.steps.iter().rev().take(5).map(|step| step.step).collect();
    assert!(broken > 40 && last[4] == broken as u64 - 4, "the cadence alone does not tell: {last:?}");
    for before in [0, 1, 3, 12, 20] {
        let parts = place(&format!("parts-{before}"));
        until(broken - before, |watch| run::fresh(&subject, Path::new("."), &parts, watch)).unwrap_err();
        until(usize::MAX, |watch| run::resume(&subject, &parts, watch)).unwrap();
        assert_eq!(lines(&parts), expected, "stopped {before} steps before it breaks");
        let checkpoint = |place: &RunFolder| std::fs::read(place.checkpoint()).unwrap();
        assert_eq!(checkpoint(&parts), checkpoint(&place("whole")));
    }
}

#[test]
fn a_damaged_or_foreign_checkpoint_is_refused() {
    let recipe = recipe(RECIPES[0]);
    let folder = tempfile::tempdir().unwrap();
    let place = RunFolder::new(folder.path().join("run"));
    let subject = support::alone(|| load(&recipe));
    until(10, |watch| run::fresh(&subject, Path::new("."), &place, watch)).unwrap_err();
    let mut wider = recipe.clone();
    wider.network.width = 25;
    let foreign = support::alone(|| load(&wider));
    let error = until(usize::MAX, |watch| run::resume(&foreign, &place, watch)).unwrap_err().to_string();
    assert!(error.contains("recipe.toml") && error.contains("[network]"), "{error}");
    std::fs::write(place.checkpoint(), b"not a checkpoint").unwrap();
    let error = until(usize::MAX, |watch| run::resume(&subject, &place, watch)).unwrap_err().to_string();
    assert!(error.contains("checkpoint.safetensors") && error.contains("damaged"), "{error}");
}
