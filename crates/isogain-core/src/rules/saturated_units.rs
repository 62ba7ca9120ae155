//! Units that sit on the flat part of their activation.

use super::finding::number;
use super::{Case, Finding, Rule};
use crate::recipe::Level;
use crate::record::Snapshot;

pub(super) static RULE: Rule = Rule {
    name: "saturated-units",
    code: "G010",
    summary: "units sit on the flat part of their activation",
    page: include_str!("saturated-units.md"),
    explains: &[
        "vanishing-gradient",
        "gradient-underflow",
        "gradient-below-eps",
        "exactly-zero-gradient",
        "learning-rate-too-low",
        "frozen-layer",
        "loss-at-chance",
    ],
    check,
};

/// Share of flat values in a layer. With |phi'| < 0.01 on half of the values the layer's gain is at most 0.71 of what
/// it was meant to be, whatever the other half does.
const SUFFERS: f64 = 0.5;
/// Share from which on a layer is as good as cut off: its gain is at most sqrt(0.1) of the intended one.
const FAILS: f64 = 0.9;

fn check(case: &Case<'_>) -> Option<Finding> {
    saturated(case.start).or_else(|| case.end.and_then(saturated))
}

fn saturated(snapshot: &Snapshot) -> Option<Finding> {
    let flat: Vec<_> = snapshot.units.iter().filter(|record| record.saturated_fraction > SUFFERS).collect();
    let (first, last) = (flat.first()?, flat.last()?);
    let worst = flat.iter().max_by(|a, b| a.saturated_fraction.total_cmp(&b.saturated_fraction))?;
    let level = if worst.saturated_fraction > FAILS { Level::Deny } else { Level::Warn };
    let message = format!(
        "{} of {} activations are saturated: in {} the slope is below 0.01 for {} % of the values",
        flat.len(),
        snapshot.units.len(),
        worst.name,
        number(100.0 * worst.saturated_fraction)
    );
    Some(
        Finding::new(RULE.name, level, [&first.name, &last.name], message)
            .at(snapshot.step)
            .against(
                format!("share of values of {} with slope below 0.01", worst.name),
                worst.saturated_fraction,
                SUFFERS,
                "half of a layer's slopes missing costs x0.71 or more",
            )
            .remedies(&["rescale-init", "scale-input", "insert-batch-norm", "insert-layer-norm", "swap-activation"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    #[test]
    fn slopes_count_not_outputs() {
        let ask = |std: f64| {
            let init = format!("init = {{ name = \"fixed-variance\", std = {std:?} }}");
            Bench::new(&format!("[network]\ndepth = 3\nwidth = 32\nactivation = \"tanh\"\n{init}\n"))
                .ask("saturated-units")
        };
        assert_eq!(ask(0.15), None);
        assert_eq!(ask(1.0).unwrap().level, Level::Warn);
        assert_eq!(ask(20.0).unwrap().level, Level::Deny);
    }

    #[test]
    fn seen_at_the_end_of_training_too() {
        let mut bench =
            Bench::new("[network]\ndepth = 2\nwidth = 16\nactivation = \"tanh\"\ninit = \"glorot-normal\"\n");
        let mut end = bench.start.clone();
        (end.step, end.units[0].saturated_fraction) = (100, 0.95);
        bench.end = Some(end);
        let finding = bench.ask("saturated-units").unwrap();
        assert_eq!((finding.step, finding.level), (100, Level::Deny));
    }
}
