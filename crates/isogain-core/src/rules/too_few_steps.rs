//! A run that ended while it was still learning: no illness.

use super::finding::{number, steps, whole};
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "too-few-steps",
    code: "G023",
    summary: "the run ended while the loss was still falling (a note, no illness)",
    page: include_str!("too-few-steps.md"),
    explains: &[],
    check,
};

/// Part of the loss of knowing nothing that must be left for more steps to matter.
const LEFT: f64 = 0.1;
/// Fall from one fifth of the run to the next, in losses of knowing nothing.
const FALLS: f64 = 0.02;
/// The same fall, in standard errors of the difference.
const SURELY: f64 = 3.0;
/// Fewest losses to judge.
const ENOUGH: usize = 10;

fn check(case: &Case<'_>) -> Option<Finding> {
    let outcome = case.outcome?;
    let losses: Option<Vec<f64>> = outcome.losses.iter().copied().collect();
    let losses = losses.filter(|losses| losses.len() >= ENOUGH)?;
    let baseline = case.data.baseline_loss;
    let fifth = losses.len() / 5;
    let (last_mean, last_error) = mean_and_error(&losses[losses.len() - fifth..]);
    let (before_mean, before_error) = mean_and_error(&losses[losses.len() - 2 * fifth..losses.len() - fifth]);
    let fall = before_mean - last_mean;
    let sure = fall > SURELY * last_error.hypot(before_error);
    let left = outcome.loss? / baseline;
    if left < LEFT || fall < FALLS * baseline || !sure {
        return None;
    }
    let message = format!(
        "the loss was still falling when the run ended after {}: by {} over the last fifth, to {}",
        steps(outcome.steps),
        number(fall),
        number(last_mean)
    );
    let epochs = outcome.steps as f64 * case.recipe.data.batch as f64 / case.data.train_samples.max(1) as f64;
    Some(
        Finding::new(RULE.name, Level::Note, whole(case), message)
            .at(outcome.steps)
            .against(
                "fall of the loss over the last fifth, over that of knowing nothing",
                fall / baseline,
                FALLS,
                "a plateau has 0",
            )
            .against("the same in standard errors", fall / last_error.hypot(before_error), SURELY, "three sigma")
            .with("passes over the data", epochs),
    )
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn ask(losses: impl IntoIterator<Item = f64>) -> Option<Finding> {
        let mut bench = Bench::new("[network]\ndepth = 2\nwidth = 8\n");
        bench.finish(losses);
        bench.ask("too-few-steps")
    }

    fn course(length: f64, count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(move |t| 2.3 * (-f64::from(t) / length).exp() + 0.01 * f64::from(t).sin())
    }

    #[test]
    fn still_falling_is_a_note_and_no_illness() {
        assert_eq!(ask(course(50.0, 60)).unwrap().level, Level::Note);
        assert_eq!(ask(course(50.0, 1000)), None, "arrived");
        assert_eq!(ask((0..60).map(|t| 2.303 + 0.05 * f64::from(t).sin())), None, "stuck");
    }

    #[test]
    fn an_under_trained_network_is_not_called_sick() {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n[run]\nsteps = 60\n");
        bench.finish(course(50.0, 60));
        let found = bench.diagnose();
        let rules: Vec<_> = found.iter().map(|finding| (finding.rule.as_str(), finding.level)).collect();
        assert_eq!(rules, [("too-few-steps", Level::Note)]);
    }
}
