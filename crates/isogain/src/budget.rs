//! The time that a search may take, and what trainings cost on this machine: the core has no clock.

use std::time::{Duration, Instant};

use isogain_core::trial::pace::Pace;
use isogain_core::trial::plan::Plan;

use crate::Error;
use crate::train::Trainer;
use crate::trials::TrialArm;

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

    /// The plan cut down to what is left, without what the records at the end take.
    ///
    /// # Errors
    /// When not even the smallest comparison fits: with the budget that it would take.
    pub(crate) fn fit(self, pace: &Pace, plan: &Plan, left: f64) -> Result<Plan, Error> {
        let recording = recording(pace, plan);
        pace.fit(plan, left - recording).map_err(|unfit| {
            let besides = self.start.elapsed().as_secs_f64() + recording;
            Error::Mismatch(unfit.within(self.budget.unwrap_or_default().as_secs_f64(), besides, "run.steps"))
        })
    }
}

/// Measures some updates of each arm, and judging of the first one.
pub(crate) fn measured(arms: &[TrialArm], threads: usize) -> Pace {
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
    Pace { update, overhead, costs, threads: threads.clamp(1, cores) as f64 }
}

/// Seconds of the two watched trainings at the end, side by side where there are threads.
fn recording(pace: &Pace, plan: &Plan) -> f64 {
    let dearest = pace.costs.iter().copied().fold(1.0, f64::max);
    let training = plan.full_steps as f64 * pace.update + pace.overhead;
    RECORD * training * if pace.threads > 1.0 { dearest } else { 1.0 + dearest }
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
