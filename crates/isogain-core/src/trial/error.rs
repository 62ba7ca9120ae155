//! What can be wrong with a plan or with what a schedule is told.

use thiserror::Error;

/// A plan that cannot be carried out, or an answer nobody asked for.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TrialError {
    /// There is nothing to compare with.
    #[error("a plan needs arm 0, the untreated network")]
    NoBaseline,
    /// An arm without a learning rate.
    #[error("arm {arm} has no learning rate to try")]
    NoLearningRate {
        /// The arm.
        arm: usize,
    },
    /// A learning rate no optimizer can use.
    #[error("arm {arm} has learning rate {learning_rate}: it must be finite and above 0")]
    BadLearningRate {
        /// The arm.
        arm: usize,
        /// The value.
        learning_rate: f64,
    },
    /// An arm is tried at a learning rate that the untreated network is not tried at.
    #[error(
        "arm {arm} is tried at learning rate {learning_rate}, the untreated network is not: the comparison would not be fair"
    )]
    UnfairLearningRate {
        /// The arm.
        arm: usize,
        /// The value.
        learning_rate: f64,
    },
    /// No seed, or one seed twice.
    #[error("the seeds {seeds:?} are not at least one and all different")]
    BadSeeds {
        /// The seeds.
        seeds: Vec<u64>,
    },
    /// A rung that is not between its neighbours, or that shares a seed with the verdict.
    #[error(
        "rung {rung} has {steps} steps and seeds {seeds:?}: steps must rise and stay below {full_steps}, and no seed may be one that verdicts rest on"
    )]
    BadRung {
        /// The rung.
        rung: usize,
        /// Its steps.
        steps: usize,
        /// Its seeds.
        seeds: Vec<u64>,
        /// Steps of a whole training.
        full_steps: usize,
    },
    /// The smallest fair comparison costs more than the budget.
    #[error(
        "{needed} steps are needed for the untreated network, one remedy and a random search of the same cost; the budget is {budget}"
    )]
    BudgetTooSmall {
        /// Steps needed.
        needed: usize,
        /// Steps allowed.
        budget: usize,
    },
    /// An answer for a job that was not handed out, or that was answered before.
    #[error("job {id} is not being waited for")]
    UnexpectedAnswer {
        /// The job.
        id: usize,
    },
}
