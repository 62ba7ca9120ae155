//! Values too large for the number format on the way forward, before any step was taken.

use super::finding::number;
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "forward-overflow",
    code: "G007",
    summary: "the forward pass leaves the number format; clipping cannot help",
    page: include_str!("forward-overflow.md"),
    explains: &[
        "exploding-activation",
        "saturated-units",
        "exploding-gradient",
        "vanishing-gradient",
        "gradient-underflow",
        "dead-units",
        "exactly-zero-gradient",
        "learning-rate-too-high",
        "frozen-layer",
        "diverging-loss",
        "non-finite",
    ],
    check,
};

fn check(case: &Case<'_>) -> Option<Finding> {
    let joint = case.start.joints.iter().find(|joint| joint.activation.non_finite > 0);
    let seen = case
        .outcome
        .and_then(|outcome| outcome.first_non_finite.as_ref())
        .filter(|found| found.step == 0 && found.phase == "forward");
    let name = joint.map(|joint| joint.name.as_str()).or(seen.map(|found| found.name.as_str()))?;
    // The operations before it show how the values grew.
    let largest = case
        .start
        .joints
        .iter()
        .take_while(|joint| joint.activation.non_finite == 0)
        .map(|joint| joint.activation.abs_max)
        .fold(0.0, f64::max);
    let message = format!(
        "the forward pass overflows at {name} before the first step: no gradient exists, so that clipping cannot help"
    );
    let last = case.network.ops.last().map_or(name, |op| op.name.as_str());
    let mut finding = Finding::new(RULE.name, Level::Deny, [name, last], message)
        .against("largest finite activation before it", largest, f64::from(f32::MAX), "largest f32")
        .remedies(&["rescale-init", "scale-input", "insert-layer-norm", "insert-batch-norm", "swap-activation"]);
    if let Some(joint) = joint {
        let share = joint.activation.non_finite_fraction();
        finding = finding.against("share of non-finite values there", share, 0.0, "every value must be finite");
    }
    if largest > 0.0 {
        finding.theory = Some(format!("the operation before it still returned values up to {}", number(largest)));
    }
    Some(finding)
}
