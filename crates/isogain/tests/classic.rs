//! Small classic failures that published tools miss or mislabel, each with its treated twin, and networks that look ill and
//! are not: on five seeds, what is named first, and how training ends.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use isogain::check::Subject;
use isogain::run::{self, RunFolder, Watch};
use isogain_allocator as _;
use isogain_core::recipe::{Level, Recipe, parse};
use isogain_core::record::Outcome;
use isogain_core::rules::Finding;

const SEEDS: u64 = 5;

/// The rule that the ill one must get, and the largest final loss of the treated one, in losses of knowing nothing.
const ILL: [(&str, &str, f64); 10] = [
    ("sigmoid-stack", "vanishing-gradient", 0.1),
    ("relu-head", "blocked-output", 0.1),
    ("softmax-one-unit", "blocked-output", 0.1),
    ("raw-pixels", "unscaled-input", 0.1),
    ("unscaled-target-tanh", "blocked-output", 0.4),
    ("zero-weights", "symmetric-weights", 0.1),
    ("unit-normal-weights", "exploding-activation", 0.1),
    ("twice-critical-rate", "learning-rate-too-high", 0.1),
    ("exponential-activation", "forward-overflow", 0.1),
    ("tiny-uniform-weights", "vanishing-activation", 0.1),
];

/// What looks ill, and the largest final loss in losses of knowing nothing.
const HEALTHY: [(&str, f64); 5] =
    [("zero-init-skip", 0.1), ("batch-norm", 0.1), ("dropout", 0.1), ("plateau", 0.1), ("tiny-gradients", 0.1)];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/classic")
}

/// A recipe's text; `check`'s findings, the outcome of training and its findings on each seed.
struct Course {
    text: String,
    seeds: Vec<Seed>,
}

struct Seed {
    before: Vec<Finding>,
    after: Vec<Finding>,
    outcome: Outcome,
    /// Final loss over that of knowing nothing; infinite where it is no number.
    loss: f64,
}

impl Course {
    fn of(name: &str) -> Self {
        let path = folder().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let recipe = parse(&text, name).unwrap();
        let seeds = (0..SEEDS).map(|seed| support::alone(|| Seed::of(&recipe, seed))).collect();
        Self { text, seeds }
    }
}

impl Seed {
    fn of(recipe: &Recipe, seed: u64) -> Self {
        let mut recipe = recipe.clone();
        recipe.run.seed = seed;
        let subject = Subject::load(&recipe, &folder()).unwrap().with_sharpness();
        let place = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let watch = Watch { stop: &stop, progress: &|_, _| {}, finding: &|_| {}, heal: false, healing: &|_| {} };
        let run = RunFolder::new(place.path().join("run"));
        let ended = run::fresh(&subject, &folder(), &run, watch).unwrap();
        let loss = ended.outcome.loss.map_or(f64::INFINITY, |loss| loss / subject.data.summary.baseline_loss);
        Self { before: subject.findings(), after: ended.findings, outcome: ended.outcome, loss }
    }
}

/// The first finding of level error.
fn first_error(findings: &[Finding]) -> Option<&str> {
    findings.iter().find(|finding| finding.level == Level::Deny).map(|finding| finding.rule.as_str())
}

/// Every finding with its level and what it says, for whoever reads a failure.
fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{:?} {}: {}", finding.level, finding.rule, finding.message)).collect()
}

/// What is wrong with a network that must be ill by that rule.
fn ill(name: &str, rule: &str) -> Vec<String> {
    let name = format!("{name}-ill");
    let course = Course::of(&name);
    let mut wrong = Vec::new();
    if !course.text.contains(&format!("# Must get: {rule}.")) {
        wrong.push(format!("{name}: its comment does not promise {rule}"));
    }
    for (seed, found) in course.seeds.iter().enumerate() {
        println!("{name} seed {seed}: loss x{:.3}, {:?}", found.loss, found.outcome.train_accuracy);
        for (when, findings) in [("check", &found.before), ("train", &found.after)] {
            if first_error(findings) != Some(rule) {
                wrong.push(format!("{name} seed {seed} {when}: {:#?}", told(findings)));
            }
        }
        if found.loss < 0.5 {
            wrong.push(format!("{name} seed {seed} is not ill: it ends at {} of knowing nothing", found.loss));
        }
    }
    wrong
}

/// What is wrong with a network that must get no error and end at or below that loss.
fn healthy(name: &str, most: f64) -> Vec<String> {
    let course = Course::of(name);
    let mut wrong = Vec::new();
    if !course.text.contains("Must get: no error.") {
        wrong.push(format!("{name}: its comment does not promise to be healthy"));
    }
    for (seed, found) in course.seeds.iter().enumerate() {
        println!("{name} seed {seed}: loss x{:.4}, {:?}", found.loss, found.outcome.train_accuracy);
        for (when, findings) in [("check", &found.before), ("train", &found.after)] {
            if first_error(findings).is_some() {
                wrong.push(format!("{name} seed {seed} {when}: {:#?}", told(findings)));
            }
        }
        if found.loss > most {
            wrong.push(format!("{name} seed {seed} does not train: it ends at {} of knowing nothing", found.loss));
        }
    }
    wrong
}

fn none(wrong: Vec<Vec<String>>) {
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn classic_failures_are_named_by_their_cause() {
    none(ILL.iter().map(|(name, rule, _)| ill(name, rule)).collect());
}

#[test]
fn treated_they_train_without_an_error() {
    none(ILL.iter().map(|(name, _, most)| healthy(&format!("{name}-treated"), *most)).collect());
}

#[test]
fn what_only_looks_ill_gets_no_error() {
    none(HEALTHY.iter().map(|(name, most)| healthy(&format!("healthy-{name}"), *most)).collect());
}

/// No recipe in the folder without its line above.
#[test]
fn every_recipe_is_tried() {
    let mut files: Vec<String> = folder()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let twins = ILL.iter().flat_map(|(name, ..)| [format!("{name}-ill"), format!("{name}-treated")]);
    let mut names: Vec<String> = twins.chain(HEALTHY.iter().map(|(name, _)| format!("healthy-{name}"))).collect();
    names.sort();
    assert_eq!(files, names);
}
