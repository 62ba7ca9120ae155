//! A loss that runs away, upwards, downwards without end, or back and forth.

use super::finding::{number, whole};
use super::measure::learned;
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "diverging-loss",
    code: "G021",
    summary: "the loss runs away: up, to minus infinity, or back and forth",
    page: include_str!("diverging-loss.md"),
    explains: &["non-finite", "loss-at-chance"],
    check,
};

/// Rise of the last losses over the first ones, in losses of knowing nothing, that is called divergence.
const DIVERGED: f64 = 1.0;
/// Rise over the running minimum that is called an overshoot; the noise of batches is far below.
const OVERSHOOT: f64 = 2.0;
/// Size of a swing, and the share of the steps that swing, for an oscillation.
const SWING: f64 = 0.3;
/// See [`SWING`].
const SWINGS: f64 = 0.2;
/// Fewest losses to judge, unless one of them is not finite.
const ENOUGH: usize = 8;

fn check(case: &Case<'_>) -> Option<Finding> {
    let losses: Vec<Option<f64>> = match case.outcome {
        Some(outcome) => outcome.losses.clone(),
        None => case.history.iter().map(|step| step.loss.is_finite().then_some(step.loss)).collect(),
    };
    let finite: Vec<f64> = losses.iter().map_while(|loss| *loss).collect();
    let ended = finite.len() < losses.len();
    if finite.is_empty() || (losses.len() < ENOUGH && !ended) {
        return None;
    }
    let scale = case.data.baseline_loss.abs().max(f64::MIN_POSITIVE);
    let shape = Shape::of(&finite, scale);
    let (level, step, message) = if shape.fall > 10.0 && shape.last < 0.0 && shape.falls_on {
        let message = format!(
            "the loss runs to minus infinity: {} and still falling, without a single non-finite value",
            number(shape.last)
        );
        (Level::Deny, finite.len(), message)
    } else if ended || shape.rise > DIVERGED {
        let end = if ended { "a non-finite value".to_owned() } else { number(shape.last) };
        (Level::Deny, finite.len(), format!("the loss diverges: from {} to {end}", number(shape.first)))
    } else if shape.overshoot > OVERSHOOT {
        let level = if learned(case) == Some(true) { Level::Warn } else { Level::Deny };
        let message =
            format!("the loss overshoots: it jumps to {} above what it had reached", number(shape.overshoot * scale));
        (level, shape.overshoot_at, message)
    } else if shape.swings > SWINGS {
        let message = format!(
            "the loss oscillates: on {} % of the steps it turns by more than {}",
            number(100.0 * shape.swings),
            number(SWING * scale)
        );
        (Level::Warn, finite.len(), message)
    } else {
        return None;
    };
    let first_step = case.history.first().map_or(0, |record| if case.outcome.is_some() { 0 } else { record.step });
    Some(
        Finding::new(RULE.name, level, whole(case), message)
            .at(first_step + step as u64)
            .against("rise from the first to the last losses", shape.rise, DIVERGED, "in losses of knowing nothing")
            .against(
                "largest rise above the running minimum",
                shape.overshoot,
                OVERSHOOT,
                "in losses of knowing nothing",
            )
            .against(
                "share of steps that swing",
                shape.swings,
                SWINGS,
                "turns of more than 0.3 losses of knowing nothing",
            )
            .with("last loss", shape.last)
            .remedies(&["change-learning-rate", "clip-by-global-norm", "insert-batch-norm", "scale-input"]),
    )
}

/// The course of a loss; sizes in units of the loss of knowing nothing.
struct Shape {
    first: f64,
    last: f64,
    rise: f64,
    fall: f64,
    /// Whether the last tenth falls faster than the one before it.
    falls_on: bool,
    overshoot: f64,
    overshoot_at: usize,
    swings: f64,
}

impl Shape {
    fn of(losses: &[f64], scale: f64) -> Self {
        let window = (losses.len() / 10).clamp(1, 50);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let (first, last) = (mean(&losses[..window]), mean(&losses[losses.len() - window..]));
        let before =
            mean(&losses[losses.len().saturating_sub(2 * window)..losses.len() - window.min(losses.len() - 1)]);
        let earlier = mean(&losses[..losses.len().saturating_sub(2 * window).max(1)]);
        let (mut lowest, mut overshoot, mut overshoot_at) = (f64::INFINITY, 0.0, 0);
        for (step, &loss) in losses.iter().enumerate() {
            lowest = lowest.min(loss);
            if loss - lowest > overshoot {
                (overshoot, overshoot_at) = (loss - lowest, step);
            }
        }
        let turns = losses.windows(3).filter(|w| {
            let (there, back) = (w[1] - w[0], w[2] - w[1]);
            there * back < 0.0 && there.abs().min(back.abs()) > SWING * scale
        });
        let swings = turns.count() as f64 / losses.len().saturating_sub(2).max(1) as f64;
        Self {
            first,
            last,
            rise: (last - first) / scale,
            fall: (first - last) / scale,
            falls_on: before - last > 0.0 && before < earlier,
            overshoot: overshoot / scale,
            overshoot_at,
            swings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn ask(losses: impl IntoIterator<Item = f64>) -> Option<Finding> {
        let mut bench = Bench::new("[network]\ndepth = 2\nwidth = 8\n");
        bench.finish(losses);
        bench.ask("diverging-loss")
    }

    fn steps(count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(f64::from)
    }

    #[test]
    fn healthy_courses() {
        assert_eq!(ask(steps(100).map(|t| 2.3 * (-t / 30.0).exp() + 0.2 * t.sin())), None);
        assert_eq!(ask(steps(100).map(|_| 2.303)), None, "stuck is not diverging");
        assert_eq!(ask([2.3, 5.0]), None, "too few to judge");
        assert_eq!(ask([f64::NAN]), None, "it did not diverge, it never was finite");
    }

    #[test]
    fn up_and_out() {
        let found = ask(steps(50).map(|t| 2.3 * (t / 10.0).exp())).unwrap();
        assert!(found.level == Level::Deny && found.message.contains("diverges"), "{}", found.message);
        let found = ask(steps(50).map(|t| if t < 40.0 { 2.3 } else { f64::NAN })).unwrap();
        assert!(found.message.contains("non-finite"), "{}", found.message);
        assert!(ask([2.3, 180.0, f64::NAN]).is_some(), "a run that stops there is short");
    }

    #[test]
    fn to_minus_infinity_without_a_nan() {
        let found = ask(steps(200).map(|t| 2.0 - t * t)).unwrap();
        assert!(found.level == Level::Deny && found.message.contains("minus infinity"), "{}", found.message);
        // A log-likelihood may be negative and still settle.
        assert_eq!(ask(steps(200).map(|t| -3.0 * (1.0 - (-t / 20.0).exp()))), None);
    }

    #[test]
    fn overshoot_and_oscillation() {
        let found = ask(steps(100).map(|t| if t == 50.0 { 20.0 } else { 2.0 })).unwrap();
        assert!(found.message.contains("overshoots") && found.step == 50, "{found:?}");
        let found = ask(steps(100).map(|t| if t % 2.0 == 0.0 { 1.0 } else { 3.0 })).unwrap();
        assert!(found.level == Level::Warn && found.message.contains("oscillates"), "{}", found.message);
    }
}
