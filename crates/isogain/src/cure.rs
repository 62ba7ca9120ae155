//! The main job: find, explain, try, verify.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isogain_core::recipe::Recipe;
use isogain_core::record::Outcome;
use isogain_core::record::line::TrialRecord;
use isogain_core::remedies::Prescription;
use isogain_core::remedies::prediction::{Prediction, best_first};
use isogain_core::remedies::prescriptions::{MOST, prescriptions};
use isogain_core::render::words::named;
use isogain_core::rules::{Case, Finding, diagnose};
use isogain_core::summary::{Curve, Curves, TriedCurves};
use isogain_core::trial::left_out::{LeftOut, by_budget, ruled_out};
use isogain_core::trial::plan::{Arm, Plan};
use isogain_core::trial::random_search::RandomSearch;
use isogain_core::trial::result::{Finished, PredictionError, Stopped, TrialReport};
use isogain_core::trial::schedule::Schedule;
use isogain_core::trial::{Job, Score, learning_rates};

use crate::Error;
use crate::budget::{self, Clock};
use crate::cache::Cache;
use crate::check::Subject;
use crate::data::Dataset;
use crate::tangent_kernel::tangent_kernel;
use crate::trials::{AskTell, Drive, Runner, TrialArm};

mod first;

use first::First;

/// What is going on, for people who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The untreated network is measured.
    Diagnose,
    /// The untreated network is trained, because nothing before training says that it cannot learn.
    Train(usize),
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

/// How much a search may do. `3.into()` is the usual one on three seeds.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Paired seeds that a verdict rests on.
    pub seeds: usize,
    /// Time for everything. What is tried then depends on the speed of the machine; without it, on nothing but the
    /// recipe.
    pub budget: Option<Duration>,
    /// Whether a random search of the same size follows, to compare with.
    pub random_search: bool,
    /// Called before each trial with the name of what is tried.
    pub begun: &'a (dyn Fn(&str, &Job) + Sync),
    /// Where trainings of earlier searches are kept, if anywhere.
    pub cache: Option<&'a Cache>,
}

impl From<usize> for Options<'_> {
    fn from(seeds: usize) -> Self {
        Self { seeds, budget: None, random_search: true, begun: &|_, _| {}, cache: None }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Search {
    /// The untreated network.
    pub subject: Subject,
    /// What is wrong with it: before training, and where that leaves it open, after training.
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

/// Diagnoses the recipe's network, tries what may help, and judges it over paired seeds. A network that learns, and of
/// which no rule says that it is ill, is left alone.
///
/// Where the budget ends or somebody stops it after the untreated network was trained, the report is what was known by
/// then.
///
/// # Errors
/// When the data cannot be used, when nothing can be tried within the budget, or when stopped with nothing to say.
pub fn search<'a>(
    recipe: &Recipe,
    folder: &Path,
    options: impl Into<Options<'a>>,
    runner: Runner<'_>,
    watch: Watch<'_>,
) -> Result<Search, Error> {
    let options = options.into();
    let clock = Clock::new(options.budget);
    let stage = watch.stage;
    stage(Stage::Diagnose);
    let subject = Subject::load(recipe, folder)?.with_sharpness().with_counterfactual()?;
    let before = subject.findings();
    (watch.begin)(&subject)?;

    let seeds: Vec<u64> = (recipe.run.seed..).take(options.seeds).collect();
    let quiet = Drive { runner, deadline: clock.deadline(), begun: &|_| {}, known: &|_| None, cache: options.cache };
    let first = First::new(&subject, &before, &seeds, quiet, watch)?;
    if let Some(report) = first.healthy() {
        let curves = Curves { before: first.curves(), ..Curves::default() };
        return Ok(Search { subject, findings: before, prescriptions: Vec::new(), report, curves, cured: None });
    }
    let findings = first.findings().unwrap_or_else(|| before.clone());

    stage(Stage::Predict);
    let mut datasets = Datasets::new(folder, &subject);
    let case = Case { history: first.history(), ..subject.case() };
    let (mut tried, mut refused) = (Vec::new(), Vec::new());
    let mut predict = |prescription: &Prescription| -> Result<bool, Error> {
        let data = datasets.of(&prescription.recipe)?;
        // A remedy that the network cannot take (a skip between layers of unlike shape) is not tried.
        let Ok((treated, fresh)) = Subject::with_trainer(&prescription.recipe, data) else { return Ok(false) };
        let why = ruled_out(recipe, &before, prescription, &at_every_rate(&treated));
        let treated = if why.is_none() { treated.with_potential_of(fresh) } else { treated };
        let (prescription, prediction) = (prescription.clone(), treated.prediction());
        let (is_tried, of) = (why.is_none(), Tried { prescription, treated, prediction });
        match why {
            None => tried.push(of),
            Some(why) => refused.push((of, why)),
        }
        Ok(is_tried)
    };
    let mut broken = None;
    prescriptions(&case, recipe, &findings, |prescription| {
        predict(prescription).unwrap_or_else(|error| {
            broken.get_or_insert(error);
            false
        })
    });
    if let Some(error) = broken {
        return Err(error);
    }
    // Where theory expects nothing of anything, all are tried: it may be wrong.
    let mut left_out = Vec::new();
    if tried.is_empty() {
        tried.extend(refused.into_iter().take(MOST).map(|(of, _)| of.with_potential()));
    } else {
        left_out.extend(refused.into_iter().map(|(of, why)| LeftOut { what: of.name(), why }));
    }
    let tried = in_order(tried.into_iter());

    let rate = recipe.optimizer.learning_rate;
    let mut arms = vec![Arm::untreated(rate)];
    let mut runnable = vec![TrialArm::new(&subject, &subject)];
    for Tried { prescription, treated, prediction } in &tried {
        arms.push(if is_other_rate(prescription) {
            Arm::other_learning_rate(prescription.recipe.optimizer.learning_rate)
        } else {
            Arm::treated(rate, prescription.remedies.len(), prediction.learning_rate_ceiling)
        });
        runnable.push(TrialArm::new(treated, &subject));
    }
    let untrained = subject.data.summary.baseline_loss;
    let mut plan = Plan::usual(arms, rate, seeds, recipe.run.steps, untrained).map_err(mismatch)?;
    plan.random_search = options.random_search;
    if let Some(left) = clock.left() {
        let wanted = plan.clone();
        plan = clock.fit(&budget::measured(&runnable, runner.threads), &plan, left)?;
        let names: Vec<String> = tried.iter().map(Tried::name).collect();
        left_out.extend(by_budget(&wanted, &plan, &names));
    }

    stage(Stage::Try(plan.untreated_steps() + plan.most_search_steps()));
    let mut schedule = Schedule::new(plan.clone()).map_err(mismatch)?;
    let of = |job: &Job| job.arm.checked_sub(1).and_then(|index| tried.get(index));
    let told = |job: &Job, outcome: &Outcome| {
        let of = of(job).map(|tried| &tried.prescription);
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
    let begun = |job: &Job| {
        let name = of(job).map_or_else(|| "untreated".to_owned(), Tried::name);
        (options.begun)(&name, job);
    };
    let known = |job: &Job| first.outcome(job);
    let drive = Drive { runner: Runner { progress: &keep, ..runner }, begun: &begun, known: &known, ..quiet };
    let mut stopped = drive.run(&mut schedule as &mut dyn AskTell, &runnable)?;

    let mut random = None;
    if stopped.is_none() && plan.random_search {
        stage(Stage::Compare(schedule.search_steps()));
        let mut search = RandomSearch::new(&plan, schedule.search_steps(), recipe.run.seed);
        let drive = Drive { runner: Runner { progress: &told, ..runner }, known: &|_| None, ..drive };
        stopped = drive.run(&mut search as &mut dyn AskTell, &runnable)?;
        random = Some(search);
    }

    let (prescriptions, predictions): (Vec<_>, Vec<_>) =
        tried.into_iter().map(|tried| (tried.prescription, Some(tried.prediction))).unzip();
    let finished = Finished {
        schedule: &schedule,
        random: random.as_ref(),
        prescriptions: &prescriptions,
        predictions: &predictions,
    };
    let mut report = finished.so_far(0.0).ok_or_else(|| nothing_known(stopped, options.budget))?;
    (report.left_out, report.stopped) = (left_out, stopped);
    // It takes passes through each network again: time that a budget has not left, and that who stops does not wait for.
    if stopped.is_none() && options.budget.is_none() {
        for (result, arm) in report.prescriptions.iter_mut().zip(&runnable[1..]) {
            let predicted = result.predicted.as_mut().filter(|_| result.steps == recipe.run.steps);
            let Some(predicted) = predicted else { continue };
            predicted.tangent_kernel = tangent_kernel(&arm.recipe, &arm.network, &arm.data);
        }
        report.prediction_error = prediction_error(&report, &prescriptions, recipe, &mut datasets)?;
    }

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
        before: of(0, report.before().0),
        after: cure.map(|cure| of(cure.prescription + 1, cure.recipe.optimizer.learning_rate)).unwrap_or_default(),
        tried,
    };
    let cured = cure.map(|cure| Subject::new(&cure.recipe, datasets.of(&cure.recipe)?)).transpose()?;
    Ok(Search { subject, findings, prescriptions, report, curves, cured })
}

/// How far the predictions of what was trained to the end are off on the seeds that they had not seen. A network counts once,
/// however many prescriptions leave it as it is and change what trains it.
fn prediction_error(
    report: &TrialReport,
    prescriptions: &[Prescription],
    untreated: &Recipe,
    datasets: &mut Datasets,
) -> Result<Option<PredictionError>, Error> {
    let factor = |subject: &Subject| subject.prediction().factor();
    let mut errors = Vec::new();
    let mut seen: Vec<&Recipe> = Vec::new();
    for (result, Prescription { recipe: treated, .. }) in report.prescriptions.iter().zip(prescriptions) {
        let predicted = result.predicted.as_ref().and_then(Prediction::factor);
        let Some(predicted) = predicted.filter(|_| result.steps == untreated.run.steps) else { continue };
        if seen.iter().any(|other| other.network == treated.network && other.data == treated.data) {
            continue;
        }
        seen.push(treated);
        for run in result.seeds.iter().filter(|run| run.seed != untreated.run.seed) {
            let mut recipe = treated.clone();
            recipe.run.seed = run.seed;
            let measured = factor(&Subject::new(&recipe, datasets.of(&recipe)?)?);
            errors.extend(measured.map(|measured| (measured / predicted).ln().abs()));
        }
    }
    let networks = errors.len();
    let mean = errors.iter().sum::<f64>() / networks as f64;
    Ok((networks > 0).then_some(PredictionError { mean, networks }))
}

/// A whole training: arm, bits of the learning rate, seed.
type Whole = (usize, u64, u64);

/// A prescription on its way to a trial.
struct Tried {
    prescription: Prescription,
    treated: Subject,
    prediction: Prediction,
}

impl Tried {
    /// With what one step can do, which is not measured of what is ruled out.
    fn with_potential(self) -> Self {
        let treated = self.treated.with_potential();
        Self { prediction: treated.prediction(), treated, ..self }
    }

    fn name(&self) -> String {
        named(&self.prescription.remedies, &self.prescription.parameters)
    }
}

fn is_other_rate(prescription: &Prescription) -> bool {
    prescription.remedies == ["change-learning-rate"]
}

/// What costs nothing first, then by prediction: what does not fit a budget is taken from the end.
fn in_order(tried: impl Iterator<Item = Tried>) -> Vec<Tried> {
    let (mut free, others): (Vec<_>, Vec<_>) = tried.partition(|tried| is_other_rate(&tried.prescription));
    let predictions: Vec<Prediction> = others.iter().map(|tried| tried.prediction.clone()).collect();
    let mut others: Vec<Option<Tried>> = others.into_iter().map(Some).collect();
    free.extend(best_first(&predictions).into_iter().filter_map(|index| others[index].take()));
    free
}

/// What is wrong with a treated network at each learning rate of the search.
fn at_every_rate(treated: &Subject) -> Vec<Vec<Finding>> {
    let rates = learning_rates::grid(treated.recipe.optimizer.learning_rate);
    let at = |rate: f64| {
        let mut recipe = treated.recipe.clone();
        recipe.optimizer.learning_rate = rate;
        diagnose(&Case { recipe: &recipe, ..treated.case() })
    };
    rates.into_iter().map(at).collect()
}

fn mismatch(error: impl std::fmt::Display) -> Error {
    Error::Mismatch(error.to_string())
}

/// Stopped before the untreated network was trained once.
fn nothing_known(stopped: Option<Stopped>, budget: Option<Duration>) -> Error {
    match (stopped, budget) {
        (Some(Stopped::Budget), Some(budget)) => Error::Mismatch(format!(
            "the budget of {} s ended before the untreated network was trained once: give more, or fewer steps",
            budget.as_secs_f64()
        )),
        (Some(_), _) => Error::Interrupted,
        (None, _) => Error::Mismatch("the search ended before its schedule was done".into()),
    }
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
