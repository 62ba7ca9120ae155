//! Regression targets on another scale than the network's output.

use super::blocked_output::cannot_reach;
use super::finding::number;
use super::measure::weights;
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "unscaled-target",
    code: "G002",
    summary: "regression targets are not on the scale of the network's output",
    page: include_str!("unscaled-target.md"),
    explains: &[
        "exploding-gradient",
        "gradient-below-eps",
        "dead-units",
        "learning-rate-too-high",
        "learning-rate-too-low",
        "clipping-dominates",
        "frozen-layer",
        "diverging-loss",
        "non-finite",
        "loss-at-chance",
    ],
    check,
};

/// Factor from a deviation of 1: squared error and gradient grow with it.
const SUFFERS: f64 = 10.0;
/// One step replaces more than this part of a weight matrix: the linear picture of the loss behind a gradient step is
/// void.
const STEP: f64 = 0.3;

fn check(case: &Case<'_>) -> Option<Finding> {
    let target = case.data.target.as_ref()?;
    let deviation = target.variance()?.sqrt();
    let rms = target.rms()?;
    // Behind a head that cannot return them, scaling alone is no answer, and the head is named.
    if cannot_reach(case) {
        return None;
    }
    if deviation == 0.0 || (rms <= SUFFERS && deviation >= 1.0 / SUFFERS) {
        return None;
    }
    let step = weights(case).iter().filter_map(|weight| weight.relative_step).fold(0.0, f64::max);
    let level = if rms > SUFFERS && step > STEP { Level::Deny } else { Level::Warn };
    let message = format!(
        "the targets have mean {} and deviation {}, while the outputs have RMS {}: standardise the target",
        number(target.mean()?),
        number(deviation),
        number(case.start.flow.head.output_rms)
    );
    let head = &case.network.ops[case.network.head()?].name;
    Some(
        Finding::new(RULE.name, level, [head, head], message)
            .against("RMS of the targets", rms, SUFFERS, "a fresh head returns values of order 1")
            .against("deviation of the targets", deviation, 1.0 / SUFFERS, "a fresh head returns values of order 1")
            .against("largest |update| / |W| of the first step", step, STEP, "a step is small against its matrix")
            .remedies(&["scale-input", "change-learning-rate", "clip-by-global-norm"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    const REGRESSION: &str = "[data]\ntask = \"regression\"\n[network]\ndepth = 2\nwidth = 16\ninit = \"he-normal\"\n";

    fn scaled(factor: f64, offset: f64) -> Option<Finding> {
        let mut bench = Bench::new(REGRESSION);
        let target = bench.data.target.as_mut().unwrap();
        let count = target.count as f64;
        target.sum_of_squares =
            factor * factor * target.sum_of_squares + 2.0 * factor * offset * target.sum + count * offset * offset;
        target.sum = factor * target.sum + count * offset;
        for parameter in &mut bench.start.parameters {
            parameter.gradient.sum_of_squares *= factor * factor;
        }
        bench.ask("unscaled-target")
    }

    #[test]
    fn standardised_targets_are_healthy_and_raw_ones_are_not() {
        assert_eq!(scaled(1.0, 0.0), None);
        assert_eq!(scaled(77.0, 152.0).unwrap().level, Level::Deny);
        assert_eq!(scaled(1e-3, 0.0).unwrap().level, Level::Warn);
    }

    #[test]
    fn a_head_that_cannot_reach_them_is_another_rules() {
        let ask = |output: &str, rule: &str| {
            let mut bench = Bench::new(&format!("{REGRESSION}{output}"));
            let target = bench.data.target.as_mut().unwrap();
            let count = target.count as f64;
            (target.min, target.max) = (Some(25.0), Some(346.0));
            target.sum_of_squares = count * (77.0 * 77.0 + 152.0 * 152.0);
            target.sum = count * 152.0;
            bench.ask(rule).is_some()
        };
        for (output, head) in [("", false), ("output_activation = \"tanh\"\n", true)] {
            assert_eq!([ask(output, "unscaled-target"), ask(output, "blocked-output")], [!head, head], "{output}");
        }
    }

    #[test]
    fn classification_has_no_such_target() {
        assert_eq!(Bench::new("[network]\ndepth = 2\nwidth = 16\n").ask("unscaled-target"), None);
    }
}
