//! A head whose output activation cannot reach the targets, or stops the gradient.

use super::finding::number;
use super::{Case, Finding, Rule};
use crate::network::{Loss, OpKind};
use crate::recipe::Level;
use crate::theory::activations::Activation;

pub(super) static RULE: Rule = Rule {
    name: "blocked-output",
    code: "G004",
    summary: "the head cannot reach the targets, or stops the gradient",
    page: include_str!("blocked-output.md"),
    explains: &[
        "vanishing-gradient",
        "gradient-below-eps",
        "saturated-units",
        "dead-units",
        "exactly-zero-gradient",
        "learning-rate-too-low",
        "frozen-layer",
        "too-few-steps",
    ],
    check,
};

/// Part of the loss of knowing nothing that may remain at the best outputs within reach.
const REMAINS: f64 = 0.1;
/// Part of the targets' deviation by which they may stand outside of what the head can return.
const OUTSIDE: f64 = 0.1;
/// Part of the output's cotangents that may be stopped by the output activation.
const STOPPED: f64 = 0.9;

fn check(case: &Case<'_>) -> Option<Finding> {
    let head = case.network.head()?;
    let name = case.network.ops[head].name.as_str();
    if case.network.loss == Loss::CrossEntropy && case.network.outputs == 1 {
        let message = "a softmax over one output is always 1: the loss is 0 and so is every gradient".to_owned();
        return Some(
            Finding::new(RULE.name, Level::Deny, [name, name], message)
                .against("outputs", 1.0, 2.0, "a softmax needs two")
                .remedies(&[]),
        );
    }
    let (output, activation) = case.network.ops[head + 1..].iter().rev().find_map(|op| match op.kind {
        OpKind::Activation { activation } => Some((op.name.as_str(), activation)),
        _ => None,
    })?;
    let finding = unreachable(case, activation).or_else(|| stopped(case, name, activation))?;
    let layers = [name.to_owned(), output.to_owned()];
    Some(Finding { layers, ..finding }.remedies(&["swap-activation"]))
}

/// The targets lie outside of the activation's range.
fn unreachable(case: &Case<'_>, activation: Activation) -> Option<Finding> {
    let (low, high) = activation.range();
    let layers = ["", ""];
    match case.network.loss {
        Loss::CrossEntropy => {
            // Best case: the right logit at the top, all others at the bottom.
            let others = case.network.outputs as f64 - 1.0;
            let best = (others * (low - high).exp()).ln_1p();
            (best > REMAINS * case.data.baseline_loss).then(|| {
                let message = format!(
                    "{} keeps the logits within [{low}, {high}]: cross-entropy cannot fall below {}",
                    activation.name(),
                    number(best)
                );
                Finding::new(RULE.name, Level::Deny, layers, message).against(
                    "smallest cross-entropy within reach",
                    best,
                    REMAINS * case.data.baseline_loss,
                    "ln(1 + (C - 1) e^(low - high)) against a tenth of the loss of knowing nothing",
                )
            })
        }
        Loss::Other => None,
        Loss::MeanSquaredError => {
            let target = case.data.target.as_ref()?;
            let beyond = (low - target.min?).max(target.max? - high).max(0.0) / target.variance()?.sqrt();
            (beyond > OUTSIDE).then(|| {
                let message = format!(
                    "{} returns values within [{low}, {high}], but targets reach from {} to {}",
                    activation.name(),
                    number(target.min.unwrap_or(f64::NAN)),
                    number(target.max.unwrap_or(f64::NAN))
                );
                Finding::new(RULE.name, Level::Deny, layers, message).against(
                    "distance of the farthest target from the range, in deviations",
                    beyond,
                    OUTSIDE,
                    "the range of the output activation",
                )
            })
        }
    }
}

/// The activation is flat where the outputs are.
fn stopped(case: &Case<'_>, head: &str, activation: Activation) -> Option<Finding> {
    let joint = case.start.joints.iter().find(|joint| joint.name == head)?;
    let zeros = joint.cotangent.zero_fraction();
    let flat = activation.is_zero_below_zero();
    (flat && joint.cotangent.count > 0).then(|| {
        let level = if zeros > STOPPED { Level::Deny } else { Level::Warn };
        let message = format!(
            "{} after the head stops the gradient of {} % of the outputs, and of every output that falls below zero",
            activation.name(),
            number(100.0 * zeros)
        );
        Finding::new(RULE.name, level, ["", ""], message).against(
            "share of the outputs without a gradient",
            zeros,
            STOPPED,
            "an output below zero has slope 0 and cannot come back by itself",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn classifier(output: &str) -> Bench {
        Bench::new(&format!("[network]\ndepth = 2\nwidth = 16\ninit = \"he-normal\"\n{output}\n"))
    }

    #[test]
    fn logits_that_cannot_move_apart() {
        assert_eq!(classifier("").ask("blocked-output"), None);
        let finding = classifier("output_activation = \"sigmoid\"").ask("blocked-output").unwrap();
        // ln(1 + 9/e)
        assert!((finding.evidence[0].value.unwrap() - 1.461_150_2).abs() < 1e-6, "{finding:?}");
        assert_eq!((finding.level, finding.layers), (Level::Deny, ["head".into(), "output".into()]));
        assert_eq!(classifier("output_activation = \"tanh\"").ask("blocked-output").unwrap().level, Level::Deny);
    }

    #[test]
    fn a_flat_output_stops_the_gradient_of_what_is_below_zero() {
        let mut bench = classifier("output_activation = \"relu\"");
        assert_eq!(bench.ask("blocked-output").unwrap().level, Level::Warn);
        let cotangent = &mut bench.joint("head").cotangent;
        cotangent.zeros = cotangent.count;
        assert_eq!(bench.ask("blocked-output").unwrap().level, Level::Deny);
        assert_eq!(classifier("output_activation = \"leaky-relu\"").ask("blocked-output"), None);
    }

    #[test]
    fn regression_targets_outside_of_the_range() {
        let head = "[data]\ntask = \"regression\"\n[network]\ndepth = 2\nwidth = 16\noutput_activation = \"sigmoid\"\n";
        let mut bench = Bench::new(head);
        assert!(bench.ask("blocked-output").unwrap().message.contains("targets reach from"));
        let target = bench.data.target.as_mut().unwrap();
        (target.min, target.max) = (Some(0.1), Some(0.9));
        assert_eq!(bench.ask("blocked-output"), None);
    }

    #[test]
    fn a_softmax_over_one_unit() {
        let mut bench = classifier("");
        bench.network.outputs = 1;
        assert!(bench.ask("blocked-output").unwrap().message.contains("softmax over one output"));
    }
}
