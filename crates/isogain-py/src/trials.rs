//! The schedule of trials for Python: asked and told there, decided in the core. Plain data crosses as JSON.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Deserialize;

use isogain_core::remedies::Prescription;
use isogain_core::remedies::prediction::{self, Prediction};
use isogain_core::render::{self, Context, Door, Format, Style};
use isogain_core::summary::{CheckReport, CureReport, Curve, Curves};
use isogain_core::trial::learning_rates::grid;
use isogain_core::trial::left_out::{LeftOut, by_budget};
use isogain_core::trial::pace::Pace;
use isogain_core::trial::plan::{Arm, Plan};
use isogain_core::trial::result::{Finished, TrialReport};
use isogain_core::trial::{Job, Score, random_search, schedule};

/// Job number, arm, learning rate, seed, steps.
type Asked = (usize, usize, f64, u64, usize);

fn asked(job: Job) -> Asked {
    (job.id, job.arm, job.learning_rate, job.seed, job.steps)
}

fn wrong(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// What a search is over: the untreated model at its learning rate, and the arms beside it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    learning_rate: f64,
    seeds: Vec<u64>,
    steps: usize,
    untrained_loss: f64,
    budget_steps: Option<usize>,
    time: Option<Time>,
    arms: Vec<WantedArm>,
}

/// What the search may take, and what trainings cost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    /// Seconds of everything.
    budget: f64,
    /// Seconds of it that are gone, or kept for the report.
    besides: f64,
    /// Seconds of an update of the untreated model.
    update: f64,
    /// Seconds of building and judging it.
    overhead: f64,
    /// An update of each arm in updates of the untreated model, which comes first.
    costs: Vec<f64>,
    /// Trainings side by side.
    at_once: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedArm {
    /// What a report calls it.
    name: String,
    /// How many remedies it applies.
    remedies: usize,
    /// Its only change is this learning rate.
    learning_rate: Option<f64>,
    /// Predicted largest usable learning rate.
    ceiling: Option<f64>,
}

impl Wanted {
    /// What is to be done, and what the time leaves out.
    fn plan(self) -> PyResult<(Plan, Vec<LeftOut>)> {
        let rate = self.learning_rate;
        let names: Vec<String> = self.arms.iter().map(|arm| arm.name.clone()).collect();
        let treated = self.arms.into_iter().map(|arm| match arm.learning_rate {
            Some(other) => Arm::other_learning_rate(on_grid(rate, other)),
            None => Arm::treated(rate, arm.remedies, arm.ceiling),
        });
        let arms = std::iter::once(Arm::untreated(rate)).chain(treated).collect();
        let plan = Plan::usual(arms, rate, self.seeds, self.steps, self.untrained_loss).map_err(wrong)?;
        let plan = match self.budget_steps {
            Some(budget) => plan.within_budget(budget).map_err(wrong)?,
            None => plan,
        };
        let Some(Time { budget, besides, update, overhead, costs, at_once }) = self.time else {
            return Ok((plan, Vec::new()));
        };
        let pace = Pace { update, overhead, costs, threads: at_once as f64 };
        let fitted = pace.fit(&plan, budget - besides);
        let fitted = fitted.map_err(|unfit| PyValueError::new_err(unfit.within(budget, besides, "steps")))?;
        let left_out = by_budget(&plan, &fitted, &names);
        Ok((fitted, left_out))
    }
}

/// The rate of the grid that is meant: a number may lose its last digit on the way through JSON.
fn on_grid(middle: f64, rate: f64) -> f64 {
    let same = |known: &f64| (known / rate - 1.0).abs() < 1e-12;
    grid(middle).into_iter().find(same).unwrap_or(rate)
}

/// The learning rates that a search around this one tries, ascending.
#[pyfunction]
pub(crate) fn learning_rates(learning_rate: f64) -> Vec<f64> {
    grid(learning_rate)
}

/// Successive halving over arms and learning rates with paired seeds. Arm 0 is the untreated model.
#[pyclass(module = "isogain._core")]
pub(crate) struct Schedule(schedule::Schedule, Vec<LeftOut>);

#[pymethods]
impl Schedule {
    #[new]
    fn new(wanted: &str) -> PyResult<Self> {
        let wanted: Wanted = serde_json::from_str(wanted).map_err(wrong)?;
        let (plan, left_out) = wanted.plan()?;
        Ok(Self(schedule::Schedule::new(plan).map_err(wrong)?, left_out))
    }

    /// The next job, or `None` when there is none now.
    fn ask(&mut self) -> Option<Asked> {
        self.0.ask().map(asked)
    }

    /// What came out of a job, as the JSON of a score.
    fn tell(&mut self, id: usize, score: &str) -> PyResult<()> {
        self.0.tell(id, serde_json::from_str::<Score>(score).map_err(wrong)?).map_err(wrong)
    }

    /// Whether every job was answered and no more will be asked.
    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Most optimizer updates of the untreated model and the search.
    fn most_steps(&self) -> usize {
        self.0.plan().untreated_steps() + self.0.plan().most_search_steps()
    }

    /// Learning rates of each arm that the budget left; arm 0 is the untreated model.
    fn learning_rates(&self) -> Vec<Vec<f64>> {
        self.0.plan().arms.iter().map(|arm| arm.learning_rates.clone()).collect()
    }

    /// A random search over the same arms and learning rates with as many steps as this search took; `None` where there is no
    /// time for one.
    fn random_search(&self, seed: u64) -> Option<RandomSearch> {
        let plan = self.0.plan();
        plan.random_search.then(|| RandomSearch(random_search::RandomSearch::new(plan, self.0.search_steps(), seed)))
    }
}

/// Random search over the same space at the same cost.
#[pyclass(module = "isogain._core")]
pub(crate) struct RandomSearch(random_search::RandomSearch);

#[pymethods]
impl RandomSearch {
    /// The next job, or `None` when there is none now.
    fn ask(&mut self) -> Option<Asked> {
        self.0.ask().map(asked)
    }

    /// What came out of a job, as the JSON of a score.
    fn tell(&mut self, id: usize, score: &str) -> PyResult<()> {
        self.0.tell(id, serde_json::from_str::<Score>(score).map_err(wrong)?).map_err(wrong)
    }

    /// Whether every job was answered and no more will be asked.
    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Most optimizer updates it takes: what is asked now, and the best one on every seed.
    fn most_steps(&self) -> usize {
        self.0.total_steps()
    }
}

/// A prescription of the check, and what one batch said of the treated model.
#[derive(Deserialize)]
struct Told {
    #[serde(flatten)]
    prescription: Prescription,
    prediction: Option<Prediction>,
}

/// The trial's report as JSON; `None` while the untreated model has no whole training. Of a search that was stopped it
/// says what is known so far; `stopped` is `interrupted` or `budget` then.
#[pyfunction]
#[pyo3(signature = (schedule, random, prescriptions, seconds, stopped = None))]
pub(crate) fn trial_report(
    schedule: &Schedule,
    random: Option<PyRef<'_, RandomSearch>>,
    prescriptions: &str,
    seconds: f64,
    stopped: Option<&str>,
) -> PyResult<Option<String>> {
    let stopped = stopped.map(|word| serde_json::from_value(word.into())).transpose().map_err(wrong)?;
    let told: Vec<Told> = serde_json::from_str(prescriptions).map_err(wrong)?;
    let (prescriptions, predictions): (Vec<_>, Vec<_>) =
        told.into_iter().map(|told| (told.prescription, told.prediction)).unzip();
    let finished = Finished {
        schedule: &schedule.0,
        random: random.as_ref().map(|random| &random.0),
        prescriptions: &prescriptions,
        predictions: &predictions,
    };
    let left_out = schedule.1.clone();
    let report = finished.so_far(seconds).map(|report| TrialReport { stopped, left_out, ..report });
    report.map(|report| serde_json::to_string(&report)).transpose().map_err(wrong)
}

/// Loss by step of each seed, before and after: seed and losses, `None` where not finite.
#[derive(Deserialize)]
struct Trained {
    before: Vec<(u64, Vec<Option<f64>>)>,
    after: Vec<(u64, Vec<Option<f64>>)>,
}

/// What a cure found out, as the command line's `isogain cure` says it.
#[pyclass(frozen, module = "isogain._core")]
pub(crate) struct Cured(CureReport);

#[pymethods]
impl Cured {
    /// From the JSON of the check, of the trial's report, of losses by step, and of the cured model's flow.
    #[new]
    #[pyo3(signature = (check, trial, curves, cured_flow = None))]
    fn new(check: &str, trial: &str, curves: &str, cured_flow: Option<&str>) -> PyResult<Self> {
        let check: CheckReport = serde_json::from_str(check).map_err(wrong)?;
        let trial: TrialReport = serde_json::from_str(trial).map_err(wrong)?;
        let trained: Trained = serde_json::from_str(curves).map_err(wrong)?;
        let thinned = |of: Vec<(u64, Vec<Option<f64>>)>| {
            of.iter().map(|(seed, losses)| Curve::thinned(*seed, losses)).collect::<Vec<_>>()
        };
        let curves = Curves { before: thinned(trained.before), after: thinned(trained.after), ..Curves::default() };
        let flow = cured_flow.map(serde_json::from_str).transpose().map_err(wrong)?;
        Ok(Self(CureReport::new(check, trial, flow, curves)))
    }

    /// In one of the formats `text`, `json`, `github`, `sarif`, `markdown`.
    #[pyo3(signature = (format = "text", *, colour = false))]
    fn render(&self, format: &str, colour: bool) -> PyResult<String> {
        let format = Format::named(format).map_err(wrong)?;
        let style = if colour { Style::Coloured } else { Style::Plain };
        render::cure(&self.0, format, &Context { style, door: Door::Python, ..Context::default() }).map_err(wrong)
    }

    /// As one page that opens offline.
    fn html(&self) -> PyResult<String> {
        isogain_report::html(&self.0).map_err(wrong)
    }
}

/// Positions that order predictions (JSON, a list) by score, best first.
#[pyfunction]
pub(crate) fn best_first(predictions: &str) -> PyResult<Vec<usize>> {
    let predictions: Vec<Prediction> = serde_json::from_str(predictions).map_err(wrong)?;
    Ok(prediction::best_first(&predictions))
}
