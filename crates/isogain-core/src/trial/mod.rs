//! What happened: the schedule of trials (ask/tell), the paired comparison and the verdict.

use serde::{Deserialize, Serialize};

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
