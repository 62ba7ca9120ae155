//! The main job on the built-in recipe: stuck untreated at every learning rate, cured on every seed.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use isogain::cure::{Watch, search};
use isogain::trials::Runner;
use isogain_allocator as _;
use isogain_core::recipe::Recipe;
use isogain_core::trial::Verdict;

#[test]
fn the_built_in_recipe_is_cured_on_three_of_three_seeds() {
    let recipe = Recipe::default();
    let stop = AtomicBool::new(false);
    let runner = Runner { threads: 2, stop: &stop, progress: &|_, _| {} };
    let watch = Watch { stage: &|_| {}, begin: &|_| Ok(()), trial: &|_| {} };
    let found = support::alone(|| search(&recipe, Path::new("."), 3, runner, watch)).unwrap();

    assert_eq!(found.findings[0].rule, "vanishing-gradient");
    let report = &found.report;
    assert!(report.baseline.learning_rates.len() >= 3);
    for rate in &report.baseline.learning_rates {
        assert_eq!(rate.seeds.len(), 3);
        for run in &rate.seeds {
            let (loss, accuracy) = (run.score.loss.unwrap(), run.score.train_accuracy.unwrap());
            assert!((loss - 10.0_f64.ln()).abs() < 0.02 && accuracy < 0.15, "{}: {run:?}", rate.learning_rate);
        }
    }
    let cure = report.cure.as_ref().unwrap();
    assert_eq!(report.prescriptions[cure.prescription].verdict, Verdict::Improves);
    assert_eq!(cure.seeds.len(), 3);
    for run in &cure.seeds {
        let (train, test) = (run.score.train_accuracy.unwrap(), run.score.test_accuracy.unwrap());
        assert!(train >= 0.99 && test >= 0.95, "{run:?}");
    }
    let error = report.prediction_error.unwrap();
    assert!(error.networks >= 6 && error.mean < 0.05, "{error:?}");
    let others = report.prescriptions.iter().filter(|result| result.remedy == "change-learning-rate");
    assert!(others.clone().count() > 0);
    assert!(others.into_iter().all(|result| result.verdict != Verdict::Improves));
    assert!(found.cured.is_some() && found.curves.before.len() == 3 && found.curves.after.len() == 3);
}
