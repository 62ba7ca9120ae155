//! Units that return zero on every sample.

use super::{Case, Finding, Rule};
use crate::recipe::Level;
use crate::record::{Snapshot, UnitRecord};

pub(super) static RULE: Rule = Rule {
    name: "dead-units",
    code: "G015",
    summary: "units return zero on every sample",
    page: include_str!("dead-units.md"),
    explains: &["exactly-zero-gradient", "learning-rate-too-low", "frozen-layer"],
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
    let sick = |record: &&UnitRecord| record.dead as f64 > chance(record.units) || (record.dead == record.units && record.units > 0);
    let layers: Vec<&UnitRecord> = snapshot.units.iter().filter(sick).collect();
    let (first, last) = (layers.first()?, layers.last()?);
    // A dead layer on the main path cuts everything before it off; one in a branch only loses the branch.
    let blocked = layers.iter().find(|record| record.dead == record.units && case.network.ops.iter().any(|op| op.name == record.name));
    let worst = layers.iter().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    let message = match blocked {
        Some(record) => format!(
            "all {} units of {} return zero on every sample: no gradient passes, and nothing before it can learn",
            record.units, record.name
        ),
        None => format!(
            "in {} of {} activations most units return zero on every sample; in {} {} of {}",
            layers.len(),
            snapshot.units.len(),
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

fn share(record: &UnitRecord) -> f64 {
    record.dead as f64 / record.units.max(1) as f64
}
