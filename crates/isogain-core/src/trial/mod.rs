//! What happened: the schedule of trials (ask/tell), the paired comparison and the verdict.
//!
//! The core says which arm, learning rate, seed and number of steps comes next and is told what came out; any engine
//! runs what it is asked. So every engine searches, prunes and judges alike.

use serde::{Deserialize, Serialize};

use crate::record::{DataSummary, Outcome};

pub mod error;
pub mod learning_rates;
pub mod left_out;
pub mod pace;
pub mod paired;
pub mod plan;
mod queue;
pub mod random_search;
pub mod result;
pub mod schedule;
pub mod signed_rank;
pub mod verdict;

#[cfg(test)]
mod simulation;

/// One training to run: asked for by the schedule, run by any engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Number of the job, in the order asked.
    pub id: usize,
    /// Which arm (index into the arms given to the schedule).
    pub arm: usize,
    /// Step size.
    pub learning_rate: f64,
    /// Seed of initialisation and order of the data; the same seeds for every arm.
    pub seed: u64,
    /// Optimizer updates.
    pub steps: usize,
}

/// What came out of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Loss on the whole training part, evaluation mode; `None` when not finite.
    pub loss: Option<f64>,
    /// Training accuracy; `None` for regression.
    pub train_accuracy: Option<f64>,
    /// Test accuracy; `None` for regression.
    pub test_accuracy: Option<f64>,
    /// Test loss; `None` when not finite.
    pub test_loss: Option<f64>,
}

impl Score {
    /// What a training's outcome is worth, its losses in the units of the untreated recipe.
    ///
    /// `data` is what the network was trained on, `untreated` the same data as the untreated recipe sees it. A remedy that
    /// scales a regression target makes the squared error smaller without predicting any better; the loss of predicting
    /// the mean shrinks alike, so that the ratio of the two baselines takes it back. Classes have no scale; another loss
    /// of theirs is told as the untreated recipe's by whoever trains.
    pub fn new(outcome: &Outcome, data: &DataSummary, untreated: &DataSummary) -> Self {
        let ratio = untreated.baseline_loss / data.baseline_loss;
        let factor = if untreated.classes.is_none() && ratio.is_finite() { ratio } else { 1.0 };
        let broken = outcome.first_non_finite.is_some();
        let in_units = |loss: Option<f64>| loss.filter(|_| !broken).map(|loss| factor * loss);
        Self {
            loss: in_units(outcome.loss),
            train_accuracy: outcome.train_accuracy,
            test_accuracy: outcome.test_accuracy,
            test_loss: in_units(outcome.test_loss),
        }
    }
}

/// One seed's job and what came out of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedScore {
    /// Seed of initialisation and order of the data.
    pub seed: u64,
    /// What came out.
    #[serde(flatten)]
    pub score: Score,
}

/// What a trial says of an arm against the untreated network at its own best learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Better on the paired seeds.
    Improves,
    /// No difference that matters.
    NoEffect,
    /// Worse on the paired seeds.
    Harms,
    /// Seeds disagree, or too few were run.
    Inconclusive,
}
