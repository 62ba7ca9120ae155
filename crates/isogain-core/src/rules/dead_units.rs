//! Units that return zero on every sample.

use std::collections::HashSet;

use super::measure::is_zero;
use super::{Case, Finding, Rule};
use crate::network::OpKind;
use crate::recipe::Level;
use crate::record::{Snapshot, UnitRecord};

pub(super) static RULE: Rule = Rule {
    name: "dead-units",
    code: "G016",
    summary: "units return zero on every sample",
    page: include_str!("dead-units.md"),
    explains: &["exactly-zero-gradient", "learning-rate-too-low", "frozen-layer", "loss-at-chance"],
    check,
};

fn check(case: &Case<'_>) -> Option<Finding> {
    dead(case, case.start).or_else(|| case.end.and_then(|end| dead(case, end)))
}

/// The most dead units that chance explains. Where all samples look alike (the limit of every deep ReLU net) each unit
/// is on for all of them or off for all of them, with probability 1/2; three standard deviations on top.
fn chance(units: usize) -> f64 {
    let units = units as f64;
    0.5 * units + 1.5 * units.sqrt()
}

fn dead(case: &Case<'_>, snapshot: &Snapshot) -> Option<Finding> {
    let sick = |record: &&UnitRecord| {
        record.dead as f64 > chance(record.units) || (record.dead == record.units && record.units > 0)
    };
    let layers: Vec<&UnitRecord> = snapshot.units.iter().filter(sick).collect();
    let (first, last) = (layers.first()?, layers.last()?);
    // A dead layer on the main path cuts everything before it off; one in a branch only loses the branch.
    let main_path: HashSet<&str> = case.network.ops.iter().map(|op| op.name.as_str()).collect();
    let blocked = layers.iter().find(|record| {
        record.dead == record.units && main_path.contains(record.name.as_str()) && cuts_off(snapshot, &record.name)
    });
    let worst = layers.iter().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    let message = match blocked {
        Some(record) => format!(
            "all {} {} of {} return zero on every sample: no gradient passes, and nothing before it can learn",
            record.units,
            noun(case, &record.name),
            record.name
        ),
        None => format!(
            "in {} of {} activations most {} return zero on every sample; in {} {} of {}",
            layers.len(),
            snapshot.units.len(),
            noun(case, &worst.name),
            worst.name,
            worst.dead,
            worst.units
        ),
    };
    let level = if blocked.is_some() { Level::Deny } else { Level::Warn };
    Some(
        Finding::new(RULE.name, level, [&first.name, &last.name], message)
            .at(snapshot.step)
            .against(
                format!("dead share of {}", worst.name),
                share(worst),
                chance(worst.units) / worst.units as f64,
                "1/2 plus three deviations: units that chance leaves off for all samples",
            )
            .with("activations concerned", layers.len() as f64)
            .with("samples seen", snapshot.batch as f64)
            .remedies(&["swap-activation", "change-learning-rate", "rescale-init", "insert-batch-norm", "add-skip"]),
    )
}

/// What a unit of this activation is called: behind a convolution it is a channel, dead at every position of every sample.
fn noun(case: &Case<'_>, name: &str) -> &'static str {
    let ops = case.network.walk();
    let before = ops.iter().take_while(|op| op.name != name);
    let layer = before.filter(|op| matches!(op.kind, OpKind::Linear(_) | OpKind::Convolution(_))).last();
    match layer.map(|op| &op.kind) {
        Some(OpKind::Convolution(_)) => "channels",
        _ => "units",
    }
}

/// Whether no gradient passes an operation: it may be a branch that the network's description does not show as one.
fn cuts_off(snapshot: &Snapshot, name: &str) -> bool {
    let before = snapshot.joints.iter().take_while(|joint| joint.name != name);
    before.filter(|joint| joint.cotangent.count > 0).all(|joint| is_zero(&joint.cotangent))
}

fn share(record: &UnitRecord) -> f64 {
    record.dead as f64 / record.units.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Convolution;
    use crate::rules::fixture::Bench;
    use crate::statistics::Moments;

    #[test]
    fn more_than_chance_and_all() {
        let mut bench = Bench::new("[network]\ndepth = 4\nwidth = 64\ninit = \"he-normal\"\n");
        assert_eq!(bench.ask("dead-units"), None);
        bench.start.units[2].dead = 40;
        assert_eq!(bench.ask("dead-units"), None, "chance leaves half of the units off where samples look alike");
        bench.start.units[2].dead = 50;
        assert_eq!(bench.ask("dead-units").unwrap().level, Level::Warn);
        bench.start.units[2].dead = 64;
        assert_eq!(bench.ask("dead-units").unwrap().level, Level::Warn, "a gradient still arrives before it");
        assert!(bench.ask("dead-units").unwrap().message.contains("most units return zero"));
        for op in &mut bench.network.ops {
            if let OpKind::Linear(linear) = op.kind.clone() {
                op.kind = OpKind::Convolution(Convolution { linear, window: None });
            }
        }
        assert!(bench.ask("dead-units").unwrap().message.contains("most channels return zero"));
        for joint in &mut bench.start.joints {
            joint.cotangent = Moments { zeros: 64, count: 64, ..Moments::default() };
        }
        let finding = bench.ask("dead-units").unwrap();
        assert_eq!((finding.level, &finding.layers[0]), (Level::Deny, &"relu3".to_owned()));
    }

    #[test]
    fn a_dead_branch_does_not_cut_the_network() {
        let skip =
            "[network]\nkind = \"residual\"\ndepth = 4\nwidth = 16\ninit = \"he-normal\"\nbranch_scale = \"depth\"\n";
        let mut bench = Bench::new(skip);
        let unit = &mut bench.start.units[0];
        unit.dead = unit.units;
        assert_eq!(bench.ask("dead-units").unwrap().level, Level::Warn);
    }

    #[test]
    fn consequences_stand_under_the_cause() {
        let found = Bench::new("[network]\ndepth = 40\nwidth = 2\ninit = \"he-normal\"\n").diagnose();
        assert_eq!((found.len(), found[0].rule.as_str()), (1, "dead-units"), "{found:#?}");
        assert!(found[0].consequences.iter().any(|finding| finding.rule == "exactly-zero-gradient"), "{found:#?}");
    }
}
