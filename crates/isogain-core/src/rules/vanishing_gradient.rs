//! A gradient that shrinks on its way back until the first layers cannot move.

use std::collections::BTreeMap;

use super::finding::{factor, number};
use super::measure::{Span, Unfollowed, Weight, backward, belongs, unfollowed, weights};
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "vanishing-gradient",
    code: "G012",
    summary: "the gradient shrinks on its way back until the first layers cannot move",
    page: include_str!("vanishing-gradient.md"),
    explains: &[
        "gradient-underflow",
        "gradient-below-eps",
        "dead-units",
        "exactly-zero-gradient",
        "learning-rate-too-low",
        "frozen-layer",
        "loss-at-chance",
        "frozen-embedding",
    ],
    check,
};

/// Shrinking, nepers, without which a slow layer is not a matter of the gradient's way back (a factor of 30). Healthy
/// networks of 30 layers lose up to 3.0 (Xavier with tanh).
pub(super) const SHRINKS: f64 = 3.4;
/// Steps times |update| / |W| below which a layer is stuck, and below which it is slow.
pub(super) const STUCK: f64 = 0.035;
/// See [`STUCK`].
pub(super) const SLOW: f64 = 0.065;
/// Shrinking, nepers, from weight to weight of layers that repeat, where the chain rule's factors in between are not seen: a
/// factor of 1000, because gradients of weights differ by the sizes of layers too.
const BESIDE: f64 = 6.9;
/// Part of these weights that must be stuck: a few that hardly move are no illness.
const PART: f64 = 1.0 / 3.0;
/// Fewest weights that tell a course through depth.
const FEWEST: usize = 4;
/// In order.
const REMEDIES: &[&str] = &[
    "rescale-init",
    "swap-activation",
    "add-skip",
    "insert-batch-norm",
    "orthogonal-init",
    "lsuv-init",
    "unit-jacobian-init",
    "insert-layer-norm",
    "orthogonalise-updates",
    "supervise-layers",
];
/// Where the two limits come from.
pub(super) const REACH_SOURCE: &str =
    "of 65 trainings on the digits, none below 0.035 passed 32 % accuracy, all above 0.065 reached 42 %";

/// The shrinking, the weight it leaves behind, and how bad that is.
struct Shrunk<'a> {
    span: Span,
    weight: Weight<'a>,
    reach: f64,
    level: Level,
}

fn shrunk<'a>(case: &Case<'a>) -> Option<Shrunk<'a>> {
    let span = backward(case.start, false).filter(|span| span.log_gain < -SHRINKS)?;
    // The most mobile weight of the layer: a zero-initialised part of a branch is not what holds it back.
    let weight = weights(case)
        .into_iter()
        .filter(|weight| belongs(weight.op, &span.first.name) && weight.reach.is_some())
        .max_by(|a, b| a.reach.unwrap_or(0.0).total_cmp(&b.reach.unwrap_or(0.0)))?;
    let reach = weight.reach?;
    let level = match reach {
        reach if reach < STUCK => Level::Deny,
        reach if reach < SLOW => Level::Warn,
        // The optimizer makes up for it: ratios between layers over-fire on healthy networks.
        _ => return None,
    };
    Some(Shrunk { span, weight, reach, level })
}

/// Whether this rule has something to say.
pub(super) fn fires(case: &Case<'_>) -> bool {
    shrunk(case).is_some()
}

fn check(case: &Case<'_>) -> Option<Finding> {
    along_the_chain(case).or_else(|| beside_the_chain(case))
}

fn along_the_chain(case: &Case<'_>) -> Option<Finding> {
    let Shrunk { span, weight, reach, level } = shrunk(case)?;
    let [first, last] = span.names();
    let message = format!(
        "the gradient shrinks by {} from {last} to {first}, x{} per layer",
        factor(-span.log_gain),
        number(span.per_layer())
    );
    let mut finding = Finding::new(RULE.name, level, [first, last], message)
        .against(
            "ln of the gradient's change on its way back",
            span.log_gain,
            -SHRINKS,
            "healthy networks lose up to 3.0",
        )
        .against(format!("steps x |update| / |W| of {}", weight.op), reach, STUCK, REACH_SOURCE)
        .with("RMS of what the outputs vary between samples", case.start.flow.head.output_spread_rms)
        .with_slope(case)
        .remedies(REMEDIES);
    finding.causes = span.causes(&case.start.flow.joints);
    finding.theory = super::expectation::line(case);
    Some(finding)
}

/// Two ways that meet, towers, layers side by side: only their weights tell what became of the gradient. Those of one size at
/// the same place of layers that repeat are compared with one another: `a.0.weight` with `a.2.weight`, queries with queries.
fn beside_the_chain(case: &Case<'_>) -> Option<Finding> {
    let mut places: BTreeMap<(String, u64), Vec<Unfollowed<'_>>> = BTreeMap::new();
    for weight in unfollowed(case) {
        places.entry((place(weight.name), weight.count)).or_default().push(weight);
    }
    let stuck = places.into_values().filter_map(Stuck::of);
    let Stuck { smallest, largest, log_gain, share } = stuck.min_by(|a, b| a.log_gain.total_cmp(&b.log_gain))?;
    let message = format!(
        "where ways run side by side, the gradient of {} is {} of that of {}: {} % of such weights cannot move",
        smallest.name,
        factor(log_gain),
        largest.name,
        number(100.0 * share)
    );
    Some(
        Finding::new(RULE.name, Level::Deny, [smallest.name, largest.name], message)
            .against(
                "ln of the smallest gradient over the largest, of such weights",
                log_gain,
                -BESIDE,
                "a factor of 1000",
            )
            .against("share of them that cannot move", share, PART, "a few are no illness")
            .against(format!("steps x |update| / |W| of {}", smallest.name), smallest.reach, STUCK, REACH_SOURCE)
            .remedies(REMEDIES),
    )
}

/// A weight's name without its numbers.
fn place(name: &str) -> String {
    name.split(|letter: char| letter.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("*")
}

/// Weights at one place of layers that repeat, many of which cannot move.
struct Stuck<'a> {
    smallest: Unfollowed<'a>,
    largest: Unfollowed<'a>,
    /// ln of the ratio of their gradients' RMS.
    log_gain: f64,
    /// Part that cannot move.
    share: f64,
}

impl<'a> Stuck<'a> {
    fn of(mut weights: Vec<Unfollowed<'a>>) -> Option<Self> {
        if weights.len() < FEWEST {
            return None;
        }
        weights.sort_by(|a, b| a.gradient_rms.total_cmp(&b.gradient_rms));
        let (smallest, largest) = (*weights.first()?, *weights.last()?);
        let log_gain = |one: &Unfollowed<'_>| (one.gradient_rms / largest.gradient_rms).ln();
        let is_stuck = |one: &&Unfollowed<'_>| one.reach < STUCK && log_gain(one) < -BESIDE;
        let share = weights.iter().filter(is_stuck).count() as f64 / weights.len() as f64;
        (share >= PART && is_stuck(&&smallest)).then(|| Self {
            smallest,
            largest,
            log_gain: log_gain(&smallest),
            share,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Op, OpKind, Other};
    use crate::rules::fixture::Bench;
    use crate::rules::measure::is_zero;

    fn plain(depth: usize, more: &str) -> Bench {
        Bench::new(&format!("[network]\ndepth = {depth}\nwidth = 32\n{more}"))
    }

    #[test]
    fn depth_decides() {
        assert_eq!(plain(4, "").ask("vanishing-gradient"), None);
        let finding = plain(12, "").ask("vanishing-gradient").unwrap();
        assert_eq!((finding.level, finding.layers), (Level::Deny, ["fc1".into(), "fc12".into()]));
        assert_eq!(finding.remedies[0], "rescale-init");
    }

    /// The same ratio between layers is no illness where the optimizer makes up for it.
    #[test]
    fn adam_rescales_until_eps() {
        let adam = |eps: &str| format!("[optimizer]\nname = \"adam\"\nlearning_rate = 1e-3\neps = {eps}\n");
        assert_eq!(plain(12, &adam("1e-30")).ask("vanishing-gradient"), None);
        assert!(plain(20, &adam("1e-3")).ask("vanishing-gradient").is_some());
    }

    /// A tower whose layers the chain does not show.
    #[test]
    fn what_runs_side_by_side_is_judged_by_its_parameters() {
        let tower = |factor: f64| {
            let mut bench = plain(2, "");
            let other = OpKind::Other(Other { operation: "cat".into(), weighted: true, homogeneous: false });
            bench.network.ops.insert(0, Op { name: "cat".into(), kind: other });
            let first = bench.start.parameters[0].clone();
            for layer in 0..12 {
                let mut record = first.clone();
                record.name = format!("tower.{layer}.weight");
                record.gradient.sum_of_squares *= factor.powi(2 * (12 - layer));
                bench.start.parameters.push(record);
            }
            bench.ask("vanishing-gradient")
        };
        assert_eq!(tower(0.9), None);
        let finding = tower(0.2).unwrap();
        assert_eq!((finding.level, finding.layers), (Level::Deny, ["tower.0.weight".into(), "tower.11.weight".into()]));
    }

    #[test]
    fn zero_initialised_skips_are_healthy() {
        let skip = "kind = \"residual\"\ninit = \"he-normal\"\nbranch_scale = 0.0\nlearnable_scale = true\n";
        let bench = plain(20, skip);
        assert!(bench.start.parameters.iter().any(|parameter| is_zero(&parameter.gradient)));
        assert!(bench.diagnose().is_empty(), "{:#?}", bench.diagnose());
    }
}
