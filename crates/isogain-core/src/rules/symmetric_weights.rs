//! Units that start alike and therefore stay alike.

use std::collections::HashMap;

use super::measure::by_name;
use super::{Case, Finding, Rule};
use crate::network::{Convolution, Op, OpKind};
use crate::recipe::Level;
use crate::record::ParameterRecord;

pub(super) static RULE: Rule = Rule {
    name: "symmetric-weights",
    code: "G003",
    summary: "the units of a layer start alike and stay one unit",
    page: include_str!("symmetric-weights.md"),
    explains: &[
        "exploding-activation",
        "vanishing-activation",
        "exploding-gradient",
        "vanishing-gradient",
        "gradient-underflow",
        "gradient-below-eps",
        "dead-units",
        "exactly-zero-gradient",
        "learning-rate-too-low",
        "frozen-layer",
        "diverging-loss",
        "non-finite",
        "loss-at-chance",
    ],
    check,
};

/// Share of duplicates in a layer from which on it is called symmetric. By chance two continuous units never agree.
const DUPLICATES: f64 = 0.5;

fn check(case: &Case<'_>) -> Option<Finding> {
    let constant = constant_layers(case);
    let duplicated: Vec<&str> = case
        .start
        .units
        .iter()
        .filter(|record| {
            let alive = record.units.saturating_sub(record.dead);
            // Units at the same flat end of a saturated activation agree by rounding; then nothing varies.
            let varies = record.signal_fraction > 1e-12;
            alive > 1 && varies && record.duplicates as f64 >= DUPLICATES * alive as f64
        })
        .map(|record| record.name.as_str())
        .collect();
    let found = if constant.is_empty() { &duplicated } else { &constant };
    let layers = [*found.first()?, *found.last()?];
    let message = format!("all units of {} start alike: they get the same gradient and stay one unit", list(found));
    Some(
        Finding::new(RULE.name, Level::Deny, layers, message)
            .against("layers whose weights are all one value", constant.len() as f64, 0.0, "units must start different")
            .against(
                "layers in which half of the units repeat another one",
                duplicated.len() as f64,
                0.0,
                "two continuous random units never agree on a whole batch",
            )
            .remedies(&["rescale-init", "orthogonal-init"]),
    )
}

/// Linear operations of the body whose weights all have one value. A zero head, or a zero matrix at the end of a
/// residual branch, breaks no symmetry: their inputs differ, and so do their gradients.
fn constant_layers<'a>(case: &Case<'a>) -> Vec<&'a str> {
    let head = case.network.head().unwrap_or(0);
    let mut found = Vec::new();
    collect(&by_name(&case.start.parameters), &case.network.ops[..head], false, &mut found);
    found
}

fn collect<'a>(parameters: &HashMap<&str, &ParameterRecord>, ops: &'a [Op], in_branch: bool, found: &mut Vec<&'a str>) {
    for op in ops {
        match &op.kind {
            OpKind::Residual(residual) => collect(parameters, &residual.branch, true, found),
            OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. })
                if linear.fan_out > 1 && linear.fan_in > 1 =>
            {
                let Some(record) = parameters.get(format!("{}.weight", op.name).as_str()) else {
                    continue;
                };
                let zero = record.weight.abs_max == 0.0;
                if record.weight.min.is_some() && record.weight.min == record.weight.max && !(zero && in_branch) {
                    found.push(&op.name);
                }
            }
            _ => {}
        }
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [only] => (*only).into(),
        [first, .., last] => format!("{} layers from {first} to {last}", names.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    #[test]
    fn constant_weights_and_repeated_units() {
        let ask =
            |init: &str| Bench::new(&format!("[network]\ndepth = 3\nwidth = 16\n{init}\n")).ask("symmetric-weights");
        assert_eq!(ask("init = \"he-normal\""), None);
        assert_eq!(ask("init = { name = \"constant\", value = 0.1 }").unwrap().layers, ["fc1", "fc3"]);
        assert_eq!(ask("init = \"zeros\"").unwrap().level, Level::Deny);
        // A head that starts at zero breaks no symmetry.
        assert_eq!(ask("init = \"he-normal\"\nhead_init = \"zeros\""), None);
    }

    #[test]
    fn random_weights_whose_units_repeat() {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 16\ninit = \"he-normal\"\n");
        bench.start.units[1].duplicates = 14;
        assert_eq!(bench.ask("symmetric-weights").unwrap().layers, ["relu2", "relu2"]);
        // At the flat end of an activation units agree by rounding.
        bench.start.units[1].signal_fraction = 0.0;
        assert_eq!(bench.ask("symmetric-weights"), None);
    }
}
