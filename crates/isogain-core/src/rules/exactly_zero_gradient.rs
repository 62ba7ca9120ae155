//! A weight whose gradient is exactly zero, which is another diagnosis than a small one.

use std::collections::HashSet;

use super::measure::{Weight, by_joint, by_name, is_zero, weights};
use super::{Case, Finding, Rule};
use crate::network::{Op, OpKind};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "exactly-zero-gradient",
    code: "G017",
    summary: "weights whose gradient is exactly zero, for no healthy reason",
    page: include_str!("exactly-zero-gradient.md"),
    explains: &["learning-rate-too-low", "frozen-layer", "loss-at-chance"],
    check,
};

fn check(case: &Case<'_>) -> Option<Finding> {
    let weights = weights(case);
    if !weights.iter().any(Weight::gradient_is_zero) {
        return None;
    }
    let opening = opening(case);
    let zero: Vec<&str> = weights
        .iter()
        .filter(|weight| weight.gradient_is_zero() && !opening.contains(weight.op))
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

/// The operations whose zero gradient is the healthy kind: something behind them starts at zero, blocks the way,
/// and has itself a gradient, so that the way opens with the first step (SkipInit, ReZero, Fixup, a zero head); or
/// stochastic depth left their branch out for every sample of this batch.
fn opening<'a>(case: &Case<'a>) -> HashSet<&'a str> {
    let by_name = by_name(&case.start.parameters);
    let joints = by_joint(&case.start.joints);
    let is_left_out = |op: &Op| {
        let given = joints.get(op.name.as_str()).map(|joint| &joint.activation);
        matches!(op.kind, OpKind::StochasticDepth(_)) && given.is_some_and(|given| given.zeros == given.count)
    };
    let opens = |op: &Op, parameter: &str| {
        if is_left_out(op) {
            return true;
        }
        by_name
            .get(format!("{}.{parameter}", op.name).as_str())
            .is_some_and(|record| is_zero(&record.weight) && !is_zero(&record.gradient) && record.gradient.count > 0)
    };
    let mut found = HashSet::new();
    behind_zero(&case.network.ops, false, &opens, &mut found);
    found
}

/// Collects the operations with a weight that have a zero behind them that opens, from the last one on; `is_open` where one is
/// behind this whole list. Such zeros are what scales everything that goes through: weights, gammas and factors in the same
/// list, the scale of the branch around it. In another branch later on it is none, because the skip goes around it.
fn behind_zero<'a>(ops: &'a [Op], mut is_open: bool, opens: &impl Fn(&Op, &str) -> bool, found: &mut HashSet<&'a str>) {
    for op in ops.iter().rev() {
        match &op.kind {
            OpKind::Linear(_) | OpKind::Convolution(_) | OpKind::Recurrent(_) => {
                if is_open {
                    found.insert(&op.name);
                }
                is_open |= opens(op, "weight");
            }
            OpKind::Norm(_) => is_open |= opens(op, "gamma"),
            OpKind::Other(_) | OpKind::StochasticDepth(_) => is_open |= opens(op, "scale"),
            OpKind::Residual(residual) => {
                behind_zero(&residual.branch, is_open || opens(op, "scale"), opens, found);
                // No factor of the branch stands behind these.
                behind_zero(&residual.shortcut, is_open, opens, found);
                behind_zero(&residual.gate, is_open, opens, found);
            }
            // What passes it has a gradient of its own.
            OpKind::AuxiliaryHead(auxiliary) => behind_zero(&auxiliary.head, false, opens, found),
            OpKind::Activation { .. }
            | OpKind::Softmax
            | OpKind::Pool(_)
            | OpKind::Flatten(_)
            | OpKind::Dropout(_)
            | OpKind::Embedding(_)
            | OpKind::QkNorm(_)
            | OpKind::Attention(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Dropout;
    use crate::rules::fixture::Bench;
    use crate::statistics::kernel::moments_f64;

    fn ask(network: &str) -> Option<Finding> {
        Bench::new(&format!("[network]\ndepth = 4\nwidth = 16\n{network}\n")).ask("exactly-zero-gradient")
    }

    /// Stochastic depth may leave a branch out for the whole batch: the next one goes through it.
    #[test]
    fn a_branch_that_is_left_out_of_a_batch_is_not_cut_off() {
        let mut bench = Bench::new("[network]\nkind = \"residual\"\ndepth = 4\nwidth = 16\n");
        for name in ["block4.fc.weight", "block4.fc.bias"] {
            bench.parameter(name).gradient = moments_f64(&[0.0; 16]);
        }
        assert!(bench.ask("exactly-zero-gradient").is_some());
        let drop = Op { name: "block4.drop".into(), kind: OpKind::StochasticDepth(Dropout { fraction: 0.5 }) };
        let block = bench.network.ops.iter_mut().find(|op| op.name == "block4").unwrap();
        let OpKind::Residual(residual) = &mut block.kind else { unreachable!("a block") };
        residual.branch.push(drop);
        let mut joint = bench.start.joints[0].clone();
        (joint.name, joint.activation) = ("block4.drop".into(), moments_f64(&[0.0; 16]));
        bench.start.joints.push(joint);
        assert_eq!(bench.ask("exactly-zero-gradient"), None);
    }

    #[test]
    fn healthy_zeros_open_by_themselves() {
        let skip = "kind = \"residual\"\ninit = \"he-normal\"\nbranch_scale = 0.0\n";
        assert_eq!(ask(&format!("{skip}learnable_scale = true")), None);
        assert_eq!(ask("init = \"he-normal\"\nhead_init = \"zeros\""), None);
        for joined in ["gate_bias = -1.0", "growth = 4"] {
            let behind = "kind = \"residual\"\ninit = \"he-normal\"\nhead_init = \"zeros\"";
            assert_eq!(ask(&format!("{behind}\n{joined}")), None, "{joined}");
        }
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
