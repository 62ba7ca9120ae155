//! Steps so short that the planned run cannot take any weight far enough to learn.

use super::finding::{number, steps, whole};
use super::measure::{Span, backward, forward, learned, weights};
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "learning-rate-too-low",
    code: "G018",
    summary: "the planned steps are too short to move any weight far enough",
    page: include_str!("learning-rate-too-low.md"),
    explains: &["frozen-layer", "loss-at-chance", "too-few-steps", "frozen-embedding"],
    check,
};

/// Largest steps times |update| / |W| of any weight matrix, below which nothing can be learned.
const HOPELESS: f64 = 0.02;
/// Same, below which little is learned. Of 100 trainings on the digits (SGD and Adam, 2 to 30 layers, neither signal
/// lost) none of 16 below 0.02 passed 33 % accuracy, none of 36 below 0.08 passed 63 %.
const SHORT: f64 = 0.08;
/// Where the limits come from.
const SOURCE: &str =
    "of 100 trainings on the digits, none below 0.02 passed 33 % accuracy, none below 0.08 passed 63 %";
/// Change of scale through the body, nepers, from which on the weights multiply each other's growth, so that the first
/// gradient says nothing of how far they get.
const COMPOUNDING: f64 = -3.4;

fn check(case: &Case<'_>) -> Option<Finding> {
    // Repeating the run longer is another remedy than a larger step, and the one to try where it already learned.
    if learned(case) == Some(true) {
        return None;
    }
    // Where the signal is lost, a longer step is no answer.
    let lost = |span: Option<Span>| span.is_some_and(|span| span.log_gain < COMPOUNDING);
    if lost(forward(case.start)) || lost(backward(case.start, false)) {
        return None;
    }
    let weights = weights(case);
    // A matrix that starts at zero goes as far as it likes relative to its size.
    if weights.iter().any(|weight| weight.reach.is_none() && !weight.gradient_is_zero()) {
        return None;
    }
    let reaches: Vec<f64> = weights.iter().filter_map(|weight| weight.reach).collect();
    let reach = reaches.iter().copied().fold(0.0, f64::max);
    if reaches.is_empty() || reach >= SHORT {
        return None;
    }
    let level = if reach < HOPELESS { Level::Deny } else { Level::Warn };
    let message = format!(
        "{} at a learning rate of {} can move no weight matrix by more than {} % of its size",
        steps(case.recipe.run.steps as u64),
        number(case.recipe.optimizer.learning_rate),
        number(100.0 * reach)
    );
    Some(
        Finding::new(RULE.name, level, whole(case), message)
            .against("largest steps x |update| / |W|", reach, SHORT, SOURCE)
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
