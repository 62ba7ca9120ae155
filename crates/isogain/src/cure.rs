//! The main job: find, explain, try, verify.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use isogain_core::recipe::Recipe;
use isogain_core::record::Outcome;
use isogain_core::record::line::TrialRecord;
use isogain_core::remedies::Prescription;
use isogain_core::remedies::prediction::{Expectation, Prediction, best_first};
use isogain_core::remedies::prescriptions::prescriptions;
use isogain_core::rules::Finding;
use isogain_core::summary::{Curve, Curves, TriedCurves};
use isogain_core::trial::plan::{Arm, Plan};
use isogain_core::trial::random_search::RandomSearch;
use isogain_core::trial::result::{Finished, TrialReport};
use isogain_core::trial::schedule::Schedule;
use isogain_core::trial::{Job, Score};

use crate::Error;
use crate::check::Subject;
use crate::data::Dataset;
use crate::trials::{AskTell, Runner, TrialArm};

/// What is going on, for people who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The untreated network is measured.
    Diagnose,
    /// Remedies are predicted on one batch.
    Predict,
    /// Remedies are tried, at most this many optimizer updates.
    Try(usize),
    /// Random search gets the same, at most this many optimizer updates.
    Compare(usize),
}

/// Who watches a search.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Called when something else begins.
    pub stage: &'a (dyn Fn(Stage) + Sync),
    /// Called with the untreated network before the first trial; an error ends the search.
    pub begin: &'a (dyn Fn(&Subject) -> Result<(), Error> + Sync),
    /// Called with each trial as it ends, by whatever thread ran it.
    pub trial: &'a (dyn Fn(TrialRecord) + Sync),
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Search {
    /// The untreated network.
    pub subject: Subject,
    /// What is wrong with it before training.
    pub findings: Vec<Finding>,
    /// What was tried, in the order of the report's prescriptions.
    pub prescriptions: Vec<Prescription>,
    /// What came out.
    pub report: TrialReport,
    /// Loss by step of the untreated network and of the cure.
    pub curves: Curves,
    /// The cured recipe with its network and one batch before training; `None` when nothing improves.
    pub cured: Option<Subject>,
}

/// Diagnoses the recipe's network, tries what may help, and judges it over paired seeds.
///
/// # Errors
/// When the data cannot be used, when nothing can be tried within the budget, or when stopped.
pub fn search(
    recipe: &Recipe,
    folder: &Path,
    seeds: usize,
    runner: Runner<'_>,
    watch: Watch<'_>,
) -> Result<Search, Error> {
    let stage = watch.stage;
    stage(Stage::Diagnose);
    let subject = Subject::load(recipe, folder)?.with_sharpness();
    let findings = subject.findings();

    (watch.begin)(&subject)?;

    stage(Stage::Predict);
    let mut datasets = Datasets::new(folder, &subject);
    let mut tried = Vec::new();
    for prescription in prescriptions(&subject.case(), recipe, &findings) {
        let data = datasets.of(&prescription.recipe)?;
        // A remedy that the network cannot take (a skip between layers of unlike shape) is not tried.
        let Ok(treated) = Subject::new(&prescription.recipe, data) else { continue };
        let prediction = Prediction::new(&treated.start, &expectation(&treated));
        tried.push((prescription, treated, prediction));
    }
    let predictions: Vec<Prediction> = tried.iter().map(|(.., prediction)| prediction.clone()).collect();
    let mut tried: Vec<Option<_>> = tried.into_iter().map(Some).collect();
    let tried: Vec<_> = best_first(&predictions).into_iter().filter_map(|index| tried[index].take()).collect();

    let rate = recipe.optimizer.learning_rate;
    let mut arms = vec![Arm::untreated(rate)];
    let mut runnable = vec![arm(&subject)];
    for (prescription, treated, prediction) in &tried {
        let other_rate = prescription.remedies == ["change-learning-rate"];
        arms.push(if other_rate {
            Arm::other_learning_rate(prescription.recipe.optimizer.learning_rate)
        } else {
            Arm::treated(rate, prescription.remedies.len(), prediction.learning_rate_ceiling)
        });
        runnable.push(arm(treated));
    }
    let first = recipe.run.seed;
    let seeds = (first..first + seeds as u64).collect();
    let untrained = subject.data.summary.baseline_loss;
    let plan = Plan::usual(arms, rate, seeds, recipe.run.steps, untrained);
    let plan = plan.map_err(|error| Error::Mismatch(error.to_string()))?;

    stage(Stage::Try(plan.untreated_steps() + plan.most_search_steps()));
    let mut schedule = Schedule::new(plan.clone()).map_err(|error| Error::Mismatch(error.to_string()))?;
    let told = |job: &Job, outcome: &Outcome| {
        let of = job.arm.checked_sub(1).and_then(|index| tried.get(index));
        let of = of.map(|(prescription, ..)| prescription);
        (watch.trial)(TrialRecord {
            remedies: of.map(|of| of.remedies.clone()).unwrap_or_default(),
            parameters: of.map(|of| of.parameters.clone()).unwrap_or_default(),
            job: job.clone(),
            score: Score::new(outcome, &runnable[job.arm].data.summary, &subject.data.summary),
        });
        (runner.progress)(job, outcome);
    };
    let curves: Mutex<BTreeMap<Whole, Curve>> = Mutex::default();
    let keep = |job: &Job, outcome: &Outcome| {
        if job.steps == recipe.run.steps {
            let curve = Curve::thinned(job.seed, &outcome.losses);
            let whole = (job.arm, job.learning_rate.to_bits(), job.seed);
            curves.lock().unwrap_or_else(PoisonError::into_inner).insert(whole, curve);
        }
        told(job, outcome);
    };
    Runner { progress: &keep, ..runner }.run(&mut schedule as &mut dyn AskTell, &runnable)?;

    stage(Stage::Compare(schedule.search_steps()));
    let mut random = RandomSearch::new(&plan, schedule.search_steps(), first);
    Runner { progress: &told, ..runner }.run(&mut random as &mut dyn AskTell, &runnable)?;

    let (prescriptions, predictions): (Vec<_>, Vec<_>) =
        tried.into_iter().map(|(prescription, _, prediction)| (prescription, Some(prediction))).unzip();
    let finished = Finished {
        schedule: &schedule,
        random: Some(&random),
        prescriptions: &prescriptions,
        predictions: &predictions,
    };
    let report = finished.report(0.0);
    let report = report.ok_or_else(|| Error::Mismatch("the search ended before its schedule was done".into()))?;

    let curves = curves.into_inner().unwrap_or_else(PoisonError::into_inner);
    let of = |arm: usize, rate: f64| -> Vec<Curve> {
        let whole = (arm, rate.to_bits(), 0)..=(arm, rate.to_bits(), u64::MAX);
        curves.range(whole).map(|(_, curve)| curve.clone()).collect()
    };
    let others = report.prescriptions.iter().enumerate().filter(|(index, result)| {
        result.steps == recipe.run.steps && report.cure.as_ref().is_none_or(|cure| cure.prescription != *index)
    });
    let tried = others
        .filter_map(|(prescription, result)| {
            let curves = of(prescription + 1, result.learning_rate?).iter().map(Curve::coarse).collect::<Vec<_>>();
            (!curves.is_empty()).then_some(TriedCurves { prescription, curves })
        })
        .collect();
    let cure = report.cure.as_ref();
    let curves = Curves {
        before: of(0, report.baseline.learning_rate),
        after: cure.map(|cure| of(cure.prescription + 1, cure.recipe.optimizer.learning_rate)).unwrap_or_default(),
        tried,
    };
    let cured = cure.map(|cure| Subject::new(&cure.recipe, datasets.of(&cure.recipe)?)).transpose()?;
    Ok(Search { subject, findings, prescriptions, report, curves, cured })
}

/// A whole training: arm, bits of the learning rate, seed.
type Whole = (usize, u64, u64);

fn expectation(subject: &Subject) -> Expectation {
    Expectation {
        learning_rate: subject.recipe.optimizer.learning_rate,
        learning_rate_ceiling: None,
        trainable_depth: subject.limits.trainable_depth,
    }
}

fn arm(subject: &Subject) -> TrialArm {
    TrialArm { recipe: subject.recipe.clone(), network: subject.network.clone(), data: Arc::clone(&subject.data) }
}

/// Loaded data by what the recipes ask for: most remedies leave it as it is.
struct Datasets {
    folder: PathBuf,
    loaded: BTreeMap<String, Arc<Dataset>>,
}

impl Datasets {
    fn new(folder: &Path, subject: &Subject) -> Self {
        let loaded = BTreeMap::from([(key(&subject.recipe), Arc::clone(&subject.data))]);
        Self { folder: folder.to_path_buf(), loaded }
    }

    fn of(&mut self, recipe: &Recipe) -> Result<Arc<Dataset>, Error> {
        if let Some(data) = self.loaded.get(&key(recipe)) {
            return Ok(Arc::clone(data));
        }
        let data = Arc::new(Dataset::load(&recipe.data, &self.folder)?);
        self.loaded.insert(key(recipe), Arc::clone(&data));
        Ok(data)
    }
}

fn key(recipe: &Recipe) -> String {
    format!("{:?}", recipe.data)
}
