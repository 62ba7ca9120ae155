//! A weight whose gradient is exactly zero, which is another diagnosis than a small one.

use super::measure::{is_zero, weights};
use super::{Case, Finding, Rule};
use crate::network::{Network, Op, OpKind};
use crate::recipe::Level;
use crate::record::Snapshot;

pub(super) static RULE: Rule = Rule {
    name: "exactly-zero-gradient",
    code: "G017",
    summary: "weights whose gradient is exactly zero, for no healthy reason",
    page: include_str!("exactly-zero-gradient.md"),
    explains: &["learning-rate-too-low", "frozen-layer"],
    check,
};

fn check(case: &Case<'_>) -> Option<Finding> {
    let weights = weights(case);
    let zero: Vec<&str> = weights
        .iter()
        .filter(|weight| weight.gradient_is_zero() && !will_open(case.network, case.start, weight.op))
        .map(|weight| weight.op)
        .collect();
    let (first, last) = (zero.first()?, zero.last()?);
    let message = format!(
        "the gradient of {} of {} weights, {first} to {last}, is exactly zero: not small, but cut off",
        zero.len(),
        weights.len()
    );
    Some(
        Finding::new(RULE.name, Level::Deny, [first, last], message)
            .against(
                "weights without any gradient",
                zero.len() as f64,
                0.0,
                "no zero weight behind them that could open",
            )
            .with("RMS of the cotangent at the outputs", case.start.flow.head.cotangent_rms)
            .remedies(&["rescale-init", "swap-activation", "insert-layer-norm"]),
    )
}

/// Whether the zero is the healthy kind: something behind this weight starts at zero, blocks the way, and has itself a
/// gradient, so that the way opens with the first step (SkipInit, ReZero, Fixup, a zero head).
fn will_open(network: &Network, snapshot: &Snapshot, name: &str) -> bool {
    behind(&network.ops, name).is_some_and(|gates| gates.iter().any(|gate| opens(snapshot, gate)))
}

/// Whether a parameter starts at zero with a gradient that is not.
fn opens(snapshot: &Snapshot, parameter: &str) -> bool {
    snapshot
        .parameters
        .iter()
        .find(|record| record.name == parameter)
        .is_some_and(|record| is_zero(&record.weight) && !is_zero(&record.gradient) && record.gradient.count > 0)
}

/// The parameters that scale everything which the output of `name` goes through: later weights and gammas in the same
/// list, factors of single operations among them, the scale of the branch around it. Another branch later on is no gate, because the skip goes around it.
fn behind(ops: &[Op], name: &str) -> Option<Vec<String>> {
    let here = ops.iter().position(|op| op.name == name || inside(op, name))?;
    let mut gates = match &ops[here].kind {
        OpKind::Residual(residual) => {
            let mut gates = behind(&residual.branch, name)?;
            gates.push(format!("{}.scale", ops[here].name));
            gates
        }
        _ => Vec::new(),
    };
    for op in &ops[here + 1..] {
        match op.kind {
            OpKind::Linear(_) | OpKind::Convolution(_) => gates.push(format!("{}.weight", op.name)),
            OpKind::Norm(_) => gates.push(format!("{}.gamma", op.name)),
            OpKind::Other(_) => gates.push(format!("{}.scale", op.name)),
            OpKind::Activation { .. } | OpKind::Residual(_) => {}
        }
    }
    Some(gates)
}

fn inside(op: &Op, name: &str) -> bool {
    match &op.kind {
        OpKind::Residual(residual) => residual.branch.iter().any(|op| op.name == name || inside(op, name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;
    use crate::statistics::kernel::moments_f64;

    fn ask(network: &str) -> Option<Finding> {
        Bench::new(&format!("[network]\ndepth = 4\nwidth = 16\n{network}\n")).ask("exactly-zero-gradient")
    }

    #[test]
    fn healthy_zeros_open_by_themselves() {
        let skip = "kind = \"residual\"\ninit = \"he-normal\"\nbranch_scale = 0.0\n";
        assert_eq!(ask(&format!("{skip}learnable_scale = true")), None);
        assert_eq!(ask("init = \"he-normal\"\nhead_init = \"zeros\""), None);
        // A scale that is zero and stays zero opens nothing.
        assert_eq!(ask(skip).unwrap().layers, ["block2.fc", "block4.fc"]);
    }

    #[test]
    fn a_cut_network() {
        assert_eq!(ask("init = \"he-normal\""), None);
        assert_eq!(ask("init = \"zeros\"").unwrap().level, Level::Deny);
        let mut bench = Bench::new("[network]\ndepth = 4\nwidth = 16\ninit = \"he-normal\"\n");
        bench.parameter("fc1.weight").gradient = moments_f64(&[0.0; 8]);
        assert_eq!(bench.ask("exactly-zero-gradient").unwrap().layers, ["fc1", "fc1"]);
    }

    #[test]
    fn small_is_not_zero() {
        let mut bench = Bench::new("[network]\ndepth = 4\nwidth = 16\ninit = \"he-normal\"\n");
        bench.parameter("fc1.weight").gradient = moments_f64(&[1e-30; 8]);
        assert_eq!(bench.ask("exactly-zero-gradient"), None);
    }
}
