//! The untreated network trained as the recipe asks, before anything is tried: where nothing before training says that it
//! cannot learn, whether it learns decides whether there is anything to cure.

use std::collections::BTreeMap;

use isogain_core::recipe::Level;
use isogain_core::record::{Outcome, StepRecord};
use isogain_core::rules::Finding;
use isogain_core::summary::Curve;
use isogain_core::trial::plan::{Arm, Plan};
use isogain_core::trial::result::{Finished, Stopped, TrialReport};
use isogain_core::trial::schedule::Schedule;
use isogain_core::trial::{Job, Score};

use super::{Stage, Watch, mismatch};
use crate::Error;
use crate::check::Subject;
use crate::run::{Unrecorded, unrecorded};
use crate::trials::{AskTell, Drive, TrialArm};

/// Final loss over that of knowing nothing, at which a network has learnt in spite of a warning: nine tenths of what
/// there was to learn.
const REFUTED: f64 = 0.1;
/// The same where nothing warned: below the chance of the rule `loss-at-chance`.
const LEARNS: f64 = 0.95;

/// Whole trainings of the untreated network at the recipe's learning rate.
pub(super) struct First {
    /// Of the first seed, with what rules say of it; `None` where it was not trained.
    watched: Option<Unrecorded>,
    /// By seed.
    outcomes: BTreeMap<u64, Outcome>,
    rate: f64,
    steps: usize,
    healthy: Option<TrialReport>,
}

impl First {
    /// Trains unless an error before training says that it is in vain: the first seed, and the others where the first one
    /// learns.
    pub(super) fn new(
        subject: &Subject,
        before: &[Finding],
        seeds: &[u64],
        drive: Drive<'_>,
        watch: Watch<'_>,
    ) -> Result<Self, Error> {
        let run = &subject.recipe.run;
        let rate = subject.recipe.optimizer.learning_rate;
        let mut first = Self { watched: None, outcomes: BTreeMap::new(), rate, steps: run.steps, healthy: None };
        if before.iter().any(|finding| finding.level == Level::Deny) {
            return Ok(first);
        }
        (watch.stage)(Stage::Train(run.steps));
        let is_stopped = || drive.stopped().is_some();
        let Some(watched) = unrecorded(subject, &is_stopped)? else {
            return stopped(first, drive);
        };
        first.outcomes.insert(run.seed, watched.outcome.clone());
        let limit = if before.iter().any(|finding| finding.level > Level::Note) { REFUTED } else { LEARNS };
        let baseline = subject.data.summary.baseline_loss;
        let learns = |outcome: &Outcome| {
            outcome.first_non_finite.is_none() && outcome.loss.is_some_and(|loss| loss < limit * baseline)
        };
        let is_ill = watched.findings.iter().any(|finding| finding.level == Level::Deny);
        let is_suspect = is_ill || !learns(&watched.outcome);
        first.watched = Some(watched);
        if is_suspect {
            return Ok(first);
        }
        first.train_others(subject, seeds, drive)?;
        if first.outcomes.len() == seeds.len() && first.outcomes.values().all(learns) {
            first.healthy = Some(first.report(subject, seeds)?);
        }
        Ok(first)
    }

    /// The other seeds, side by side.
    fn train_others(&mut self, subject: &Subject, seeds: &[u64], drive: Drive<'_>) -> Result<(), Error> {
        let mut schedule = self.schedule(subject, seeds)?;
        let outcomes = std::sync::Mutex::new(std::mem::take(&mut self.outcomes));
        let lock = || outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let keep = |job: &Job, outcome: &Outcome| {
            lock().insert(job.seed, outcome.clone());
        };
        let known = |job: &Job| lock().get(&job.seed).cloned();
        let runner = crate::trials::Runner { progress: &keep, ..drive.runner };
        Drive { runner, known: &known, ..drive }
            .run(&mut schedule as &mut dyn AskTell, &[TrialArm::new(subject, subject)])?;
        self.outcomes = outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(())
    }

    /// A plan of nothing but these trainings.
    fn schedule(&self, subject: &Subject, seeds: &[u64]) -> Result<Schedule, Error> {
        let mut untreated = Arm::untreated(self.rate);
        untreated.learning_rates = vec![self.rate];
        let untrained = subject.data.summary.baseline_loss;
        let plan = Plan::alone(untreated, seeds.to_vec(), self.steps, untrained);
        Schedule::new(plan).map_err(mismatch)
    }

    fn report(&self, subject: &Subject, seeds: &[u64]) -> Result<TrialReport, Error> {
        let mut schedule = self.schedule(subject, seeds)?;
        let summary = &subject.data.summary;
        while let Some(job) = schedule.ask() {
            let Some(outcome) = self.outcome(&job) else { break };
            schedule.tell(job.id, Score::new(&outcome, summary, summary)).map_err(mismatch)?;
        }
        let finished = Finished { schedule: &schedule, random: None, prescriptions: &[], predictions: &[] };
        finished.report(0.0).ok_or_else(|| mismatch("a training of the untreated network is missing"))
    }

    /// The report that there is nothing to cure; `None` where something may be.
    pub(super) fn healthy(&self) -> Option<TrialReport> {
        self.healthy.clone()
    }

    /// What is wrong when training is considered; `None` where it was not trained.
    pub(super) fn findings(&self) -> Option<Vec<Finding>> {
        self.watched.as_ref().map(|watched| watched.findings.clone())
    }

    /// Watched steps of the first seed.
    pub(super) fn history(&self) -> &[StepRecord] {
        self.watched.as_ref().map_or(&[], |watched| &watched.history)
    }

    /// What came out of this trial, if it is one of those that were run.
    pub(super) fn outcome(&self, job: &Job) -> Option<Outcome> {
        let is_one = job.arm == 0 && job.learning_rate == self.rate && job.steps == self.steps;
        self.outcomes.get(&job.seed).filter(|_| is_one).cloned()
    }

    /// Loss by step of each seed.
    pub(super) fn curves(&self) -> Vec<Curve> {
        self.outcomes.iter().map(|(seed, outcome)| Curve::thinned(*seed, &outcome.losses)).collect()
    }
}

/// A stop by hand ends everything; of a budget that is over the search itself tells.
fn stopped(first: First, drive: Drive<'_>) -> Result<First, Error> {
    if drive.stopped() == Some(Stopped::Interrupted) { Err(Error::Interrupted) } else { Ok(first) }
}
