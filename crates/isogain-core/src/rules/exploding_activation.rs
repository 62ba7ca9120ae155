//! Activations that grow from layer to layer until the loss starts far above that of knowing nothing.

use std::f64::consts::LN_2;

use super::finding::{factor, number};
use super::measure::forward;
use super::{Case, Finding, Rule};
use crate::network::Loss;
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "exploding-activation",
    code: "G008",
    summary: "activations grow through the network until the outputs are useless",
    page: include_str!("exploding-activation.md"),
    explains: &[
        "saturated-units",
        "exploding-gradient",
        "dead-units",
        "learning-rate-too-high",
        "clipping-dominates",
        "diverging-loss",
        "non-finite",
        "loss-at-chance",
        "shattered-gradient",
    ],
    check,
};

/// First loss over the loss of knowing nothing from which on training fails. Of 42 networks of 30 layers measured, the
/// ones that train start below 2, the ones that fail by explosion above 50.
const LOSS: f64 = 10.0;
/// Growth through the body, nepers, from which on it is worth a word (a factor of 100).
const GROWTH: f64 = 4.605;

fn check(case: &Case<'_>) -> Option<Finding> {
    let head = &case.start.flow.head;
    let baseline = case.data.baseline_loss;
    let span = forward(case.start);
    let growth = span.as_ref().map_or(0.0, |span| span.log_gain);
    // A regression with unscaled targets starts with a large loss too; then the outputs are small against them.
    let outputs_are_large =
        case.data.target.as_ref().and_then(|target| target.rms()).is_none_or(|rms| head.output_rms > rms);
    let limit = LOSS * baseline.max(of_equal_outputs(case));
    let fails = head.loss.is_finite() && limit > 0.0 && head.loss / times_the_mean(case) > limit && outputs_are_large;
    if !fails && growth < GROWTH {
        return None;
    }
    let level = if fails { Level::Deny } else { Level::Warn };
    let fallback = super::finding::whole(case);
    let names = span.as_ref().map_or(fallback, |span| span.names());
    let grows = span.as_ref().filter(|_| growth > 1.0).map_or_else(
        || format!("the outputs have RMS {} before training", number(head.output_rms)),
        |span| {
            let [first, last] = span.names();
            format!(
                "the activations grow by {} from {first} to {last}, x{} per layer",
                factor(growth),
                number(span.per_layer())
            )
        },
    );
    let message =
        format!("{grows}: the first loss is {}, knowing nothing costs {}", number(head.loss), number(baseline));
    let mut finding = Finding::new(RULE.name, level, names, message)
        .against(
            "first loss over the loss of knowing nothing",
            head.loss / baseline,
            LOSS,
            "networks that train start below 2, networks that explode above 50",
        )
        .with("RMS of the outputs", head.output_rms)
        .against("ln of the activations' growth through the body", growth, GROWTH, "an isometric body has 0")
        .remedies(&[
            "rescale-init",
            "lsuv-init",
            "insert-batch-norm",
            "insert-layer-norm",
            "orthogonal-init",
            "scale-input",
        ]);
    finding.causes = span.map(|span| span.causes(&case.start.flow.joints)).unwrap_or_default();
    finding.theory = super::expectation::line(case);
    Some(finding)
}

/// Loss of outputs that are all zero: what a network with small outputs starts at, however rare a class is.
fn of_equal_outputs(case: &Case<'_>) -> f64 {
    let classes = case.data.classes.unwrap_or_default().max(1) as f64;
    match case.network.loss {
        Loss::CrossEntropy => classes.ln(),
        Loss::BinaryCrossEntropy => LN_2,
        Loss::MeanSquaredError => case.data.classes.map_or(0.0, |_| classes.recip()),
        Loss::Other => 0.0,
    }
}

/// How many times the mean over samples the loss is, at least: a sum, or a mean that was scaled. Cross-entropy's gradient
/// p - y has a squared norm of at most 2 for each sample, and of 1 for each output by itself.
fn times_the_mean(case: &Case<'_>) -> f64 {
    let largest = match case.network.loss {
        Loss::CrossEntropy => (2.0 / case.network.outputs as f64).sqrt(),
        Loss::BinaryCrossEntropy => (case.network.outputs as f64).recip(),
        Loss::MeanSquaredError | Loss::Other => return 1.0,
    };
    // NaN where a gradient is none.
    (case.start.flow.head.cotangent_rms / largest).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Cause;
    use crate::rules::fixture::Bench;

    #[test]
    fn a_first_loss_far_above_knowing_nothing() {
        let ask = |variance: f64| {
            let init = format!("init = {{ name = \"normal\", weight_variance = {variance:?} }}");
            Bench::new(&format!("[network]\ndepth = 20\nwidth = 32\n{init}\n")).ask("exploding-activation")
        };
        assert_eq!(ask(2.0), None);
        let finding = ask(3.5).unwrap();
        assert_eq!(finding.level, Level::Deny);
        assert_eq!(finding.causes[0].cause, Cause::WeightScale);
    }

    #[test]
    fn a_rare_class_is_no_explosion() {
        let mut bench = Bench::new("[network]\ndepth = 2\nwidth = 16\n");
        bench.data.baseline_loss = 0.04;
        assert_eq!(bench.ask("exploding-activation"), None);
    }

    #[test]
    fn a_sum_over_the_batch_is_no_explosion_and_a_loss_below_zero_has_no_ratio() {
        let mut bench = Bench::new("[network]\ndepth = 2\nwidth = 16\n");
        let head = &mut bench.start.flow.head;
        (head.loss, head.cotangent_rms) = (64.0 * head.loss, 64.0 * head.cotangent_rms);
        assert_eq!(bench.ask("exploding-activation"), None);
        bench.network.loss = Loss::Other;
        (bench.start.flow.head.loss, bench.data.baseline_loss) = (-0.1, -0.1);
        assert_eq!(bench.ask("exploding-activation"), None);
    }

    #[test]
    fn a_regression_with_large_targets_is_not_an_explosion() {
        let head = "[data]\ntask = \"regression\"\n[network]\ndepth = 2\nwidth = 16\ninit = \"he-normal\"\n";
        let mut bench = Bench::new(head);
        bench.data.target.as_mut().unwrap().sum_of_squares *= 1e4;
        bench.start.flow.head.loss = 1e4;
        assert_eq!(bench.ask("exploding-activation"), None);
    }
}
