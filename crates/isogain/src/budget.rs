//! Time for a search, turned into optimizer updates: the core has no clock.

use std::time::{Duration, Instant};

use isogain_core::trial::plan::Plan;

use crate::Error;
use crate::train::Trainer;
use crate::trials::TrialArm;

/// Share of the time that trials get at most where several run side by side: at the end of a round some wait for others,
/// and two trials at once are each slower than one alone (1.1 times on two cores).
const EFFICIENCY: f64 = 0.8;

/// What the record of a watched step costs more than the step, and the report, in whole trainings.
const RECORD: f64 = 1.5;

/// Updates that are timed, after one that is not: the first one sets memory up.
const TIMED: usize = 2;

/// The time that there is, from its making on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    budget: Option<Duration>,
}

/// What trainings cost on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Seconds of one update of the untreated network.
    update: f64,
    /// Seconds of one training besides its updates: initialising and judging.
    overhead: f64,
    /// An update of each arm in updates of the untreated network.
    costs: Vec<f64>,
    threads: f64,
}

impl Clock {
    pub(crate) fn new(budget: Option<Duration>) -> Self {
        Self { start: Instant::now(), budget }
    }

    /// When everything is to end; `None` without a budget.
    pub(crate) fn deadline(self) -> Option<Instant> {
        Some(self.start + self.budget?)
    }

    /// Seconds left; `None` without a budget.
    pub(crate) fn left(self) -> Option<f64> {
        let deadline = self.deadline()?;
        Some(deadline.saturating_duration_since(Instant::now()).as_secs_f64())
    }
}

impl Pace {
    /// Measures some updates of each arm, and judging of the first one.
    pub(crate) fn of(arms: &[TrialArm], threads: usize) -> Self {
        let (update, overhead) = arms.first().map_or((0.0, 0.0), |untreated| {
            let (seconds, trainer, start) = updates(untreated);
            let judging = Instant::now();
            trainer.outcome(&untreated.data);
            (seconds, start + judging.elapsed().as_secs_f64())
        });
        let cost = |arm: &TrialArm| (updates(arm).0 / update).max(f64::MIN_POSITIVE);
        let others = arms.iter().skip(1).map(|arm| if update > 0.0 { cost(arm) } else { 1.0 });
        let costs = std::iter::once(1.0).chain(others).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { update, overhead, costs, threads: threads.clamp(1, cores) as f64 }
    }

    /// The plan cut down to what `left` seconds allow.
    ///
    /// # Errors
    /// When not even the smallest comparison fits: with what it would take.
    pub(crate) fn fit(&self, plan: &Plan, clock: Clock, left: f64) -> Result<Plan, Error> {
        let mut plan = plan.clone();
        plan.overhead_steps = self.overhead / self.update.max(f64::MIN_POSITIVE);
        for (arm, cost) in plan.arms.iter_mut().zip(&self.costs) {
            arm.cost = *cost;
        }
        let recording = self.recording(&plan);
        let steps = self.updates_in(left - recording);
        plan.within_time(steps).map_err(|error| {
            let isogain_core::trial::error::TrialError::BudgetTooSmall { needed, .. } = error else {
                return Error::Mismatch(error.to_string());
            };
            let gone = clock.start.elapsed().as_secs_f64();
            let seconds = gone + recording + needed as f64 * self.update / (self.threads * EFFICIENCY);
            Error::Mismatch(format!(
                "a budget of {:.0} s is too short: on this machine the smallest fair comparison takes about {:.0} s; give \
                 that much, or fewer run.steps",
                clock.budget.unwrap_or_default().as_secs_f64(),
                seconds.ceil()
            ))
        })
    }

    /// Seconds of the two watched trainings at the end, side by side where there are threads.
    pub(crate) fn recording(&self, plan: &Plan) -> f64 {
        let dearest = self.costs.iter().copied().fold(1.0, f64::max);
        let training = plan.full_steps as f64 * self.update + self.overhead;
        RECORD * training * if self.threads > 1.0 { dearest } else { 1.0 + dearest }
    }

    fn updates_in(&self, seconds: f64) -> usize {
        (seconds.max(0.0) * self.threads * EFFICIENCY / self.update.max(f64::MIN_POSITIVE)) as usize
    }
}

/// Seconds of an update, and of the start.
fn updates(arm: &TrialArm) -> (f64, Trainer, f64) {
    let start = Instant::now();
    let mut trainer = Trainer::new(&arm.recipe, &arm.network, &arm.data, arm.recipe.run.seed);
    let started = start.elapsed().as_secs_f64();
    trainer.advance(&arm.data, false);
    let start = Instant::now();
    for _ in 0..TIMED {
        trainer.advance(&arm.data, false);
    }
    (start.elapsed().as_secs_f64() / TIMED as f64, trainer, started)
}
