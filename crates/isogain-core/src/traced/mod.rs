//! A model of another framework, as it ran on one batch: an engine lists the operations and hands over the buffers, and
//! everything after that is the same as for a recipe's network.
//!
//! The list is JSON ([`Traced`]); buffers are numbers into a list of [`Values`]. A model has no recipe, and rules and
//! remedies read one: [`Subject::recipe`] says in a recipe's words what the model amounts to.

mod buffers;
mod changes;
mod description;
mod laws;
mod network;
mod recipe;

use thiserror::Error;

use crate::flow::capture::{Capture, CaptureError};
use crate::flow::counterfactual::{counterfactual, follows_others};
use crate::flow::jacobian::jacobian;
use crate::flow::path_lengths::path_lengths;
use crate::flow::{Asked, Flow, Values};
use crate::forecast;
use crate::network::{Loss, Network, Shape};
use crate::recipe::Recipe;
use crate::record::{DataSummary, Snapshot};
use crate::remedies::Prescription;
use crate::remedies::prescriptions::prescriptions;
use crate::rules::differential::differential;
use crate::rules::{Case, Finding, diagnose};
use crate::summary::{CheckReport, Remark};
use crate::theory::limits::Limits;

use buffers::Buffers;
use network::{details, ops, with_output};

pub use changes::{Changes, Settings, Skip};
pub use description::{
    AttentionShape, BufferId, States, Traced, TracedArc, TracedBias, TracedData, TracedKind, TracedOp, TracedOwn,
    TracedParameter, TracedPath, TracedRehearsal,
};

/// Why a trace cannot be used.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The description is not what it should be.
    #[error("the trace cannot be read: {0}")]
    Description(#[from] serde_json::Error),
    /// A number of a buffer that does not exist.
    #[error("{op}: buffer {buffer} is not among the {count} that came with the trace")]
    Buffer {
        /// The operation or parameter.
        op: String,
        /// The number.
        buffer: BufferId,
        /// Buffers there are.
        count: usize,
    },
    /// Buffers that do not fit together.
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

/// A traced model, ready for rules and remedies.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The model as plain data.
    pub network: Network,
    /// What it amounts to in a recipe's words.
    pub recipe: Recipe,
    /// What the batch looks like.
    pub data: DataSummary,
    /// The batch, with full tensors at hand.
    pub start: Snapshot,
    /// What theory expects.
    pub limits: Limits,
    /// What was seen besides.
    pub remarks: Vec<Remark>,
}

impl Subject {
    /// Reads a trace.
    ///
    /// # Errors
    /// A description that is not one, or buffers that do not fit it.
    pub fn new(description: &str, buffers: &[Values]) -> Result<Self, TraceError> {
        let traced: Traced = serde_json::from_str(description)?;
        let buffers = Buffers(buffers);
        let capture = Capture::new(traced.batch, buffers.captures(&traced.ops)?, traced.loss.unwrap_or(f64::NAN))?;
        let parameters = buffers.parameters(&traced.parameters)?;
        let mut start = Snapshot::of(&capture, parameters, 0);
        if traced.counterfactual {
            ask(&capture, &mut start.flow);
        }
        start.shattering = traced.arc.map(|arc| buffers.shattering(arc)).transpose()?.flatten();
        details(&traced.ops, &mut start);
        let data = buffers.data(&traced)?;
        // Of an unknown loss nobody knows what much is.
        let rehearsal = traced.rehearsal.filter(|_| traced.loss_kind != Loss::Other);
        start.sharpness = rehearsal.and_then(TracedRehearsal::sharpness);
        let initializer = recipe::initializer(&capture);
        let activation = recipe::activation(&capture);
        // The first of a name. A search through the list for each operation would grow with the square of the depth.
        let captured = capture.walk().into_iter().rev().map(|op| (op.name.as_str(), op)).collect();
        let network = Network {
            input: Shape::vector(capture.ops().first().map_or(0, |op| op.input.len() / traced.batch)),
            outputs: capture.ops().last().map_or(0, |op| op.output.len() / op.rows.max(1)),
            ops: with_output(ops(&traced.ops, &captured, initializer, activation)),
            loss: traced.loss_kind,
        };
        start.broken_laws = laws::broken_laws(&traced, &network, &capture, buffers)?;
        let recipe = recipe::recipe(&traced, &network, &data, initializer, activation);
        let limits = forecast::limits(&network, &recipe, &start);
        Ok(Self { network, recipe, data, start, limits, remarks: traced.remarks })
    }

    /// What rules look at before training.
    pub fn case(&self) -> Case<'_> {
        Case::before_training(&self.network, &self.recipe, &self.data, &self.start, &self.limits)
    }

    /// What is wrong before training; of the remedies those that can be told as a change of a model.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = diagnose(&self.case());
        for finding in &mut findings {
            finding.remedies.retain(|remedy| !UNTOLD.contains(&remedy.as_str()));
        }
        findings
    }

    /// What to try against these findings, best first; without what cannot be told as a change of a model.
    pub fn prescriptions(&self, findings: &[Finding]) -> Vec<Prescription> {
        prescriptions(&self.case(), &self.recipe, findings, |prescription| {
            let network = &prescription.recipe.network;
            // A model's branches have no ends that could be told from outside, its loss is computed outside of it, and layers of
            // its own make gates and more features.
            let adds = network.gate_bias.is_none() && network.growth.is_none();
            let is_told = !network.fixup && network.supervise_every.is_none() && adds;
            is_told && self.changes(&prescription.recipe) != Changes::default()
        })
    }

    /// The same document that a check of a recipe gives.
    pub fn report(&self) -> CheckReport {
        CheckReport::new(self.recipe.clone(), self.findings(), self.start.flow.clone(), self.limits.clone())
            .with_differential(differential(&self.case()))
            .with_remarks(self.remarks.clone())
    }
}

/// Remedies that findings name and [`Subject::prescriptions`] leave out.
const UNTOLD: [&str; 2] = ["fixup-init", "supervise-layers"];

#[cfg(test)]
mod tests;

/// What single factors would change, through how many branches the gradient comes, and how those of other directions fare; what
/// follows other cotangents than the measured one only where the buffers are what they are said to be.
fn ask(capture: &Capture, flow: &mut Flow) {
    let astray = capture.astray();
    fn unless<T>(astray: Option<&String>, told: impl FnOnce() -> Asked<T>) -> Asked<T> {
        astray.map_or_else(told, |why| Asked::LeftOut { left_out: why.clone() })
    }
    // Where nothing else can be told, the operation that stands in the way is named first.
    let told_anyway = !capture.can_be_followed();
    let astray = astray.as_ref();
    flow.counterfactual = Some(unless(astray.filter(|_| follows_others(capture)), || counterfactual(capture)));
    let astray = astray.filter(|_| !told_anyway);
    flow.path_lengths = path_lengths(capture).map(|told| unless(astray, || told));
    flow.jacobian = Some(unless(astray, || jacobian(capture)));
}
