//! A gradient that grows on its way back.

use super::finding::{factor, number};
use super::measure::{backward, scale_invariant, weights};
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "exploding-gradient",
    code: "G011",
    summary: "the gradient grows on its way back",
    page: include_str!("exploding-gradient.md"),
    explains: &[
        "learning-rate-too-high",
        "clipping-dominates",
        "frozen-layer",
        "dead-units",
        "diverging-loss",
        "non-finite",
        "loss-at-chance",
        "shattered-gradient",
    ],
    check,
};

/// Tolerated range of the gradient's RMS over the body, ln 1e4: plain batch norm with ReLU (x1.21 per layer) trains at
/// 30 layers and not at 80, which is between 315 and 4e6.
pub(super) const RANGE: f64 = 9.21;
/// Growth that a step of the size below must come from, ln 10.
const GROWS: f64 = 2.303;
/// A first step as large as the matrix it changes. Weights that a norm makes scale-invariant are left out: for them
/// only the direction counts, and batch norm with a first step of 1.9 |W| trains.
const STEP: f64 = 1.0;

fn check(case: &Case<'_>) -> Option<Finding> {
    let span = backward(case.start, true)?;
    let steps = weights(case);
    let scale_invariant = scale_invariant(&case.network.ops);
    let largest = steps
        .iter()
        .filter(|weight| !scale_invariant.contains(weight.op))
        .filter_map(|weight| Some((weight.op, weight.relative_step?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let step = largest.map_or(0.0, |(_, step)| step);
    let [first, last] = span.names();
    let per_step = largest.filter(|_| span.log_gain > GROWS && step > STEP);
    let message = match per_step {
        Some((op, step)) => format!(
            "the gradient grows by {} from {last} to {first}, x{} per layer: the first step of {op} is {} times its weights",
            factor(span.log_gain),
            number(span.per_layer()),
            number(step)
        ),
        None if span.log_gain > RANGE => format!(
            "the gradient grows by {} from {last} to {first}, x{} per layer",
            factor(span.log_gain),
            number(span.per_layer())
        ),
        None => return None,
    };
    let mut finding = Finding::new(RULE.name, Level::Deny, [first, last], message)
        .against("ln of the gradient's growth", span.log_gain, RANGE, "tolerated range 1e4 of the gradient's RMS")
        .against(
            "largest |update| / |W| of the first step",
            step,
            STEP,
            "a step as large as the matrix replaces it; counted where the gradient grows by more than 10",
        )
        .with_slope(case)
        .remedies(&[
            "rescale-init",
            "add-skip",
            "scale-branches",
            "move-norm",
            "orthogonal-init",
            "unit-jacobian-init",
            "clip-by-global-norm",
            "clip-by-norm",
            "clip-by-value",
            "change-learning-rate",
        ]);
    finding.causes = span.causes(&case.start.flow.joints);
    finding.theory = super::expectation::line(case);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    #[test]
    fn a_chaotic_network_whose_activations_stay() {
        let deep = |variance: f64| {
            let init = format!("init = {{ name = \"normal\", weight_variance = {variance:?} }}");
            Bench::new(&format!("[network]\ndepth = 30\nwidth = 32\nactivation = \"tanh\"\n{init}\n"))
        };
        let found = deep(12.0).diagnose();
        assert_eq!((found[0].rule.as_str(), found[0].level), ("exploding-gradient", Level::Deny), "{found:#?}");
        assert_eq!(deep(1.0).ask("exploding-gradient"), None);
        // PyTorch's tanh gain 5/3: chaotic, and trains.
        assert_eq!(deep(25.0 / 9.0).ask("exploding-gradient"), None);
    }

    #[test]
    fn batch_norm_grows_by_a_known_factor_and_trains() {
        let ask = |depth: usize| {
            let recipe =
                format!("[network]\ndepth = {depth}\nwidth = 32\ninit = \"glorot-normal\"\nnorm = \"batch\"\n");
            Bench::new(&recipe).ask("exploding-gradient")
        };
        assert_eq!(ask(25), None);
        let finding = ask(80).unwrap();
        assert!(finding.theory.unwrap().contains("batch norm"));
    }
}
