//! Positions that all look alike.

use super::finding::number;
use super::{Case, Finding, Rule};
use crate::recipe::Level;
use crate::record::{Detail, Snapshot};

pub(super) static RULE: Rule = Rule {
    name: "rank-collapse",
    code: "G034",
    summary: "all positions of a sample look alike, so that attention has nothing to choose from",
    page: include_str!("rank-collapse.md"),
    explains: &["vanishing-gradient", "frozen-layer", "loss-at-chance", "frozen-embedding"],
    check,
};

/// RMS of what differs between positions, over the RMS of all: below it two positions correlate by 0.99.
const ALIKE: f64 = 0.1;
/// What was there to lose: embeddings of random tokens differ by 0.9 and more, a series that hardly varies is as it is.
const DIFFERENT: f64 = 3.0 * ALIKE;

fn check(case: &Case<'_>) -> Option<Finding> {
    collapsed(case.start).or_else(|| case.end.and_then(collapsed))
}

fn collapsed(snapshot: &Snapshot) -> Option<Finding> {
    let spreads: Vec<(&str, f64)> = snapshot
        .joints
        .iter()
        .filter_map(|joint| match joint.detail {
            Some(Detail::Spread(spread)) if spread.is_finite() => Some((joint.name.as_str(), spread)),
            _ => None,
        })
        .collect();
    let largest = spreads.iter().map(|(_, spread)| *spread).fold(0.0, f64::max);
    let (first, _) = spreads.iter().find(|(_, spread)| *spread < ALIKE)?;
    let (last, lowest) = spreads.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    if largest < DIFFERENT {
        return None;
    }
    let message = format!(
        "the positions of a sample become alike: behind {last} they differ by {} % of their size, in the first blocks by \
         {} %",
        number(100.0 * lowest),
        number(100.0 * largest)
    );
    Some(
        Finding::new(RULE.name, Level::Warn, [first, last], message)
            .at(snapshot.step)
            .against(
                format!("RMS of what differs between the positions behind {last}, over all"),
                *lowest,
                ALIKE,
                "two positions correlate by 1 - 0.1^2 = 0.99",
            )
            .against("the largest of all blocks", largest, DIFFERENT, "there must be something to lose")
            .with("blocks concerned", spreads.iter().filter(|(_, spread)| *spread < ALIKE).count() as f64)
            .remedies(&["add-skip", "rescale-init", "insert-layer-norm"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn ask(spreads: [f64; 3]) -> Option<Finding> {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n");
        for (index, spread) in spreads.into_iter().enumerate() {
            bench.joint(&format!("fc{}", index + 1)).detail = Some(Detail::Spread(spread));
        }
        bench.ask("rank-collapse")
    }

    #[test]
    fn what_differs_gets_lost_on_the_way() {
        assert_eq!(ask([0.98, 0.7, 0.43]), None, "attention with skips");
        let finding = ask([0.78, 0.06, 2e-6]).unwrap();
        assert_eq!((finding.level, finding.layers), (Level::Warn, ["fc2".into(), "fc3".into()]));
        assert_eq!(ask([0.05, 0.05, 0.04]), None, "there never was anything");
    }
}
