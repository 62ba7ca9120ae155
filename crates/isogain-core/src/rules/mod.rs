//! What is wrong: one rule, one file, one page. Rules read the network, the settings and what was measured; they name
//! remedies only by name.
//!
//! [`TABLE`] is the registry, and its order is the rank: a finding that another, earlier one explains is nested under
//! it by [`diagnose()`], so that one cause is named first.

mod attention;
mod attention_entropy_collapse;
mod batch_norm_depth;
mod blocked_output;
mod clipping_dominates;
mod dead_units;
mod diagnose;
pub mod differential;
mod diverging_loss;
mod exactly_zero_gradient;
mod expectation;
mod exploding_activation;
mod exploding_gradient;
mod exploding_through_time;
mod fan_mismatch;
mod finding;
mod forget_gate_closed;
mod forward_overflow;
mod frozen_embedding;
mod frozen_layer;
mod gradient_below_eps;
pub(crate) mod gradient_underflow;
mod inconsistent_gradient;
mod learning_rate_too_high;
mod learning_rate_too_low;
mod logit_growth;
mod loss_at_chance;
mod measure;
mod non_finite;
mod norm_placement;
pub mod page;
mod plateau;
mod rank_collapse;
mod saturated_head;
mod saturated_units;
pub mod severity;
mod shattered_gradient;
mod slope;
pub(crate) mod small_batch_norm;
mod stale_statistics;
mod symmetric_weights;
mod time;
mod too_few_steps;
mod unscaled_input;
mod unscaled_residual;
mod unscaled_target;
mod vanishing_activation;
mod vanishing_gradient;
mod vanishing_through_time;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::recipe::{Level, Recipe};
use crate::record::{DataSummary, Outcome, Snapshot, StepRecord};
use crate::theory::limits::Limits;

pub use crate::flow::CauseShare;
pub use diagnose::diagnose;
pub(crate) use finding::{about_layers, factor, number};

/// Everything a rule may look at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The network.
    pub network: &'a Network,
    /// Optimizer, clipping, batch, precision and levels.
    pub recipe: &'a Recipe,
    /// What the data looks like to the network.
    pub data: &'a DataSummary,
    /// One batch before training.
    pub start: &'a Snapshot,
    /// What theory expects of this network.
    pub limits: &'a Limits,
    /// Watched steps so far, oldest first; empty before training.
    pub history: &'a [StepRecord],
    /// One batch at the end of training.
    pub end: Option<&'a Snapshot>,
    /// How training ended; `None` before and during training.
    pub outcome: Option<&'a Outcome>,
}

impl<'a> Case<'a> {
    /// The case of a network that was not trained yet.
    pub fn before_training(
        network: &'a Network,
        recipe: &'a Recipe,
        data: &'a DataSummary,
        start: &'a Snapshot,
        limits: &'a Limits,
    ) -> Self {
        Self { network, recipe, data, start, limits, history: &[], end: None, outcome: None }
    }
}

/// Something that is wrong, with the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: String,
    /// How bad it is; `error`, `warning` or `note` in JSON.
    #[serde(with = "severity")]
    pub level: Level,
    /// First and last operation concerned, in forward order.
    pub layers: [String; 2],
    /// Step at which it was seen; 0 is before training.
    pub step: u64,
    /// One sentence that stands alone.
    pub message: String,
    /// The numbers behind it.
    pub evidence: Vec<Evidence>,
    /// The factors of the chain rule behind it, largest first; empty where the rule is not about a gain.
    pub causes: Vec<CauseShare>,
    /// What theory expects, one line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub theory: Option<String>,
    /// Names of remedies, the first to try first.
    pub remedies: Vec<String>,
    /// Findings that follow from this one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub consequences: Vec<Finding>,
}

/// A number, what it is compared with, and where that comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was measured, with its unit.
    pub name: String,
    /// The value; `None` when it is not finite.
    pub value: Option<f64>,
    /// What it was compared with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub threshold: Option<f64>,
    /// Why that threshold: theory, or a source.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub source: String,
}

/// A rule: one line of the table.
#[derive(Debug)]
pub struct Rule {
    /// Primary name, kebab-case, for the pattern.
    pub name: &'static str,
    /// Short stable code.
    pub code: &'static str,
    /// One line for the list of rules.
    pub summary: &'static str,
    /// The page: documentation, text of `explain`, and a test.
    pub page: &'static str,
    /// Rules whose findings are consequences of this one when both fire.
    pub explains: &'static [&'static str],
    /// Looks for the pattern.
    pub check: fn(&Case<'_>) -> Option<Finding>,
}

/// Every rule. The order is the rank: causes before their consequences.
pub static TABLE: [&Rule; 38] = [
    &unscaled_input::RULE,
    &unscaled_target::RULE,
    &symmetric_weights::RULE,
    &blocked_output::RULE,
    &fan_mismatch::RULE,
    &unscaled_residual::RULE,
    &small_batch_norm::RULE,
    &inconsistent_gradient::RULE,
    &norm_placement::RULE,
    &batch_norm_depth::RULE,
    &logit_growth::RULE,
    &attention_entropy_collapse::RULE,
    &rank_collapse::RULE,
    &saturated_head::RULE,
    &forward_overflow::RULE,
    &exploding_through_time::RULE,
    &exploding_activation::RULE,
    &vanishing_activation::RULE,
    &saturated_units::RULE,
    &forget_gate_closed::RULE,
    &vanishing_through_time::RULE,
    &exploding_gradient::RULE,
    &vanishing_gradient::RULE,
    &shattered_gradient::RULE,
    &gradient_underflow::RULE,
    &gradient_below_eps::RULE,
    &learning_rate_too_high::RULE,
    &dead_units::RULE,
    &exactly_zero_gradient::RULE,
    &learning_rate_too_low::RULE,
    &clipping_dominates::RULE,
    &frozen_embedding::RULE,
    &frozen_layer::RULE,
    &diverging_loss::RULE,
    &non_finite::RULE,
    &stale_statistics::RULE,
    &loss_at_chance::RULE,
    &too_few_steps::RULE,
];

/// The rule of that name.
pub fn named(name: &str) -> Option<&'static Rule> {
    TABLE.iter().find(|rule| rule.name == name).copied()
}
