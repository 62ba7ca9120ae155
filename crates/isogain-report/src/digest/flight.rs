//! The recorded steps around the first value that was not finite.

use std::collections::VecDeque;
use std::sync::Arc;

use isogain_core::record::StepRecord;

use super::Column;

/// Steps before it.
const BEFORE: usize = 8;
/// Steps after it.
const AFTER: usize = 3;

/// What led to the first value that was not finite, and what followed.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// The recorded steps, the broken one among them.
    pub(crate) columns: Vec<Arc<Column>>,
    /// Where in `columns` the broken step is.
    pub(crate) broken: usize,
    /// The operation or parameter, or `loss`.
    pub(crate) name: String,
    /// What of it.
    pub(crate) what: &'static str,
}

impl Flight {
    /// Takes note of a step; `recent` are the steps before it.
    pub(super) fn watch(
        flight: &mut Option<Self>,
        recent: &mut VecDeque<Arc<Column>>,
        column: &Arc<Column>,
        record: &StepRecord,
    ) {
        match flight {
            Some(flight) if flight.columns.len() < flight.broken + 1 + AFTER => flight.columns.push(Arc::clone(column)),
            Some(_) => {}
            None => {
                if let Some((name, what)) = first_broken(record) {
                    let columns: Vec<Arc<Column>> = recent.drain(..).chain([Arc::clone(column)]).collect();
                    *flight = Some(Self { broken: columns.len() - 1, columns, name, what });
                } else {
                    recent.push_back(Arc::clone(column));
                    if recent.len() > BEFORE {
                        recent.pop_front();
                    }
                }
            }
        }
    }

    /// The broken step.
    pub(crate) fn step(&self) -> u64 {
        self.columns[self.broken].step
    }
}

/// The first thing that is not finite in the order in which a step computes: forward, loss, backward, update.
fn first_broken(record: &StepRecord) -> Option<(String, &'static str)> {
    let mut joints = record.joints.iter();
    if let Some(joint) = joints.find(|joint| joint.activation.non_finite > 0) {
        return Some((joint.name.clone(), "output"));
    }
    if !record.loss.is_finite() {
        return Some(("loss".to_owned(), "value"));
    }
    if let Some(joint) = record.joints.iter().rev().find(|joint| joint.cotangent.non_finite > 0) {
        return Some((joint.name.clone(), "cotangent"));
    }
    let found = |tell: fn(&isogain_core::record::ParameterRecord) -> u64| {
        record.parameters.iter().find(|parameter| tell(parameter) > 0).map(|parameter| parameter.name.clone())
    };
    found(|parameter| parameter.gradient.non_finite)
        .map(|name| (name, "gradient"))
        .or_else(|| found(|parameter| parameter.update.non_finite).map(|name| (name, "update")))
        .or_else(|| found(|parameter| parameter.weight.non_finite).map(|name| (name, "weight")))
}
