//! Judgement while a network trains in a framework that hands over statistics only: which rules can be trusted then,
//! and when.
//!
//! What is known is less than an engine with full tensors knows: sizes of activations and cotangents in the order of
//! execution, but not which operation feeds which, no splits, no planned end. So each rule says when it may speak
//! ([`sound`]), and what could be an accident of one batch must last for some steps. Nothing is reported twice.

mod coarse;
mod describe;
mod losses;
pub mod schedule;
pub mod sound;

#[cfg(test)]
mod tests;

pub use describe::{Description, LossKind, Operation, OperationKind, OptimizerSeen};

use std::collections::BTreeMap;

use crate::forecast;
use crate::network::Network;
use crate::recipe::{Level, Recipe};
use crate::record::{DataSummary, Snapshot, StepRecord, UnitRecord};
use crate::rules::{Case, Finding, Rule, TABLE, diagnose, gradient_underflow};
use crate::statistics::{Moments, NumberFormat};
use crate::theory::limits::Limits;

use losses::Losses;
use sound::{When, when};

/// Judged steps in a row at which a rule must fire before it is believed.
const LASTS: u32 = 3;
/// Steps that must lie between the first and the last of them: one batch is repeated by none.
const APART: u64 = 4;
/// Records with parameters that are kept for rules about the course of training.
const KEPT: usize = 16;
/// Steps after which rules about the start stay silent where the loss is unknown: nothing tells whether it learned.
const EARLY: u64 = 100;

/// What was measured at one step, beyond its record.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The step as it is written. Tensors that were not measured have a count of 0.
    pub record: Option<StepRecord>,
    /// Dead and saturated units, where they were counted.
    pub units: Vec<UnitRecord>,
    /// Number format of the cotangents narrower than single precision, by operation.
    pub narrow: BTreeMap<String, NumberFormat>,
    /// What the loss was multiplied with before the backward pass; 1 without loss scaling.
    pub loss_scale: f64,
    /// Processes that share a batch: as a number format holds it, a cotangent is this many times the recorded one.
    pub processes: usize,
}

/// Judges a run as it goes.
#[derive(Debug)]
pub struct Online {
    description: Description,
    network: Network,
    recipe: Recipe,
    data: DataSummary,
    limits: Option<Limits>,
    losses: Losses,
    /// Records with parameters, for rules about what training did; the last [`KEPT`].
    kept: Vec<StepRecord>,
    /// The last known statistics of each parameter and joint: a step need not measure everything.
    last: coarse::Known,
    /// For each rule: judged steps in a row at which it fired, and the first of them.
    streaks: BTreeMap<&'static str, (u32, u64)>,
    reported: BTreeMap<String, Level>,
}

impl Online {
    /// For a network of this description.
    pub fn new(description: Description) -> Self {
        let (network, recipe, data) = (description.network(), description.recipe(), description.data());
        let losses = Losses::new(description.loss_known(), description.baseline);
        Self {
            description,
            network,
            recipe,
            data,
            limits: None,
            losses,
            kept: Vec::new(),
            last: coarse::Known::default(),
            streaks: BTreeMap::new(),
            reported: BTreeMap::new(),
        }
    }

    /// The network as it was understood.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Settings as far as they are known, in the terms of a recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// What the data looks like, as far as it is known.
    pub fn data(&self) -> &DataSummary {
        &self.data
    }

    /// Takes note of a loss; needed at every step where it is known, measured or not.
    pub fn loss(&mut self, step: u64, loss: f64) {
        self.losses.push(step, loss);
        self.data.baseline_loss = self.losses.baseline();
    }

    /// Takes note of the learning rate; the largest so far counts, so that a warm-up is not taken for a low rate.
    pub fn learning_rate(&mut self, rate: f64) {
        let known = &mut self.recipe.optimizer.learning_rate;
        *known = known.max(rate);
    }

    /// Whether the loss just noted is worth a judgement even where nothing was measured.
    pub fn loss_alarms(&self) -> bool {
        self.losses.runs_away()
    }

    /// What is wrong now and was not reported before, causes first.
    pub fn observe(&mut self, observed: &Observed) -> Vec<Finding> {
        let step = match &observed.record {
            Some(record) => {
                self.last.absorb(record);
                if record.parameters.iter().any(|parameter| parameter.update.count > 0) {
                    self.kept.push(StepRecord {
                        parameters: record.parameters.clone(),
                        clip: record.clip,
                        joints: Vec::new(),
                        snapshot: None,
                        histograms: Vec::new(),
                        ..*record
                    });
                    if self.kept.len() > KEPT {
                        self.kept.remove(0);
                    }
                }
                record.step
            }
            None => self.losses.last_step().unwrap_or(0),
        };
        let snapshot = self.last.snapshot(&self.description, &self.network, observed, step, self.losses.last());
        if self.limits.is_none() && observed.record.is_some() {
            self.limits = Some(forecast::limits(&self.network, &self.recipe, &snapshot));
        }
        let Some(limits) = self.limits.clone().or_else(|| Some(no_limits())) else { return Vec::new() };
        let history = self.history();
        let found = {
            let case = self.case(&snapshot, &limits, &history);
            let narrow =
                gradient_underflow::in_format(&case, &observed.narrow, observed.loss_scale, observed.processes);
            self.judge(&case, step, observed.record.is_some(), narrow.as_ref())
        };
        let Judgement { streaks, believed, narrow } = found;
        self.streaks = streaks;
        // Said once; again only if it has become worse.
        let is_news =
            |(name, level): &(&'static str, Level)| self.reported.get(*name).is_none_or(|known| level > known);
        let news: Vec<&str> = believed.iter().filter(|found| is_news(found)).map(|(name, _)| *name).collect();
        if news.is_empty() {
            return Vec::new();
        }
        let mut recipe = self.recipe.clone();
        for rule in TABLE {
            if !news.contains(&rule.name) {
                recipe.rules.insert(rule.name.into(), Level::Allow);
            }
        }
        let case = Case { recipe: &recipe, ..self.case(&snapshot, &limits, &history) };
        let mut findings = diagnose(&case);
        if let Some(finding) = narrow.filter(|_| !named(&findings, gradient_underflow::RULE.name)) {
            findings.insert(0, finding);
        }
        for finding in &mut findings {
            self.finish(finding, step);
        }
        findings
    }

    fn case<'a>(&'a self, start: &'a Snapshot, limits: &'a Limits, history: &'a [StepRecord]) -> Case<'a> {
        Case { history, ..Case::before_training(&self.network, &self.recipe, &self.data, start, limits) }
    }

    /// The losses as records, and the records with parameters in their places.
    fn history(&self) -> Vec<StepRecord> {
        let mut history = self.losses.records();
        for kept in &self.kept {
            match history.binary_search_by_key(&kept.step, |record| record.step) {
                Ok(at) => history[at].parameters.clone_from(&kept.parameters),
                Err(at) => history.insert(at, StepRecord { loss: self.losses.filler(), ..kept.clone() }),
            }
        }
        history
    }

    /// Asks each rule that may speak now, and believes what has lasted.
    fn judge(&self, case: &Case<'_>, step: u64, measured: bool, narrow: Option<&Finding>) -> Judgement {
        let learning = self.losses.learned().map_or(step < EARLY, |learned| !learned);
        let mut judgement = Judgement { streaks: BTreeMap::new(), believed: Vec::new(), narrow: narrow.cloned() };
        let broken = case.start.joints.iter().any(|joint| joint.activation.non_finite + joint.cotangent.non_finite > 0)
            || case.start.parameters.iter().any(|p| p.gradient.non_finite + p.weight.non_finite > 0);
        for rule in TABLE {
            let may = match when(rule.name) {
                When::Never(_) => false,
                When::Finite | When::Loss => true,
                // Sizes measured beside NaN say nothing.
                When::Start => measured && step == 0 && !broken,
                When::Lasting => measured && learning && !broken,
                When::Chain => measured && learning && !broken && self.description.is_chain(),
                When::Always => measured && !broken,
                When::Planned => measured && learning && !broken && self.description.starts_untrained(&self.losses),
            };
            let may = may
                && match when(rule.name) {
                    When::Planned => self.description.steps.is_some(),
                    When::Loss => self.losses.runs_away(),
                    _ => true,
                };
            let in_narrow = rule.name == gradient_underflow::RULE.name && narrow.is_some();
            let known = if in_narrow { narrow.map(|finding| finding.level) } else { None };
            let found = if may { known.or_else(|| self.ask(rule, case)) } else { None };
            let Some(level) = found else {
                // Where nothing was measured nothing was refuted.
                if let (false, Some(streak)) = (measured, self.streaks.get(rule.name)) {
                    judgement.streaks.insert(rule.name, *streak);
                }
                continue;
            };
            let (count, first) = self.streaks.get(rule.name).map_or((1, step), |(count, first)| (count + 1, *first));
            judgement.streaks.insert(rule.name, (count, first));
            let immediate = matches!(when(rule.name), When::Start | When::Finite)
                || (matches!(when(rule.name), When::Loss) && self.losses.ended());
            if immediate || (count >= LASTS && step - first >= APART) {
                judgement.believed.push((rule.name, level));
            }
        }
        judgement
    }

    /// What a rule says, as far as it can be trusted.
    fn ask(&self, rule: &Rule, case: &Case<'_>) -> Option<Level> {
        let finding = (rule.check)(case)?;
        // Where only some operations are seen in order, growth of activations from the first to the last one may be that
        // between a branch and the stream, and a first step as large as the weights is no illness by itself in networks
        // that normalise before each branch: the scale of most weights means nothing there. What is left is the first
        // number of their evidence: the loss, and growth beyond any that is tolerated.
        if matches!(rule.name, "exploding-activation" | "exploding-gradient") && !self.description.is_chain() {
            let decides = finding.evidence.first()?;
            return (decides.value? > decides.threshold?).then_some(finding.level);
        }
        Some(finding.level)
    }

    /// Adds the step, and leaves theory out where it speaks of another kind of network.
    fn finish(&mut self, finding: &mut Finding, step: u64) {
        if finding.step == 0 {
            finding.step = step;
        }
        if !self.description.is_chain() && finding.rule != "gradient-underflow" {
            finding.theory = None;
        }
        let known = self.reported.entry(finding.rule.clone()).or_insert(finding.level);
        *known = finding.level.max(*known);
        let mut consequences = std::mem::take(&mut finding.consequences);
        for consequence in &mut consequences {
            self.finish(consequence, step);
        }
        finding.consequences = consequences;
    }
}

/// What the rules said at one step.
struct Judgement {
    streaks: BTreeMap<&'static str, (u32, u64)>,
    believed: Vec<(&'static str, Level)>,
    narrow: Option<Finding>,
}

fn named(findings: &[Finding], rule: &str) -> bool {
    findings.iter().any(|finding| finding.rule == rule || named(&finding.consequences, rule))
}

fn no_limits() -> Limits {
    Limits { trainable_depth: None, binding: None, ceilings: Vec::new(), gradient_rms_per_layer: None }
}

/// Whether a tensor was measured.
fn measured(moments: &Moments) -> bool {
    moments.count > 0
}
