//! A run that ended where it began: at the loss of knowing nothing.

use super::finding::{number, whole};
use super::measure::weights;
use super::vanishing_gradient::{REACH_SOURCE, SLOW};
use super::{Case, Finding, Rule, plateau};
use crate::recipe::Level;
use crate::theory::plateau::Forecast;

pub(super) static RULE: Rule = Rule {
    name: "loss-at-chance",
    code: "G026",
    summary: "the run ended at the loss of knowing nothing",
    page: include_str!("loss-at-chance.md"),
    explains: &[],
    check,
};

/// Final loss over that of knowing nothing. Of networks of 10 to 80 layers on the digits, those that do not train end
/// between 0.99 and 1.01, the slowest of those that do at 0.91.
const CHANCE: f64 = 0.95;
/// A loss so far above that of knowing nothing has run away: another rule's.
const AWAY: f64 = 1.5;
/// Fall from one third of the run to the last, in losses of knowing nothing, that is a plateau.
const FLAT: f64 = 0.02;
/// Fewest steps to judge.
const ENOUGH: usize = 100;

fn check(case: &Case<'_>) -> Option<Finding> {
    let outcome = case.outcome?;
    let baseline = case.data.baseline_loss;
    let losses: Option<Vec<f64>> = outcome.losses.iter().copied().collect();
    let losses = losses.filter(|losses| losses.len() >= ENOUGH)?;
    let seen = losses.len() * case.recipe.data.batch;
    let share = outcome.loss? / baseline;
    if !(CHANCE..AWAY).contains(&share) || seen < case.data.train_samples {
        return None;
    }
    let third = losses.len() / 3;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let fall = (mean(&losses[third..2 * third]) - mean(&losses[losses.len() - third..])) / baseline;
    if fall > FLAT {
        return None;
    }
    // The least mobile matrix that moves at all: a zero-initialised branch has no gradient yet.
    let reach = weights(case)
        .iter()
        .filter(|weight| !weight.gradient_is_zero())
        .filter_map(|weight| weight.reach)
        .fold(f64::INFINITY, f64::min);
    let gradients = if reach > SLOW { ", although every weight got a gradient that could move it" } else { "" };
    let plateau = plateau::forecast(case);
    let forecast = plateau.map(plateau::words).unwrap_or_default();
    let message = format!(
        "after {} steps the loss is {}, that of knowing nothing is {}{gradients}{forecast}",
        outcome.steps,
        number(share * baseline),
        number(baseline)
    );
    let finding = Finding::new(RULE.name, Level::Deny, whole(case), message)
            .at(outcome.steps)
            .against(
                "final loss over the loss of knowing nothing",
                share,
                CHANCE,
                "of networks of 10 to 80 layers on the digits, those that do not train end at 0.99, the slowest others at 0.91",
            )
            .against("fall over the last two thirds, in losses of knowing nothing", fall, FLAT, "a plateau has 0")
            .against("smallest steps x |update| / |W|", reach, SLOW, REACH_SOURCE)
            .remedies(&["change-learning-rate", "rescale-init", "insert-batch-norm", "insert-layer-norm"]);
    Some(match plateau {
        Some(Forecast::Ends { steps, growth }) => finding
            .with("flat steps still to come, an order of magnitude", steps)
            .with("growth of ln|dW| per step", growth),
        Some(Forecast::Far { growth } | Forecast::NoGrowth { growth }) => {
            finding.with("growth of ln|dW| per step", growth)
        }
        None => finding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    const BASELINE: f64 = std::f64::consts::LN_10;
    const HEALTHY: &str = "[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n";

    fn ask(losses: impl IntoIterator<Item = f64>) -> Option<Finding> {
        let mut bench = Bench::new(HEALTHY);
        bench.finish(losses);
        bench.ask("loss-at-chance")
    }

    fn steps(count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(f64::from)
    }

    #[test]
    fn a_plateau_at_the_loss_of_knowing_nothing() {
        let finding = ask(steps(500).map(|t| BASELINE + 0.03 * t.sin())).unwrap();
        assert_eq!(finding.level, Level::Deny);
        assert!(finding.message.contains("although every weight got a gradient"), "{}", finding.message);
        assert_eq!(ask(steps(500).map(|t| 2.3 * (-t / 200.0).exp())), None, "it learns");
        assert_eq!(ask(steps(50).map(|_| BASELINE)), None, "too few steps to judge");
        assert_eq!(ask(steps(500).map(|t| BASELINE * (1.0 + t / 500.0))), None, "it runs away");
        assert_eq!(ask(steps(500).map(|t| 2.6 - 0.0008 * t)), None, "still falling");
    }

    /// What kept the gradient away is named first.
    #[test]
    fn a_consequence_of_what_stops_the_gradient() {
        let mut bench = Bench::new("[network]\ndepth = 20\n");
        bench.finish(steps(500).map(|_| BASELINE));
        let found = bench.diagnose();
        assert_eq!((found.len(), found[0].rule.as_str()), (1, "vanishing-gradient"), "{found:#?}");
        let consequence = found[0].consequences.iter().find(|finding| finding.rule == "loss-at-chance").unwrap();
        assert!(!consequence.message.contains("although"), "{}", consequence.message);
    }
}
