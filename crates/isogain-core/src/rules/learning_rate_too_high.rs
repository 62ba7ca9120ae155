//! Steps too long for the curvature of the loss.

use super::finding::{number, whole};
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "learning-rate-too-high",
    code: "G015",
    summary: "steps are too long for the curvature of the loss",
    page: include_str!("learning-rate-too-high.md"),
    explains: &[
        "dead-units",
        "clipping-dominates",
        "diverging-loss",
        "non-finite",
        "stale-statistics",
        "loss-at-chance",
    ],
    check,
};

/// Learning rate times curvature over 2. Gradient descent is stable below 1 and recovers up to about 2 (Lewkowycz et
/// al. 2020: the catapult phase ends near 4 / lambda).
const CATAPULT: f64 = 2.0;
/// Rise of the loss above its running minimum while rehearsing on one batch, in losses of knowing nothing, or in first losses
/// where those are larger: on its way to knowing nothing a loss may swing. Medians of 30-layer networks: He with ReLU 0.15 and
/// tanh at the edge of chaos 0.23 train, tailored leaky ReLU 0.75 does not.
const RISE: f64 = 0.3;
/// The same from which no catapult comes back: its loss climbs to about as many losses as a layer has units (Lewkowycz et al.
/// 2020). A linear regression at twice its critical rate rises by 10^30.
const AWAY: f64 = 1e3;
/// Loss at the rehearsal's end, over that of the start or of knowing nothing, below which a rise is over: residual, recurrent
/// and sigmoid networks that train end at 0.01 to 0.15, tailored leaky ReLU, which does not, at 0.8.
const RECOVERED: f64 = 0.5;
/// Rise up to which that counts: of 24 networks of 10 to 50 layers trained in PyTorch those that rose by 0.3 to 1.9 and came
/// back ended near the best of four rates, those that rose by 20 to 40 at ten times its loss.
const MILD: f64 = 5.0;
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
    let (first, last) = (sharpness.rehearsal_first, sharpness.rehearsal_last);
    let rise = sharpness.rehearsal_rise.map_or(f64::INFINITY, |rise| rise / baseline.max(first));
    let exploded = case.start.flow.head.loss > EXPLODED * baseline;
    // Adam and its kin divide the gradient by its size, so that the curvature along it is no measure.
    let plain = !case.recipe.optimizer.rescales();
    let steep = plain && !exploded && stretch > CATAPULT;
    let rises = rise > RISE;
    let runs_away = rise > AWAY;
    let recovers = rise < MILD && last.is_some_and(|last| last < RECOVERED * baseline.min(first));
    let level = match (steep, rises) {
        _ if runs_away => Level::Deny,
        (false, false) => return None,
        (true, true) if recovers => Level::Warn,
        (true, true) => Level::Deny,
        (false, true) if recovers => Level::Note,
        (false, true) => Level::Warn,
        // Batch norm and chaotic networks have a curvature that means nothing beyond a tiny neighbourhood.
        (true, false) => Level::Note,
    };
    let climbs = number(rise * baseline.max(first));
    let falls = if recovers { ", and falls all the same" } else { "" };
    let message = match (steep, rises) {
        _ if rise == f64::INFINITY => {
            format!("the learning rate of {} leaves the range of numbers within 40 steps on one batch", number(rate))
        }
        _ if runs_away => format!(
            "at a learning rate of {} the loss on one batch runs away: it rises by {} within 40 steps",
            number(rate),
            climbs
        ),
        (true, true) => format!(
            "the learning rate of {} is {} times the longest stable step, and on one batch the loss jumps up by {climbs}{falls}",
            number(first_rate),
            number(stretch),
        ),
        (true, false) => format!(
            "the learning rate of {} is {} times the longest stable step, though the loss still falls on one batch",
            number(first_rate),
            number(stretch)
        ),
        (false, _) => format!(
            "at a learning rate of {} the loss jumps up by {climbs} while the same batch is repeated{falls}",
            number(rate)
        ),
    };
    let mut finding = Finding::new(RULE.name, level, whole(case), message).against(
        "largest rise of the loss on one batch, over the first loss or that of knowing nothing",
        rise,
        RISE,
        "networks that train rise by less than 0.25, or come back",
    );
    if let Some(last) = last {
        let left = last / baseline.min(first);
        finding = finding.against(
            "loss after 40 steps, over the smaller of the two",
            left,
            RECOVERED,
            "below it the rise is over",
        );
    }
    if plain && !exploded && !sharpness.gauss_newton.is_nan() {
        finding = finding
            .against("learning rate x curvature / 2", stretch, CATAPULT, "Lewkowycz et al. 2020: 4 / lambda")
            .with("largest eigenvalue of the Gauss-Newton matrix", sharpness.gauss_newton);
        finding.theory = Some(format!("stable up to 2 / lambda = {}", number(2.0 / sharpness.gauss_newton)));
    }
    if sharpness.seeds > 1 {
        finding = finding.with("initialisations, of which these are medians", sharpness.seeds as f64);
    }
    Some(finding.remedies(REMEDIES))
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

    /// `last` over the first loss.
    fn measured_to(gauss_newton: f64, rise: Option<f64>, last: Option<f64>) -> Bench {
        let mut bench = Bench::new("[network]\ndepth = 4\nwidth = 16\ninit = \"he-normal\"\n");
        let rehearsal_first = bench.start.flow.head.loss;
        let rehearsal_last = last.map(|last| last * rehearsal_first);
        let sharpness = Sharpness { gauss_newton, rehearsal_rise: rise, rehearsal_first, rehearsal_last, seeds: 5 };
        bench.start.sharpness = Some(sharpness);
        bench
    }

    fn measured(gauss_newton: f64, rise: Option<f64>) -> Bench {
        measured_to(gauss_newton, rise, None)
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
    fn a_rise_that_is_over_is_a_note() {
        let level = |gauss_newton, last| {
            let found = measured_to(gauss_newton, Some(1.7), Some(last)).ask("learning-rate-too-high").unwrap();
            (found.level, found.message.ends_with(", and falls all the same"))
        };
        assert_eq!(level(40.0, 0.1), (Level::Note, true));
        assert_eq!(level(40.0, 0.8), (Level::Warn, false));
        assert_eq!(level(145.0, 0.1), (Level::Warn, true), "a catapult");
        assert_eq!(level(145.0, 0.8), (Level::Deny, false));
        let risen = |rise| measured_to(40.0, Some(rise), Some(0.1)).ask("learning-rate-too-high").unwrap().level;
        assert_eq!((risen(30.0), risen(1e4)), (Level::Warn, Level::Deny), "too far to be harmless");
        // From a start far above what knowing nothing costs, half of the start is nothing learned yet.
        let mut nowhere = measured(40.0, None);
        nowhere.start.sharpness.as_mut().unwrap().rehearsal_first = f64::INFINITY;
        assert_eq!(nowhere.ask("learning-rate-too-high").unwrap().level, Level::Deny);
        let mut far = measured_to(40.0, Some(170.0), Some(0.1));
        far.start.sharpness.as_mut().unwrap().rehearsal_first = 100.0;
        far.start.sharpness.as_mut().unwrap().rehearsal_last = Some(2.3);
        assert_eq!(far.ask("learning-rate-too-high").unwrap().level, Level::Warn);
    }

    #[test]
    fn a_swing_on_the_way_to_knowing_nothing_is_small_beside_the_start() {
        let mut bench = measured(40.0, Some(3.0));
        bench.start.sharpness.as_mut().unwrap().rehearsal_first = 20.0;
        assert_eq!(bench.ask("learning-rate-too-high"), None);
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
