//! Steps so short that the planned run cannot remove the loss.

use super::finding::{number, whole};
use super::measure::{learned, weights};
use super::{Case, Finding, Rule, vanishing_activation, vanishing_gradient};
use crate::recipe::{Level, OptimizerName};

pub(super) static RULE: Rule = Rule {
    name: "learning-rate-too-low",
    code: "G018",
    summary: "the planned steps are too short to remove the loss",
    page: include_str!("learning-rate-too-low.md"),
    explains: &["frozen-layer", "too-few-steps"],
    check,
};

/// First-order fall of the loss over the whole run, in losses of knowing nothing. Networks that train have 20 and
/// more; Xavier with tanh at a learning rate of 1e-4 has 0.08 and ends at 2.2 of 2.3.
const REMOVES: f64 = 1.0;

fn check(case: &Case<'_>) -> Option<Finding> {
    // Repeating the run longer is another remedy than a larger step, and the one to try where it already learned.
    if learned(case) == Some(true) {
        return None;
    }
    // Where the signal is lost, a longer step is no answer.
    if vanishing_gradient::fires(case) || vanishing_activation::fires(case) {
        return None;
    }
    let optimizer = &case.recipe.optimizer;
    match optimizer.name {
        OptimizerName::Sgd => descent(case, 1.0),
        OptimizerName::Momentum => descent(case, 1.0 / (1.0 - optimizer.momentum)),
        OptimizerName::Adam => travel(case),
    }
}

/// A step of `rate` along the gradient changes the loss by -rate |g|^2 to first order; momentum makes it `longer`.
fn descent(case: &Case<'_>, longer: f64) -> Option<Finding> {
    let rate = case.recipe.optimizer.learning_rate;
    let baseline = case.data.baseline_loss;
    let squares: Vec<f64> = weights(case).iter().map(|weight| weight.gradient.sum_of_squares).collect();
    let fall = rate * case.recipe.run.steps as f64 * longer * squares.iter().sum::<f64>() / baseline;
    if squares.is_empty() || fall.is_nan() || fall >= REMOVES {
        return None;
    }
    let message = format!(
        "{} steps at a learning rate of {} can lower the loss by {} of {} at most, to first order",
        case.recipe.run.steps,
        number(rate),
        number(fall * baseline),
        number(baseline)
    );
    Some(
        Finding::new(RULE.name, Level::Deny, whole(case), message)
            .against(
                "steps x learning rate x |gradient|^2, over the loss of knowing nothing",
                fall,
                REMOVES,
                "first-order fall of the loss; networks that train have 20 and more",
            )
            .remedies(&["change-learning-rate"]),
    )
}

/// Adam's steps do not shrink with the gradient, so that the first gradient bounds nothing; the distance does.
fn travel(case: &Case<'_>) -> Option<Finding> {
    let reaches: Vec<f64> = weights(case).iter().filter_map(|weight| weight.reach).collect();
    let reach = reaches.iter().copied().fold(0.0, f64::max);
    if reaches.is_empty() || reach >= vanishing_gradient::STUCK {
        return None;
    }
    let message = format!(
        "{} steps at a learning rate of {} can move no weight matrix by more than {} % of its size",
        case.recipe.run.steps,
        number(case.recipe.optimizer.learning_rate),
        number(100.0 * reach)
    );
    Some(
        Finding::new(RULE.name, Level::Deny, whole(case), message)
            .against(
                "largest steps x |update| / |W|",
                reach,
                vanishing_gradient::STUCK,
                vanishing_gradient::REACH_SOURCE,
            )
            .remedies(&["change-learning-rate"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn tanh(rate: f64, more: &str) -> Bench {
        let network = "[network]\ndepth = 4\nwidth = 32\nactivation = \"tanh\"\ninit = \"glorot-normal\"\n";
        Bench::new(&format!("{network}[optimizer]\nlearning_rate = {rate:?}\n{more}"))
    }

    #[test]
    fn first_order_fall_over_the_whole_run() {
        assert_eq!(tanh(0.05, "").ask("learning-rate-too-low"), None);
        let finding = tanh(1e-5, "").ask("learning-rate-too-low").unwrap();
        assert_eq!((finding.level, finding.remedies), (Level::Deny, vec!["change-learning-rate".to_owned()]));
        // The same rate over a thousand times as many steps.
        assert_eq!(tanh(1e-5, "[run]\nsteps = 1000000\n").ask("learning-rate-too-low"), None);
    }

    #[test]
    fn a_vanishing_gradient_is_not_a_matter_of_the_rate() {
        let bench = Bench::new("[network]\ndepth = 20\nwidth = 32\n");
        assert!(bench.ask("vanishing-gradient").is_some());
        assert_eq!(bench.ask("learning-rate-too-low"), None);
    }

    #[test]
    fn adam_steps_by_the_rate() {
        assert_eq!(tanh(1e-3, "name = \"adam\"\n").ask("learning-rate-too-low"), None);
        assert!(tanh(1e-8, "name = \"adam\"\n").ask("learning-rate-too-low").is_some());
    }
}
