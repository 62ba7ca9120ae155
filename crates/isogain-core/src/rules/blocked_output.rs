//! A head whose output activation cannot reach the targets, or stops the gradient.

use super::finding::number;
use super::{Case, Finding, Rule};
use crate::network::{Loss, Op, OpKind};
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
        "loss-at-chance",
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
    // Cross-entropy has one of its own.
    let has_softmax = case.network.loss == Loss::CrossEntropy
        || case.network.ops[head + 1..].iter().any(|op| matches!(op.kind, OpKind::Softmax));
    if has_softmax && case.network.outputs == 1 {
        let message =
            "a softmax over one output is always 1, whatever the network does: every gradient is exactly zero"
                .to_owned();
        return Some(
            Finding::new(RULE.name, Level::Deny, [name, name], message)
                .against("outputs", 1.0, 2.0, "a softmax needs two")
                .remedies(&[]),
        );
    }
    let output = Output::behind(case, head)?;
    let finding = unreachable(case, &output)
        .or_else(|| output.activation.and_then(|activation| stopped(case, name, activation)))
        .map(|finding| finding.remedies(&["swap-activation"]))
        .or_else(|| squashed(case, &output))?;
    let layers = [name.to_owned(), output.op.to_owned()];
    Some(Finding { layers, ..finding })
}

/// What follows the head.
struct Output<'a> {
    /// The operation.
    op: &'a str,
    /// What people call it.
    name: &'static str,
    /// What it can return.
    range: (f64, f64),
    /// The activation; `None` for a softmax.
    activation: Option<Activation>,
}

impl<'a> Output<'a> {
    /// The last operation behind the head, if it is known what that can return: of what follows an activation nobody says.
    fn behind(case: &'a Case<'_>, head: usize) -> Option<Self> {
        let moves = |op: &&Op| matches!(op.kind, OpKind::Pool(_) | OpKind::Flatten(_) | OpKind::AuxiliaryHead(_));
        case.network.ops[head + 1..].iter().rev().find(|op| !moves(op)).and_then(Self::of)
    }

    fn of(op: &'a Op) -> Option<Self> {
        match op.kind {
            OpKind::Activation { activation } => Some(Self {
                op: &op.name,
                name: activation.name(),
                range: activation.range(),
                activation: Some(activation),
            }),
            OpKind::Softmax => Some(Self { op: &op.name, name: "softmax", range: (0.0, 1.0), activation: None }),
            _ => None,
        }
    }
}

/// Whether the targets lie outside of what the head can return, on whatever scale they are.
pub(super) fn cannot_reach(case: &Case<'_>) -> bool {
    let output = case.network.head().and_then(|head| Output::behind(case, head));
    output.is_some_and(|output| unreachable(case, &output).is_some())
}

/// The targets lie outside of the activation's range.
fn unreachable(case: &Case<'_>, output: &Output<'_>) -> Option<Finding> {
    let Output { name, range: (low, high), .. } = *output;
    let layers = ["", ""];
    let outputs = case.network.outputs as f64;
    // Best case: the right logit at the top, all others at the bottom.
    let logits = match case.network.loss {
        Loss::CrossEntropy => {
            let best = ((outputs - 1.0) * (low - high).exp()).ln_1p();
            Some((
                "cross-entropy",
                best,
                "ln(1 + (C - 1) e^(low - high)) against a tenth of the loss of knowing nothing",
            ))
        }
        Loss::BinaryCrossEntropy => {
            let right = 1.0 / outputs.max(2.0);
            let best = right * (-high).exp().ln_1p() + (1.0 - right) * low.exp().ln_1p();
            let source =
                "mean of ln(1 + e^-high) and C - 1 times ln(1 + e^low) against a tenth of the loss of knowing nothing";
            Some(("binary cross-entropy", best, source))
        }
        Loss::MeanSquaredError | Loss::Other => None,
    };
    if let Some((loss, best, source)) = logits {
        let limit = REMAINS * case.data.baseline_loss;
        return (best > limit).then(|| {
            let message =
                format!("{name} keeps the logits within [{low}, {high}]: {loss} cannot fall below {}", number(best));
            Finding::new(RULE.name, Level::Deny, layers, message).against(
                format!("smallest {loss} within reach"),
                best,
                limit,
                source,
            )
        });
    }
    if case.network.loss != Loss::MeanSquaredError {
        return None;
    }
    // A class is a one among zeros.
    let (least, most, deviation) = match (&case.data.target, case.data.classes) {
        (Some(target), _) => (target.min?, target.max?, target.variance()?.sqrt()),
        (None, Some(classes)) => (0.0, 1.0, (classes as f64 - 1.0).sqrt() / classes as f64),
        (None, None) => return None,
    };
    let beyond = (low - least).max(most - high).max(0.0) / deviation;
    (beyond > OUTSIDE).then(|| {
        let message = format!(
            "{name} returns values within [{low}, {high}], but targets reach from {} to {}",
            number(least),
            number(most)
        );
        Finding::new(RULE.name, Level::Deny, layers, message).against(
            "distance of the farthest target from the range, in deviations",
            beyond,
            OUTSIDE,
            "the range of the output activation",
        )
    })
}

/// Sigmoid or softmax under the mean squared error against classes: the slope of the output is a factor of the gradient,
/// (p - y) p (1 - p), so that a confident mistake is not corrected. Cross-entropy of logits has p - y.
fn squashed(case: &Case<'_>, output: &Output<'_>) -> Option<Finding> {
    let classes = case.data.classes.filter(|_| case.network.loss == Loss::MeanSquaredError)? as f64;
    if output.activation.is_some_and(|activation| !activation.is_bounded()) {
        return None;
    }
    let joint = case.start.flow.head.joints.iter().find(|joint| joint.name == output.op)?;
    let passed = joint.cotangent_in_rms / joint.cotangent_rms;
    // What it passes on where it is steepest: sigmoid at 0, softmax where all outputs are alike.
    let steepest = match output.activation {
        Some(activation) => activation.derivative(0.0).abs(),
        None => classes.recip(),
    };
    let part = passed / steepest;
    part.is_finite().then(|| {
        let level = if part < 1.0 - STOPPED { Level::Deny } else { Level::Note };
        let name = output.name;
        let message = if level == Level::Deny {
            format!(
                "{name} under the mean squared error stops the gradient: its slope passes on {} % of what it can, and a \
                 confident mistake is not corrected; cross-entropy of the bare outputs has no such factor",
                number(100.0 * part)
            )
        } else {
            format!(
                "{name} under the mean squared error puts its slope into the gradient: a confident mistake is not \
                 corrected; cross-entropy of the bare outputs has no such factor"
            )
        };
        Finding::new(RULE.name, level, ["", ""], message).against(
            format!("RMS of the gradient through {name}, of the most that its slope passes on"),
            part,
            1.0 - STOPPED,
            "(p - y) p (1 - p) against (p - y): a tenth of the steepest slope",
        )
        .remedies(&["swap-loss", "swap-activation"])
    })
}

/// The activation is flat where the outputs are. Not where nobody knows what follows it.
fn stopped(case: &Case<'_>, head: &str, activation: Activation) -> Option<Finding> {
    if case.network.loss == Loss::Other {
        return None;
    }
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
        bench.network.loss = Loss::Other;
        assert_eq!(bench.ask("blocked-output"), None);
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
    fn softmax_before_cross_entropy_is_one_softmax_too_many() {
        let finding = classifier("output_activation = \"softmax\"").ask("blocked-output").unwrap();
        assert!((finding.evidence[0].value.unwrap() - 1.461_150_2).abs() < 1e-6, "{finding:?}");
        assert!(finding.message.starts_with("softmax keeps the logits"));
    }

    #[test]
    fn a_squashed_output_under_the_squared_error() {
        let squared = |output: &str, gain: &str| {
            Bench::new(&format!(
                "[data]\nloss = \"mean-squared-error\"\n[network]\ndepth = 2\nwidth = 16\ninit = \"he-normal\"\n\
                 head_init = {{ name = \"fixed-variance\", std = {gain} }}\noutput_activation = \"{output}\"\n"
            ))
            .ask("blocked-output")
        };
        // A softmax between two large logits passes much on, so that only still larger ones stop it.
        for (output, large) in [("sigmoid", "100.0"), ("softmax", "1e4")] {
            assert_eq!(squared(output, "0.1").unwrap().level, Level::Note, "{output}");
            let finding = squared(output, large).unwrap();
            assert_eq!(finding.level, Level::Deny, "{output}: {finding:?}");
            assert!(finding.message.contains("confident mistake"));
        }
        assert_eq!(squared("leaky-relu", "0.1"), None);
        assert_eq!(squared("tanh", "0.1").unwrap().level, Level::Note);
    }

    #[test]
    fn a_binary_loss_takes_logits_too() {
        let ask = |output: &str| {
            let data = "[data]\nloss = \"binary-cross-entropy\"\n[network]\ndepth = 2\nwidth = 16\n";
            let mut bench = Bench::new(&format!("{data}{output}"));
            bench.data.baseline_loss = 0.325;
            bench.ask("blocked-output")
        };
        assert_eq!(ask(""), None);
        // (ln(1 + 1/e) + 9 ln 2) / 10.
        let finding = ask("output_activation = \"sigmoid\"").unwrap();
        assert!((finding.evidence[0].value.unwrap() - 0.655_158_6).abs() < 1e-6, "{finding:?}");
    }

    #[test]
    fn a_softmax_over_one_unit() {
        let mut bench = classifier("");
        bench.network.outputs = 1;
        assert!(bench.ask("blocked-output").unwrap().message.contains("softmax over one output"));
        let after = "output_activation = \"softmax\"";
        for data in ["loss = \"binary-cross-entropy\"", "task = \"regression\""] {
            let network = format!("[data]\n{data}\n[network]\ndepth = 2\nwidth = 16\n{after}\n");
            let mut bench = Bench::new(&network);
            bench.network.outputs = 1;
            assert!(bench.ask("blocked-output").unwrap().message.contains("softmax over one output"), "{data}");
        }
    }
}
