//! Time for a search, turned into optimizer updates. An engine measures what trainings cost; nothing here reads a clock.

use thiserror::Error;

use super::error::TrialError;
use super::plan::Plan;

/// Share of the time that trials get at most where several run side by side: at the end of a round some wait for others,
/// and two trials at once are each slower than one alone (1.1 times on two cores).
const EFFICIENCY: f64 = 0.8;

/// What trainings cost on a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Seconds of one update of the untreated network.
    pub update: f64,
    /// Seconds of one training besides its updates: initialising and judging.
    pub overhead: f64,
    /// An update of each arm in updates of the untreated network, arm 0.
    pub costs: Vec<f64>,
    /// Trainings side by side.
    pub threads: f64,
}

/// Why no plan fits a time.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Unfit {
    /// Not even the smallest comparison is done by then.
    #[error("the smallest fair comparison takes about {seconds:.0} s")]
    TooShort {
        /// Seconds that it takes.
        seconds: f64,
    },
    /// The plan itself is at fault.
    #[error(transparent)]
    Plan(#[from] TrialError),
}

impl Unfit {
    /// What somebody is told whose search was to take `budget` seconds, `besides` of which go into something else. `steps` is what
    /// they call the updates of a training.
    pub fn within(&self, budget: f64, besides: f64, steps: &str) -> String {
        match self {
            Self::TooShort { seconds } => format!(
                "a budget of {budget:.0} s is too short: on this machine the smallest fair comparison takes about {:.0} s; give \
                 that much, or fewer {steps}",
                (besides + seconds).ceil()
            ),
            Self::Plan(error) => error.to_string(),
        }
    }
}

impl Pace {
    /// The plan cut down to what `seconds` allow.
    ///
    /// # Errors
    /// When not even the smallest comparison fits: with what it would take.
    pub fn fit(&self, plan: &Plan, seconds: f64) -> Result<Plan, Unfit> {
        let mut plan = plan.clone();
        plan.overhead_steps = self.overhead / self.update.max(f64::MIN_POSITIVE);
        for (arm, cost) in plan.arms.iter_mut().zip(&self.costs) {
            arm.cost = *cost;
        }
        let at_once = self.threads * EFFICIENCY / self.update.max(f64::MIN_POSITIVE);
        plan.within_time((seconds.max(0.0) * at_once) as usize).map_err(|error| match error {
            TrialError::BudgetTooSmall { needed, .. } => Unfit::TooShort { seconds: needed as f64 / at_once },
            other => other.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::plan::Arm;

    fn plan() -> Plan {
        let arms = std::iter::once(Arm::untreated(0.1)).chain((0..8).map(|_| Arm::treated(0.1, 1, None))).collect();
        Plan::usual(arms, 0.1, vec![0, 1, 2], 1000, 2.3).unwrap()
    }

    fn pace(update: f64, threads: f64) -> Pace {
        Pace { update, overhead: 10.0 * update, costs: vec![1.0; 9], threads }
    }

    #[test]
    fn time_is_updates_of_all_threads() {
        let wanted = Plan { overhead_steps: 10.0, ..plan() };
        let fitted = pace(1e-3, 2.0).fit(&plan(), 30.0).unwrap();
        assert_eq!(fitted, wanted.within_time(48_000).unwrap());
        assert!(fitted.most_steps() <= 48_000 && fitted != wanted);
        assert_eq!(pace(2e-3, 4.0).fit(&plan(), 30.0), Ok(fitted), "half the speed on twice the threads");
    }

    #[test]
    fn too_short_a_time_says_what_is_needed() {
        let Err(Unfit::TooShort { seconds }) = pace(1e-3, 1.0).fit(&plan(), 1.0) else { panic!("it cannot fit") };
        assert!(pace(1e-3, 1.0).fit(&plan(), 1.001 * seconds).is_ok());
        assert!(pace(1e-3, 1.0).fit(&plan(), 0.99 * seconds).is_err());
    }

    #[test]
    fn a_dear_arm_is_counted_as_such() {
        let wanted = Plan { overhead_steps: 10.0, ..plan() };
        let all = 1e-3 / EFFICIENCY * (1 + wanted.most_steps()) as f64;
        let dear = Pace { costs: vec![1.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0], ..pace(1e-3, 1.0) };
        assert_eq!(pace(1e-3, 1.0).fit(&plan(), all).unwrap().arms.len(), 9);
        assert!(dear.fit(&plan(), all).unwrap().arms.len() < 9);
    }
}
