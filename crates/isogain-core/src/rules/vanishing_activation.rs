//! A forward signal that dies: activations shrink from layer to layer, or all samples come to look alike.

use super::finding::{factor, number, steps};
use super::measure::{Span, forward, unfollowed, unit_roundoff, weights};
use super::{Case, Finding, Rule, vanishing_gradient};
use crate::recipe::{Level, Precision};

pub(super) static RULE: Rule = Rule {
    name: "vanishing-activation",
    code: "G009",
    summary: "the forward signal dies on its way through the network",
    page: include_str!("vanishing-activation.md"),
    explains: &[
        "vanishing-gradient",
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

/// Loss of scale through the body, nepers, from which on the gradient of every weight is too small by the same factor.
/// Xavier with ReLU at 12 layers loses 3.9 and still trains, so that the reach of the weights decides.
const LOST: f64 = 3.4;
/// Steps times |update| / |W|, added up over the hidden layers, below which the network is stuck, and below which it is
/// slow. The sum, because layers that grow together multiply: 14 layers that each reach 3 % train.
const STUCK: f64 = 0.01;
/// See [`STUCK`].
const SLOW: f64 = 0.25;
/// Where the two limits come from.
const SOURCE: &str = "of 31 trainings of ReLU with Xavier on the digits, none below 0.01 passed 36 % accuracy, all above 0.25 reached 95 %";
/// Same, for an optimizer that makes up for the size of gradients: the range that theory tolerates, ln 1e4.
const LOST_ANYWAY: f64 = 9.21;

fn check(case: &Case<'_>) -> Option<Finding> {
    let span = forward(case.start)?;
    scale(case, &span).or_else(|| information(case, &span))
}

/// The activations themselves shrink.
fn scale(case: &Case<'_>, span: &Span) -> Option<Finding> {
    if span.log_gain > -LOST {
        return None;
    }
    let head = case.network.head().map(|head| case.network.ops[head].name.as_str());
    let weights = weights(case);
    let hidden = weights.iter().filter(|weight| Some(weight.op) != head);
    // From 0, because the sum of nothing is -0.
    let reach = hidden.filter_map(|weight| weight.reach).fold(0.0, |sum, reach| sum + reach);
    let reach = unfollowed(case).iter().fold(reach, |sum, parameter| sum + parameter.reach);
    let level = match reach {
        reach if reach < STUCK => Level::Deny,
        reach if reach < SLOW || span.log_gain < -LOST_ANYWAY => Level::Warn,
        _ => return None,
    };
    let [first, last] = span.names();
    let message = format!(
        "the activations shrink by {} from {first} to {last}, x{} per layer; in {} all hidden layers together \
         move by {} % of their size",
        factor(-span.log_gain),
        number(span.per_layer()),
        steps(case.recipe.run.steps as u64),
        number(100.0 * reach)
    );
    let mut finding = Finding::new(RULE.name, level, [first, last], message)
        .against("ln of the activations' change through the body", span.log_gain, -LOST, "an isometric body has 0")
        .against("steps x |update| / |W|, sum over hidden layers", reach, STUCK, SOURCE)
        .with("RMS of what the outputs vary between samples", case.start.flow.head.output_spread_rms)
        .remedies(&[
            "rescale-init",
            "orthogonal-init",
            "lsuv-init",
            "unit-jacobian-init",
            "insert-batch-norm",
            "add-skip",
            "swap-activation",
            "supervise-layers",
        ]);
    finding.causes = span.causes(&case.start.flow.joints);
    finding.theory = super::expectation::line(case);
    Some(finding)
}

/// The activations keep their size, but not what tells one sample from another.
fn information(case: &Case<'_>, span: &Span) -> Option<Finding> {
    // One sample has none to differ from.
    if case.start.batch < 2 {
        return None;
    }
    // Behind a vanishing gradient it is the same shrinking seen from the other end, and reported there.
    if vanishing_gradient::fires(case) {
        return None;
    }
    let roundoff = unit_roundoff(case.recipe.run.precision);
    let lost = case.start.units.iter().find(|record| {
        record.dead < record.units && record.signal_fraction.is_finite() && record.signal_fraction.sqrt() < roundoff
    })?;
    let share = lost.signal_fraction.sqrt();
    let message = format!(
        "from {} on all samples look alike: the part that differs between them is {} of the activation, less than the \
         rounding of {}",
        lost.name,
        number(share),
        if case.recipe.run.precision == Precision::F64 { "f64" } else { "f32" }
    );
    let [_, last] = span.names();
    let mut finding = Finding::new(RULE.name, Level::Deny, [&lost.name, last], message)
        .against(
            "part of the activation that differs between samples",
            share,
            roundoff,
            "half a unit in the last place",
        )
        .remedies(&["rescale-init", "orthogonal-init", "add-skip", "swap-activation", "insert-batch-norm"]);
    finding.theory = super::expectation::line(case);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn plain(init: &str, more: &str) -> Bench {
        Bench::new(&format!("[network]\ndepth = 20\nwidth = 32\ninit = {init}\n{more}"))
    }

    /// |dW| of the first layer over that of the last is near 1, and nothing learns.
    #[test]
    fn a_flat_and_tiny_gradient_is_a_dead_forward_signal() {
        for init in ["\"glorot-normal\"", "{ name = \"fixed-variance\", std = 0.02 }"] {
            let mut bench = plain(init, "");
            let norm = |bench: &mut Bench, name: &str| bench.parameter(name).gradient.norm();
            let ratio = norm(&mut bench, "fc2.weight") / norm(&mut bench, "fc19.weight");
            assert!((0.05..20.0).contains(&ratio), "{ratio}");
            let found = bench.diagnose();
            assert_eq!((found[0].rule.as_str(), found[0].level), ("vanishing-activation", Level::Deny), "{found:#?}");
            assert_eq!(found.len(), 1, "{found:#?}");
        }
    }

    #[test]
    fn shallow_networks_survive_the_same_factor() {
        assert_eq!(Bench::new("[network]\ndepth = 8\ninit = \"glorot-normal\"\n").ask("vanishing-activation"), None);
        assert_eq!(plain("\"he-normal\"", "").ask("vanishing-activation"), None);
    }

    #[test]
    fn samples_that_differ_by_less_than_rounding() {
        let adam = "[optimizer]\nname = \"adam\"\nlearning_rate = 1e-3\neps = 1e-30\n";
        let mut bench = plain("\"he-normal\"", adam);
        assert_eq!(bench.ask("vanishing-activation"), None);
        bench.start.units[15].signal_fraction = 1e-16;
        let finding = bench.ask("vanishing-activation").unwrap();
        assert!(finding.message.contains("less than the rounding of f32"), "{}", finding.message);
        bench.recipe.run.precision = Precision::F64;
        assert_eq!(bench.ask("vanishing-activation"), None);
    }
}
