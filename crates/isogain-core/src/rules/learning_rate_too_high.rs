//! Steps too long for the curvature of the loss.

use super::finding::{number, whole};
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "learning-rate-too-high",
    code: "G015",
    summary: "steps are too long for the curvature of the loss",
    page: include_str!("learning-rate-too-high.md"),
    explains: &["dead-units", "clipping-dominates", "diverging-loss", "non-finite", "loss-at-chance"],
    check,
};

/// Learning rate times curvature over 2. Gradient descent is stable below 1 and recovers up to about 2 (Lewkowycz et
/// al. 2020: the catapult phase ends near 4 / lambda).
const CATAPULT: f64 = 2.0;
/// Rise of the loss above its running minimum while rehearsing on one batch, in losses of knowing nothing. Medians of
/// 30-layer networks: He with ReLU 0.15 and tanh at the edge of chaos 0.23 train, tailored leaky ReLU 0.75 does not.
const RISE: f64 = 0.3;
/// Rise, in first losses or losses of knowing nothing, from which no catapult comes back: its loss climbs to about as many
/// losses as a layer has units (Lewkowycz et al. 2020). A linear regression at twice its critical rate rises by 10^30.
const AWAY: f64 = 1e3;
/// First loss over that of knowing nothing from which on curvature says nothing: the softmax is saturated.
const EXPLODED: f64 = 10.0;

fn check(case: &Case<'_>) -> Option<Finding> {
    before(case).or_else(|| after(case))
}

/// Before training: curvature and rehearsal must agree.
fn before(case: &Case<'_>) -> Option<Finding> {
    let sharpness = case.start.sharpness.as_ref()?;
    let rate = case.recipe.optimizer.learning_rate;
    let baseline = case.data.baseline_loss;
    // The curvature is that of the start, and so is the rate that meets it: a warm-up begins far below.
    let first_rate = case.recipe.learning_rate(0);
    let stretch = first_rate * sharpness.gauss_newton / 2.0;
    let rise = sharpness.rehearsal_rise.unwrap_or(f64::INFINITY) / baseline;
    let exploded = case.start.flow.head.loss > EXPLODED * baseline;
    // Adam and its kin divide the gradient by its size, so that the curvature along it is no measure.
    let plain = !case.recipe.optimizer.rescales();
    let steep = plain && !exploded && stretch > CATAPULT;
    let rises = rise > RISE;
    let runs_away = rise > AWAY * (sharpness.rehearsal_first / baseline).max(1.0);
    let level = match (steep, rises) {
        _ if runs_away => Level::Deny,
        (true, true) => Level::Deny,
        (false, false) => return None,
        (false, true) => Level::Warn,
        // Batch norm and chaotic networks have a curvature that means nothing beyond a tiny neighbourhood.
        (true, false) => Level::Note,
    };
    let message = match (steep, rises) {
        _ if rise == f64::INFINITY => {
            format!("the learning rate of {} leaves the range of numbers within 40 steps on one batch", number(rate))
        }
        _ if runs_away => format!(
            "at a learning rate of {} the loss on one batch runs away: it rises by {} within 40 steps",
            number(rate),
            number(rise * baseline)
        ),
        (true, true) => format!(
            "the learning rate of {} is {} times the longest stable step, and on one batch the loss jumps up by {}",
            number(first_rate),
            number(stretch),
            number(rise * baseline)
        ),
        (true, false) => format!(
            "the learning rate of {} is {} times the longest stable step, though the loss still falls on one batch",
            number(first_rate),
            number(stretch)
        ),
        (false, _) => format!(
            "at a learning rate of {} the loss jumps up by {} while the same batch is repeated",
            number(rate),
            number(rise * baseline)
        ),
    };
    let mut finding = Finding::new(RULE.name, level, whole(case), message).against(
        "largest rise of the loss on one batch, over the loss of knowing nothing",
        rise,
        RISE,
        if sharpness.seeds > 1 {
            "median of the seeds measured; networks that train rise by less than 0.25"
        } else {
            "networks that train rise by less than 0.25"
        },
    );
    if plain && !exploded && !sharpness.gauss_newton.is_nan() {
        finding = finding
            .against("learning rate x curvature / 2", stretch, CATAPULT, "Lewkowycz et al. 2020: 4 / lambda")
            .with("largest eigenvalue of the Gauss-Newton matrix", sharpness.gauss_newton);
        finding.theory = Some(format!("stable up to 2 / lambda = {}", number(2.0 / sharpness.gauss_newton)));
    }
    Some(finding.with("seeds measured", sharpness.seeds as f64).remedies(REMEDIES))
}

const REMEDIES: &[&str] =
    &["change-learning-rate", "warm-up", "clip-by-global-norm", "scale-rates-by-width", "insert-batch-norm"];

/// After training: it started well and lost what it had.
fn after(case: &Case<'_>) -> Option<Finding> {
    let outcome = case.outcome?;
    let baseline = case.data.baseline_loss;
    let first = case.start.flow.head.loss;
    if !first.is_finite() || first > EXPLODED * baseline {
        return None;
    }
    let broken = outcome.first_non_finite.is_some() || outcome.loss.is_none_or(|loss| loss > 2.0 * baseline.max(first));
    if !broken {
        return None;
    }
    let rate = number(case.recipe.optimizer.learning_rate);
    let (step, message) = match &outcome.first_non_finite {
        Some(found) if found.step == 0 => return None,
        Some(found) => (
            found.step,
            format!("at a learning rate of {rate} a healthy start ends in non-finite values at step {}", found.step),
        ),
        None => (outcome.steps, format!("at a learning rate of {rate} training ends far above where it started")),
    };
    Some(
        Finding::new(RULE.name, Level::Deny, whole(case), message)
            .at(step)
            .with("first loss", first)
            .against("final loss", outcome.loss.unwrap_or(f64::INFINITY), 2.0 * baseline.max(first), "twice the start")
            .remedies(REMEDIES),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Schedule, ScheduleKind};
    use crate::record::{NonFinite, Sharpness};
    use crate::rules::fixture::Bench;

    fn measured(gauss_newton: f64, rise: Option<f64>) -> Bench {
        let mut bench = Bench::new("[network]\ndepth = 4\nwidth = 16\ninit = \"he-normal\"\n");
        let rehearsal_first = bench.start.flow.head.loss;
        bench.start.sharpness = Some(Sharpness { gauss_newton, rehearsal_rise: rise, rehearsal_first, seeds: 5 });
        bench
    }

    #[test]
    fn curvature_and_rehearsal_must_agree() {
        let level = |gauss_newton, rise| {
            measured(gauss_newton, rise).ask("learning-rate-too-high").map(|finding| finding.level)
        };
        assert_eq!(level(40.0, Some(0.3)), None);
        assert_eq!(level(1e6, Some(0.1)), Some(Level::Note), "batch norm: steep, and the loss falls");
        assert_eq!(level(40.0, Some(1.0)), Some(Level::Warn));
        assert_eq!(level(145.0, Some(1.7)), Some(Level::Deny));
        assert_eq!(level(40.0, None), Some(Level::Deny));
        assert_eq!(level(40.0, Some(1e4)), Some(Level::Deny), "no catapult climbs so far");
        assert_eq!(Bench::new("[network]\ndepth = 2\nwidth = 8\n").ask("learning-rate-too-high"), None, "not measured");
    }

    #[test]
    fn a_warm_up_meets_the_curvature_of_the_start_with_a_small_rate() {
        let mut bench = measured(145.0, Some(0.1));
        assert_eq!(bench.ask("learning-rate-too-high").unwrap().level, Level::Note);
        bench.recipe.schedule = Schedule { warm_up: 10, ..Schedule::of(ScheduleKind::WarmUp) };
        assert_eq!(bench.ask("learning-rate-too-high"), None);
    }

    #[test]
    fn curvature_says_nothing_behind_an_explosion() {
        let mut bench = measured(1e6, Some(0.1));
        bench.start.flow.head.loss = 300.0;
        assert_eq!(bench.ask("learning-rate-too-high"), None);
    }

    #[test]
    fn a_healthy_start_with_a_broken_end() {
        let mut bench = measured(40.0, Some(0.3));
        bench.finish([2.3, 2.2, 8.0, f64::NAN]);
        let found = NonFinite { step: 3, name: "loss".into(), phase: "loss".into() };
        bench.outcome.as_mut().unwrap().first_non_finite = Some(found);
        let finding = bench.ask("learning-rate-too-high").unwrap();
        assert_eq!((finding.level, finding.step), (Level::Deny, 3));
        bench.finish((0..20).map(|_| 1.0));
        assert_eq!(bench.ask("learning-rate-too-high"), None);
    }
}
