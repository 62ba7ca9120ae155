//! A gradient that shrinks on its way back until the first layers cannot move.

use super::finding::{factor, number};
use super::measure::{Span, Weight, backward, belongs, weights};
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "vanishing-gradient",
    code: "G012",
    summary: "the gradient shrinks on its way back until the first layers cannot move",
    page: include_str!("vanishing-gradient.md"),
    explains: &[
        "gradient-underflow",
        "gradient-below-eps",
        "dead-units",
        "exactly-zero-gradient",
        "learning-rate-too-low",
        "frozen-layer",
        "loss-at-chance",
    ],
    check,
};

/// Shrinking, nepers, without which a slow layer is not a matter of the gradient's way back (a factor of 30). Healthy
/// networks of 30 layers lose up to 3.0 (Xavier with tanh).
const SHRINKS: f64 = 3.4;
/// Steps times |update| / |W| below which a layer is stuck, and below which it is slow.
pub(super) const STUCK: f64 = 0.035;
/// See [`STUCK`].
pub(super) const SLOW: f64 = 0.065;
/// Where the two limits come from.
pub(super) const REACH_SOURCE: &str =
    "of 65 trainings on the digits, none below 0.035 passed 32 % accuracy, all above 0.065 reached 42 %";

/// The shrinking, the weight it leaves behind, and how bad that is.
struct Shrunk<'a> {
    span: Span,
    weight: Weight<'a>,
    reach: f64,
    level: Level,
}

fn shrunk<'a>(case: &Case<'a>) -> Option<Shrunk<'a>> {
    let span = backward(case.start, false).filter(|span| span.log_gain < -SHRINKS)?;
    // The most mobile weight of the layer: a zero-initialised part of a branch is not what holds it back.
    let weight = weights(case)
        .into_iter()
        .filter(|weight| belongs(weight.op, &span.first.name) && weight.reach.is_some())
        .max_by(|a, b| a.reach.unwrap_or(0.0).total_cmp(&b.reach.unwrap_or(0.0)))?;
    let reach = weight.reach?;
    let level = match reach {
        reach if reach < STUCK => Level::Deny,
        reach if reach < SLOW => Level::Warn,
        // The optimizer makes up for it: ratios between layers over-fire on healthy networks.
        _ => return None,
    };
    Some(Shrunk { span, weight, reach, level })
}

/// Whether this rule has something to say.
pub(super) fn fires(case: &Case<'_>) -> bool {
    shrunk(case).is_some()
}

fn check(case: &Case<'_>) -> Option<Finding> {
    through_depth(case).or_else(|| through_time(case))
}

/// Range of RMS between the last time step and an earlier one beyond which the earlier one is not learnt from: the range
/// that theory tolerates between layers.
const FORGOTTEN: f64 = 1e4;

/// The gradient of a recurrent state shrinks from step to step. A warning: whether the task needs what happened long ago
/// cannot be told from the network.
fn through_time(case: &Case<'_>) -> Option<Finding> {
    let (joint, length) = case.start.flow.joints.iter().find_map(|joint| {
        let last = joint.states.last().copied().filter(|rms| *rms > 0.0 && rms.is_finite())?;
        let length = joint.states.iter().rev().position(|rms| *rms < last / FORGOTTEN)?;
        Some((joint, length))
    })?;
    let steps = joint.states.len();
    let [earlier, last] = [joint.states[steps - 1 - length], joint.states[steps - 1]];
    // An exact zero has no logarithm; the step before it has.
    let shrinks = (earlier.max(f64::MIN_POSITIVE) / last).ln();
    let message = format!(
        "the gradient shrinks by {} within {length} of the {steps} time steps of {}, x{} per step: what happened earlier is \
         not learnt",
        factor(-shrinks),
        joint.name,
        number((shrinks / length as f64).exp())
    );
    Some(
        Finding::new(RULE.name, Level::Warn, [&joint.name, &joint.name], message)
            .against("ln of the state's gradient, earlier over last", shrinks, -FORGOTTEN.ln(), "as between layers")
            .with("time steps that the gradient reaches back", length as f64)
            .remedies(&["orthogonal-init", "swap-activation", "rescale-init"]),
    )
}

fn through_depth(case: &Case<'_>) -> Option<Finding> {
    let Shrunk { span, weight, reach, level } = shrunk(case)?;
    let [first, last] = span.names();
    let message = format!(
        "the gradient shrinks by {} from {last} to {first}, x{} per layer",
        factor(-span.log_gain),
        number(span.per_layer())
    );
    let mut finding = Finding::new(RULE.name, level, [first, last], message)
        .against(
            "ln of the gradient's change on its way back",
            span.log_gain,
            -SHRINKS,
            "healthy networks lose up to 3.0",
        )
        .against(format!("steps x |update| / |W| of {}", weight.op), reach, STUCK, REACH_SOURCE)
        .with("RMS of what the outputs vary between samples", case.start.flow.head.output_spread_rms)
        .remedies(&[
            "rescale-init",
            "swap-activation",
            "add-skip",
            "insert-batch-norm",
            "orthogonal-init",
            "lsuv-init",
            "insert-layer-norm",
        ]);
    finding.causes = span.causes(&case.start.flow.joints);
    finding.theory = super::expectation::line(case);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;
    use crate::rules::measure::is_zero;

    fn plain(depth: usize, more: &str) -> Bench {
        Bench::new(&format!("[network]\ndepth = {depth}\nwidth = 32\n{more}"))
    }

    #[test]
    fn depth_decides() {
        assert_eq!(plain(4, "").ask("vanishing-gradient"), None);
        let finding = plain(12, "").ask("vanishing-gradient").unwrap();
        assert_eq!((finding.level, finding.layers), (Level::Deny, ["fc1".into(), "fc12".into()]));
        assert_eq!(finding.remedies[0], "rescale-init");
    }

    /// The same ratio between layers is no illness where the optimizer makes up for it.
    #[test]
    fn adam_rescales_until_eps() {
        let adam = |eps: &str| format!("[optimizer]\nname = \"adam\"\nlearning_rate = 1e-3\neps = {eps}\n");
        assert_eq!(plain(12, &adam("1e-30")).ask("vanishing-gradient"), None);
        assert!(plain(20, &adam("1e-3")).ask("vanishing-gradient").is_some());
    }

    #[test]
    fn a_state_that_is_forgotten() {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n");
        let state = |factor: f64| (0..50).map(|step: i32| factor.powi(49 - step)).collect();
        bench.start.flow.joints[0].states = state(0.9);
        assert_eq!(bench.ask("vanishing-gradient"), None, "0.9^49 = 0.006");
        bench.start.flow.joints[0].states = state(0.5);
        let finding = bench.ask("vanishing-gradient").unwrap();
        assert_eq!((finding.level, finding.layers[0].as_str()), (Level::Warn, "fc1"));
        // 2^14 = 16384 is the first power beyond 10^4.
        assert!(
            finding.message.contains("within 14 of the 50 time steps of fc1, x0.500 per step"),
            "{}",
            finding.message
        );
    }

    #[test]
    fn zero_initialised_skips_are_healthy() {
        let skip = "kind = \"residual\"\ninit = \"he-normal\"\nbranch_scale = 0.0\nlearnable_scale = true\n";
        let bench = plain(20, skip);
        assert!(bench.start.parameters.iter().any(|parameter| is_zero(&parameter.gradient)));
        assert!(bench.diagnose().is_empty(), "{:#?}", bench.diagnose());
    }
}
