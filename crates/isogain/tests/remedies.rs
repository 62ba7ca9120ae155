//! Each remedy improves on the network of its page, judged over paired seeds against the untreated network at its own
//! best learning rate.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use isogain::check::Subject;
use isogain::data::Dataset;
use isogain::trials::{AskTell, Runner, TrialArm};
use isogain_allocator as _;
use isogain_core::recipe::{parse, to_toml};
use isogain_core::remedies::{self, Remedy};
use isogain_core::trial::Verdict;
use isogain_core::trial::plan::{Arm, Plan};
use isogain_core::trial::result::Finished;
use isogain_core::trial::schedule::Schedule;

fn verdict(remedy: &Remedy, untreated: &str) -> (Verdict, String) {
    let recipes: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let recipe = parse(untreated, remedy.name).unwrap();
    let untreated = Subject::load(&recipe, &recipes).unwrap();
    let prescriptions = (remedy.prescribe)(&untreated.case(), &recipe);
    let rate = recipe.optimizer.learning_rate;
    let (mut arms, mut runnable) = (vec![Arm::untreated(rate)], vec![TrialArm::new(&untreated, &untreated)]);
    for prescription in &prescriptions {
        assert_eq!(parse(&to_toml(&prescription.recipe), remedy.name).unwrap(), prescription.recipe, "reads back");
        let data = Arc::new(Dataset::load(&prescription.recipe.data, &recipes).unwrap());
        runnable.push(TrialArm::new(&Subject::new(&prescription.recipe, data).unwrap(), &untreated));
        arms.push(match remedy.name {
            "change-learning-rate" => Arm::other_learning_rate(prescription.recipe.optimizer.learning_rate),
            _ => Arm::treated(rate, 1, None),
        });
    }
    let untrained = untreated.data.summary.baseline_loss;
    let plan = Plan::usual(arms, rate, vec![0, 1, 2], recipe.run.steps, untrained).unwrap();
    let mut schedule = Schedule::new(plan).unwrap();
    let stop = AtomicBool::new(false);
    let runner = Runner { threads: 1, stop: &stop, progress: &|_, _| {} };
    runner.run(&mut schedule as &mut dyn AskTell, &runnable).unwrap();
    let predictions = vec![None; prescriptions.len()];
    let finished =
        Finished { schedule: &schedule, random: None, prescriptions: &prescriptions, predictions: &predictions };
    let report = finished.report(0.0).unwrap();
    let loss = |runs: &[isogain_core::trial::SeedScore]| runs.iter().map(|run| run.score.loss).collect::<Vec<_>>();
    let tried = report.prescriptions.iter().map(|p| format!("{} {:?} {:?}", p.parameters, p.verdict, loss(&p.seeds)));
    let account = format!("untreated {:?}; {}", loss(&report.baseline.seeds), tried.collect::<Vec<_>>().join("; "));
    let best = report.prescriptions.iter().any(|result| result.verdict == Verdict::Improves);
    (if best { Verdict::Improves } else { Verdict::NoEffect }, account)
}

/// Every fourth remedy from this one, so that four tests run side by side.
fn improves(from: usize) {
    let wrong: Vec<String> = remedies::TABLE
        .iter()
        .skip(from)
        .step_by(4)
        .filter_map(|remedy| {
            let (verdict, account) = support::alone(|| verdict(remedy, remedies::reference_recipe(remedy)));
            println!("{}: {verdict:?}: {account}", remedy.name);
            (verdict != Verdict::Improves).then(|| format!("{}: {account}", remedy.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn first_quarter() {
    improves(0);
}

#[test]
fn second_quarter() {
    improves(1);
}

#[test]
fn third_quarter() {
    improves(2);
}

#[test]
fn fourth_quarter() {
    improves(3);
}

/// What the page of `move-norm` says of weights that are too large: norms in front of the branches do not answer them.
#[test]
fn norms_at_both_ends_stand_large_weights() {
    let remedy = remedies::named("move-norm").unwrap();
    let in_front = "init = { name = \"normal\", weight_variance = 100.0 }\nhead_init = \"glorot-normal\"";
    let untreated = remedies::reference_recipe(remedy).replace("norm_placement = \"post\"", in_front);
    let (verdict, account) = support::alone(|| verdict(remedy, &untreated));
    assert_eq!(verdict, Verdict::Improves, "{account}");
    println!("{account}");
}
