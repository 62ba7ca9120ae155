//! Values too large for the number format on the way forward, before any step was taken.

use super::finding::number;
use super::measure::{largest_number, precision_name};
use super::{Case, Finding, Rule};
use crate::network::OpKind;
use crate::recipe::Level;
use crate::statistics::Moments;

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
        "loss-at-chance",
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
    let precision = case.recipe.run.precision;
    let limit = largest_number(precision);
    let nothing = "no gradient exists, so that clipping cannot help";
    if let Some((what, remedies)) = given(case) {
        return Some(
            Finding::new(RULE.name, Level::Deny, [name, name], format!("{what}: {nothing}")).remedies(remedies),
        );
    }
    // Sums and products of numbers overflow; of what another operation does far below that, nobody knows.
    let op = case.network.walk().into_iter().find(|op| op.name == name);
    let is_unknown = op.is_some_and(|op| matches!(op.kind, OpKind::Other(_) | OpKind::Attention(_)));
    let message = if is_unknown && largest < limit.sqrt() {
        format!(
            "{name} returns values that are not finite before the first step, of inputs that are: it overflows, as an \
             exponential does, or has no result (0 / 0, the root or logarithm of a negative number, a softmax over nothing); \
             {nothing}"
        )
    } else {
        format!("the forward pass overflows at {name} before the first step: {nothing}")
    };
    let last = case.network.ops.last().map_or(name, |op| op.name.as_str());
    let mut finding = Finding::new(RULE.name, Level::Deny, [name, last], message)
        .against(
            "largest finite activation before it",
            largest,
            limit,
            format!("largest {}", precision_name(precision)),
        )
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

/// What was not finite before anything was computed, and what to do about it.
fn given(case: &Case<'_>) -> Option<(String, &'static [&'static str])> {
    let of = |moments: &Moments| format!("{} of {} values", moments.non_finite, moments.count);
    let input = &case.data.input;
    if input.non_finite > 0 {
        return Some((format!("{} of the inputs are not finite", of(input)), &[]));
    }
    let broken = case.start.parameters.iter().find(|parameter| parameter.weight.non_finite > 0)?;
    let message = format!("{} of {} are not finite before the first step", of(&broken.weight), broken.name);
    Some((message, &["rescale-init"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Other;
    use crate::record::NonFinite;
    use crate::rules::fixture::Bench;

    const DEEP: &str = "[network]\ndepth = 20\nwidth = 16\ninit = { name = \"fixed-variance\", std = 1e3 }\n";

    #[test]
    fn told_apart_from_an_exploding_gradient() {
        let bench = Bench::new(DEEP);
        let finding = bench.ask("forward-overflow").unwrap();
        assert!(finding.message.contains("clipping cannot help"));
        assert!(finding.remedies.iter().all(|remedy| !remedy.starts_with("clip")), "{:?}", finding.remedies);
        let found = bench.diagnose();
        assert_eq!((found.len(), found[0].rule.as_str()), (1, "forward-overflow"), "{found:#?}");
    }

    #[test]
    fn large_but_finite_is_not_overflow() {
        let bench =
            Bench::new("[network]\ndepth = 20\nwidth = 16\ninit = { name = \"normal\", weight_variance = 4.0 }\n");
        assert_eq!(bench.ask("forward-overflow"), None);
        assert!(bench.ask("exploding-activation").is_some());
    }

    #[test]
    fn what_was_not_finite_before_is_no_overflow() {
        let broken = || {
            let mut bench = Bench::new("[network]\ndepth = 2\nwidth = 16\n");
            let other = OpKind::Other(Other { operation: "div".into(), weighted: false, homogeneous: false });
            bench.network.ops.iter_mut().find(|op| op.name == "fc1").unwrap().kind = other;
            bench.joint("fc1").activation.non_finite = 1;
            bench
        };
        let message = |bench: Bench| bench.ask("forward-overflow").unwrap().message;
        assert!(message(broken()).starts_with("fc1 returns values that are not finite"), "{}", message(broken()));
        let mut of_input = broken();
        of_input.data.input.non_finite = 3;
        assert!(message(of_input).starts_with("3 of "));
        let mut of_weight = broken();
        of_weight.parameter("fc2.weight").weight.non_finite = 1;
        assert!(message(of_weight).contains("of fc2.weight are not finite"));
    }

    #[test]
    fn what_comes_later_is_another_rule() {
        let mut bench = Bench::new("[network]\ndepth = 2\nwidth = 16\n");
        bench.finish([2.3, 3.0, f64::NAN]);
        let found = NonFinite { step: 2, name: "fc1".into(), phase: "forward".into() };
        bench.outcome.as_mut().unwrap().first_non_finite = Some(found.clone());
        assert_eq!(bench.ask("forward-overflow"), None);
        bench.outcome.as_mut().unwrap().first_non_finite = Some(NonFinite { step: 0, ..found });
        assert_eq!(bench.ask("forward-overflow").unwrap().layers[0], "fc1");
    }
}
