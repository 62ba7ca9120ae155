//! Back through time: how the cotangent of a recurrent state changes from step to step, in the rules' terms.

use super::measure::learned;
use super::{Case, Finding};
use crate::flow::Joint;
use crate::recipe::Level;

/// Range of RMS between two time steps beyond which the smaller one is not learnt from, and the larger one drowns the
/// rest: the range that theory tolerates between layers.
pub(super) const RANGE: f64 = 1e4;
/// Where that limit comes from.
pub(super) const SOURCE: &str = "a factor of 10^4, as between layers";

/// From the last time step back to an earlier one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a> {
    /// The recurrent operation.
    pub(super) joint: &'a Joint,
    /// Time steps between the two.
    pub(super) steps: usize,
    /// ln(rms at the earlier step / rms at the last one).
    pub(super) log_gain: f64,
}

impl Reach<'_> {
    /// The factor of one step.
    pub(super) fn per_step(&self) -> f64 {
        (self.log_gain / self.steps as f64).exp()
    }

    /// The same finding with the ways back through time as evidence.
    pub(super) fn with_paths(&self, finding: Finding) -> Finding {
        self.joint.paths.iter().fold(finding, |finding, path| {
            finding.with(format!("share of the way back through `{}`", path.path), path.share)
        })
    }
}

/// A warning: whether the task needs what happened long ago cannot be told from the network. A note where training is over and
/// has shown that it does not, or that it came through all the same.
pub(super) fn level(case: &Case<'_>) -> Level {
    if learned(case) == Some(true) { Level::Note } else { Level::Warn }
}

/// From the last step back to the first one on the way for which `beyond` holds of its ratio to the last, over all
/// recurrent operations; the shortest such way.
pub(super) fn reach<'a>(case: &Case<'a>, beyond: impl Fn(f64) -> bool) -> Option<Reach<'a>> {
    let joints = case.start.flow.joints.iter().filter_map(|joint| {
        let last = joint.states.last().copied().filter(|rms| *rms > 0.0 && rms.is_finite())?;
        let steps = joint.states.iter().rev().position(|rms| beyond(rms / last))?;
        // An exact zero has no logarithm; the smallest number has.
        let earlier = joint.states[joint.states.len() - 1 - steps].clamp(f64::MIN_POSITIVE, f64::MAX);
        Some(Reach { joint, steps, log_gain: (earlier / last).ln() })
    });
    joints.min_by_key(|reach| reach.steps)
}
