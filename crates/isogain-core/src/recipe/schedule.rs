//! `[schedule]`: the learning rate as a function of the step alone, so that a resumed run needs no state of it.

use serde::{Deserialize, Serialize};

use super::Recipe;

/// How the learning rate changes over a run, as a factor on `optimizer.learning_rate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Given")]
pub struct Schedule {
    /// Which course.
    pub kind: ScheduleKind,
    /// Steps over which the rate first climbs, in equal parts, to its full size.
    pub warm_up: usize,
    /// Part of the rate that is left at the end (`cosine`).
    pub final_fraction: f64,
    /// Steps between two drops (`step`), counted from the end of the climb.
    pub every: usize,
    /// What the rate is multiplied with at each drop (`step`).
    pub factor: f64,
}

/// Course of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// The same at every step.
    Constant,
    /// A climb, then constant.
    WarmUp,
    /// Along half a cosine, after a climb if there is one.
    Cosine,
    /// Drops by a factor, after a climb if there is one.
    Step,
}

/// What a reader may find: what is left out has the default of its kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    kind: Option<ScheduleKind>,
    warm_up: Option<usize>,
    final_fraction: Option<f64>,
    every: Option<usize>,
    factor: Option<f64>,
}

impl From<Given> for Schedule {
    fn from(given: Given) -> Self {
        let default = Self::of(given.kind.unwrap_or(ScheduleKind::Constant));
        Self {
            kind: default.kind,
            warm_up: given.warm_up.unwrap_or(default.warm_up),
            final_fraction: given.final_fraction.unwrap_or(default.final_fraction),
            every: given.every.unwrap_or(default.every),
            factor: given.factor.unwrap_or(default.factor),
        }
    }
}

/// Steps that a mean over a run looks at.
const SAMPLED: usize = 4096;

impl Schedule {
    /// A course with its usual numbers.
    pub fn of(kind: ScheduleKind) -> Self {
        let warm_up = if kind == ScheduleKind::WarmUp { 100 } else { 0 };
        Self { kind, warm_up, final_fraction: 0.0, every: 1000, factor: 0.1 }
    }

    /// The keys that a kind has.
    pub fn settings(kind: ScheduleKind) -> &'static [&'static str] {
        match kind {
            ScheduleKind::Constant => &[],
            ScheduleKind::WarmUp => &["warm_up"],
            ScheduleKind::Cosine => &["warm_up", "final_fraction"],
            ScheduleKind::Step => &["warm_up", "every", "factor"],
        }
    }

    /// Part of the full rate at `step` (from 0) of `steps`.
    ///
    /// The climb is linear: (step + 1) / warm_up, from 1 / warm_up to 1. Then with t steps since its end and T steps
    /// left at its end: cosine f + (1 - f) (1 + cos(pi t / T)) / 2 (Loshchilov & Hutter 2017), step factor^floor(t /
    /// every).
    pub fn factor(&self, step: usize, steps: usize) -> f64 {
        if self.kind == ScheduleKind::Constant {
            return 1.0;
        }
        if step < self.warm_up {
            return (step + 1) as f64 / self.warm_up as f64;
        }
        let since = step - self.warm_up;
        match self.kind {
            ScheduleKind::Constant | ScheduleKind::WarmUp => 1.0,
            ScheduleKind::Cosine => {
                let left = steps.saturating_sub(self.warm_up).max(1);
                let fallen = (std::f64::consts::PI * (since.min(left) as f64 / left as f64)).cos();
                self.final_fraction + (1.0 - self.final_fraction) * (1.0 + fallen) / 2.0
            }
            ScheduleKind::Step => {
                let drops = since / self.every.max(1);
                self.factor.powi(i32::try_from(drops).unwrap_or(i32::MAX))
            }
        }
    }

    /// Mean of the factor over the steps of a run; over evenly spaced ones where it is long.
    pub fn mean_factor(&self, steps: usize) -> f64 {
        let count = steps.clamp(1, SAMPLED);
        let at = |index: usize| (index as f64 + 0.5) * steps.max(1) as f64 / count as f64;
        (0..count).map(|index| self.factor(at(index) as usize, steps)).sum::<f64>() / count as f64
    }

    /// Whether the course depends on the length of the run.
    pub fn depends_on_length(&self) -> bool {
        self.kind == ScheduleKind::Cosine
    }
}

impl Recipe {
    /// The learning rate at `step` (from 0).
    pub fn learning_rate(&self, step: usize) -> f64 {
        self.optimizer.learning_rate * self.schedule.factor(step, self.run.steps)
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::of(ScheduleKind::Constant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(schedule: &Schedule, steps: usize) -> Vec<f64> {
        (0..steps).map(|step| schedule.factor(step, steps)).collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 1e-15, "step {index}: {found} is not {expected}");
        }
    }

    #[test]
    fn a_climb_begins_with_its_first_part_and_ends_whole() {
        let schedule = Schedule { warm_up: 4, ..Schedule::of(ScheduleKind::WarmUp) };
        close(&factors(&schedule, 6), &[0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        close(&factors(&Schedule::default(), 3), &[1.0; 3]);
    }

    /// torch.optim.lr_scheduler.SequentialLR of LinearLR(1/2, 1, 1) and CosineAnnealingLR(8, eta_min = 0.1), rate 1.
    #[test]
    fn a_cosine_is_pytorchs() {
        let schedule = Schedule { warm_up: 2, final_fraction: 0.1, ..Schedule::of(ScheduleKind::Cosine) };
        let expected = [
            0.5,
            1.0,
            1.0,
            0.965_745_789_630_079,
            0.868_198_051_533_946_4,
            0.722_207_544_564_290_3,
            0.55,
            0.377_792_455_435_709_6,
            0.231_801_948_466_053_65,
            0.134_254_210_369_920_97,
        ];
        close(&factors(&schedule, 10), &expected);
        assert!((schedule.factor(10, 10) - 0.1).abs() < 1e-15 && (schedule.factor(99, 10) - 0.1).abs() < 1e-15);
    }

    /// torch.optim.lr_scheduler.StepLR(3, 0.5).
    #[test]
    fn drops_come_every_so_many_steps_after_the_climb() {
        let schedule = Schedule { every: 3, factor: 0.5, ..Schedule::of(ScheduleKind::Step) };
        close(&factors(&schedule, 7), &[1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
        let schedule = Schedule { warm_up: 2, ..schedule };
        close(&factors(&schedule, 6), &[0.5, 1.0, 1.0, 1.0, 1.0, 0.5]);
        assert_eq!(schedule.factor(usize::MAX, usize::MAX), 0.0);
    }

    #[test]
    fn the_mean_of_a_long_run_is_that_of_its_closed_form() {
        let warm = Schedule { warm_up: 500_000, ..Schedule::of(ScheduleKind::WarmUp) };
        assert!((warm.mean_factor(1_000_000) - 0.75).abs() < 1e-3);
        let cosine = Schedule { final_fraction: 0.2, ..Schedule::of(ScheduleKind::Cosine) };
        assert!((cosine.mean_factor(1_000_000_000) - 0.6).abs() < 1e-3);
        // Short runs exactly: 1/4 + 2/4 + 3/4 + 1 + 1 over 5.
        let short = Schedule { warm_up: 4, ..warm };
        assert_eq!(short.mean_factor(5), 0.7);
    }
}
