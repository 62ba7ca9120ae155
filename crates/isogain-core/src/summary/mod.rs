//! What a command found out, as plain data: the JSON that `check` and `cure` print, and what every other format shows.
//!
//! The field order is the order of the JSON. `schema/check.schema.json` and `schema/cure.schema.json` in the repository
//! describe it; a change that removes or renames a field raises the number in [`CHECK_SCHEMA`] or [`CURE_SCHEMA`].

use serde::{Deserialize, Serialize};

mod curve;
pub mod phase_map;
mod remark;
pub mod reproduction;
pub mod smoothness;

pub use curve::{Curve, Curves, TriedCurves};
pub use remark::Remark;

use crate::flow::Flow;
use crate::recipe::{Level, Recipe};
use crate::rules::Finding;
use crate::rules::differential::Told;
use crate::statistics::median;
use crate::theory::limits::Limits;
use crate::trial::result::{Cure, PrescriptionResult, TrialReport};
use crate::trial::{SeedScore, Verdict};

/// Name and version of the document that `check` prints.
pub const CHECK_SCHEMA: &str = "isogain-check/1";

/// Name and version of the document that `cure` prints.
pub const CURE_SCHEMA: &str = "isogain-cure/1";

/// What `check` found out before training: one batch, and theory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// [`CHECK_SCHEMA`].
    pub schema: String,
    /// The recipe that was checked, every default written out.
    pub recipe: Recipe,
    /// Seed of initialisation, split and order of the data.
    pub seed: u64,
    /// What is wrong, the worst first; consequences inside their cause.
    pub findings: Vec<Finding>,
    /// What there is to say besides.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub remarks: Vec<Remark>,
    /// The gradient's way back through the network on one batch.
    pub flow: Flow,
    /// Which of five kinds of illness the gradient has; empty where nobody asked.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub differential: Vec<Told>,
    /// How deep this kind of network can be trained, by theory.
    pub limits: Limits,
}

impl CheckReport {
    /// The document for these results.
    pub fn new(recipe: Recipe, findings: Vec<Finding>, flow: Flow, limits: Limits) -> Self {
        let (schema, seed) = (CHECK_SCHEMA.to_owned(), recipe.run.seed);
        Self { schema, seed, recipe, findings, remarks: Vec::new(), flow, differential: Vec::new(), limits }
    }

    /// The same with the kinds of illness told apart.
    #[must_use]
    pub fn with_differential(self, differential: Vec<Told>) -> Self {
        Self { differential, ..self }
    }

    /// The same with these remarks.
    #[must_use]
    pub fn with_remarks(self, remarks: Vec<Remark>) -> Self {
        Self { remarks, ..self }
    }

    /// How loudly each finding and each remark speaks.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        let findings = self.findings.iter().map(|finding| finding.level);
        findings.chain(self.remarks.iter().map(|remark| remark.level))
    }
}

/// What `cure` found out: the diagnosis, what was tried, and what was proved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CureReport {
    /// [`CURE_SCHEMA`].
    pub schema: String,
    /// The recipe to be cured, every default written out.
    pub recipe: Recipe,
    /// The recipe's seed; the seeds of the trial stand with each training.
    pub seed: u64,
    /// The diagnosis before treatment.
    pub check: CheckReport,
    /// The untreated network, random search, what was tried, the cure, and what it cost; on the same level in JSON.
    #[serde(flatten)]
    pub trial: TrialReport,
    /// The gradient's way back through the cured network before training, on the same batch; `None` without a cure.
    pub cured_flow: Option<Flow>,
    /// Loss by step, before and after treatment.
    pub curves: Curves,
}

impl CureReport {
    /// The document for these results.
    pub fn new(check: CheckReport, trial: TrialReport, cured_flow: Option<Flow>, curves: Curves) -> Self {
        let (recipe, seed) = (check.recipe.clone(), check.seed);
        Self { schema: CURE_SCHEMA.to_owned(), recipe, seed, check, trial, cured_flow, curves }
    }

    /// Whether a prescription was trained to the end on every seed, so that its verdict means something.
    pub fn is_finished(&self, result: &PrescriptionResult) -> bool {
        !result.seeds.is_empty() && result.steps == self.recipe.run.steps
    }

    /// What was trained to the end: the cure first, then by verdict, then by median loss.
    pub fn finished(&self) -> Vec<&PrescriptionResult> {
        let cure = self.trial.cure.as_ref().map(|cure| cure.prescription);
        let finished = self.trial.prescriptions.iter().enumerate().filter(|(_, result)| self.is_finished(result));
        let mut ranked: Vec<(usize, &PrescriptionResult)> = finished.collect();
        let rank = |index: usize, result: &PrescriptionResult| {
            let verdict = match result.verdict {
                Verdict::Improves => 0,
                Verdict::Inconclusive => 1,
                Verdict::NoEffect => 2,
                Verdict::Harms => 3,
            };
            (Some(index) != cure, verdict)
        };
        ranked.sort_by(|(i, a), (j, b)| {
            let losses = [a, b].map(|result| median_loss(&result.seeds).unwrap_or(f64::INFINITY));
            rank(*i, a).cmp(&rank(*j, b)).then(losses[0].total_cmp(&losses[1]))
        });
        ranked.into_iter().map(|(_, result)| result).collect()
    }

    /// What was left behind: the prescriptions that ran longest first.
    pub fn dropped(&self) -> Vec<&PrescriptionResult> {
        let mut dropped: Vec<&PrescriptionResult> =
            self.trial.prescriptions.iter().filter(|result| !self.is_finished(result)).collect();
        dropped.sort_by_key(|result| std::cmp::Reverse(result.steps));
        dropped
    }

    /// The prescription to take, and its trial; `None` when nothing improves.
    pub fn cure(&self) -> Option<(&Cure, &PrescriptionResult)> {
        let cure = self.trial.cure.as_ref()?;
        Some((cure, self.trial.prescriptions.get(cure.prescription)?))
    }
}

/// Median of the losses over seeds, one that is not finite counting as infinite; `None` when that is the median, or
/// without seeds.
pub fn median_loss(seeds: &[SeedScore]) -> Option<f64> {
    median(seeds.iter().map(|seed| seed.score.loss.unwrap_or(f64::INFINITY))).filter(|loss| loss.is_finite())
}

/// Median over seeds of the training accuracy; `None` for regression.
pub fn median_train_accuracy(seeds: &[SeedScore]) -> Option<f64> {
    median(seeds.iter().filter_map(|seed| seed.score.train_accuracy))
}

/// Median over seeds of the test accuracy; `None` for regression.
pub fn median_test_accuracy(seeds: &[SeedScore]) -> Option<f64> {
    median(seeds.iter().filter_map(|seed| seed.score.test_accuracy))
}
