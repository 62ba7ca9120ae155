//! A gate that decides how long a state lasts, and lets it last a few steps.

use super::finding::number;
use super::time::{RANGE, level};
use super::{Case, Finding, Rule};
use crate::network::{Cell, ForgetBias, OpKind};
use crate::record::{Detail, GateRecord};

pub(super) static RULE: Rule = Rule {
    name: "forget-gate-closed",
    code: "G030",
    summary: "a gated state forgets within a small part of the sequence",
    page: include_str!("forget-gate-closed.md"),
    explains: &["vanishing-through-time", "gradient-underflow", "gradient-below-eps", "loss-at-chance"],
    check,
};

fn check(case: &Case<'_>) -> Option<Finding> {
    let ops = case.network.walk();
    let (name, recurrent, gate) = ops.iter().find_map(|op| {
        let OpKind::Recurrent(recurrent) = &op.kind else { return None };
        let keeps = match recurrent.cell {
            Cell::Lstm => "forget",
            Cell::Gru => "update",
            Cell::Rnn => return None,
        };
        // Of different units each keeps for its own time, and their mean says nothing of the slowest.
        let differ = matches!(recurrent.forget_bias, Some(ForgetBias::Named(_)));
        let joint = case.start.joints.iter().find(|joint| joint.name == op.name)?;
        let Some(Detail::Gates(gates)) = &joint.detail else { return None };
        let gate = gates.iter().find(|gate| gate.gate == keeps && gate.mean < 1.0 && !differ)?;
        (forgets(gate, recurrent.steps) > RANGE.ln()).then_some((&op.name, recurrent, gate))
    })?;
    let half_life = std::f64::consts::LN_2 / -gate.mean.max(f64::MIN_POSITIVE).ln();
    let message = format!(
        "the {} gate of {name} keeps {} % of the state per step: half of it is gone after {} of {} steps",
        gate.gate,
        number(100.0 * gate.mean),
        number(half_life),
        recurrent.steps
    );
    // sigmoid(b) with a loss of a factor e over the sequence.
    let bias = ((recurrent.steps as f64) - 1.0).max(1.0).ln();
    let mut finding = Finding::new(RULE.name, level(case), [name, name], message)
        .against(
            "nepers lost over the sequence at the gate's mean",
            forgets(gate, recurrent.steps),
            RANGE.ln(),
            super::time::SOURCE,
        )
        .with("half-life, time steps", half_life)
        .with("share of the gate's values with a slope below 0.01", gate.saturated_fraction)
        .remedies(&["open-forget-gate"]);
    finding.theory = Some(format!("a bias of ln(steps - 1) = {} keeps 1/e over the whole sequence", number(bias)));
    Some(finding)
}

/// What the gate at its mean loses over a sequence, nepers.
fn forgets(gate: &GateRecord, steps: usize) -> f64 {
    -gate.mean.max(f64::MIN_POSITIVE).ln() * steps as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{NamedBias, Recurrent};
    use crate::rules::fixture::Bench;
    use crate::theory::activations::Activation;
    use crate::theory::initializers::Initializer;

    fn bench(cell: Cell, gate: &str, mean: f64, steps: usize) -> Bench {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n");
        let init = Initializer::pytorch_default();
        bench.network.ops[0].kind = OpKind::Recurrent(Recurrent {
            cell,
            inputs: 1,
            units: 32,
            steps,
            init,
            hidden_init: init,
            activation: Activation::named("tanh").unwrap(),
            forget_bias: None,
            vanishing_penalty: None,
            antisymmetric_step: None,
            diagonal: false,
            oscillator: None,
            orthogonal: false,
        });
        bench.joint("fc1").detail =
            Some(Detail::Gates(vec![GateRecord { gate: gate.into(), mean, saturated_fraction: 0.0 }]));
        bench
    }

    fn ask(cell: Cell, gate: &str, mean: f64, steps: usize) -> Option<Finding> {
        bench(cell, gate, mean, steps).ask("forget-gate-closed")
    }

    /// sigmoid(0), sigmoid(1), sigmoid(3): half-lives of 1, 2.2 and 14.3 steps.
    #[test]
    fn half_life_against_the_sequence() {
        let finding = ask(Cell::Lstm, "forget", 0.5, 100).unwrap();
        assert!(finding.message.contains("after 1.00 of 100 steps"), "{}", finding.message);
        assert_eq!(ask(Cell::Lstm, "forget", 0.5, 10), None, "short enough: 0.5^10 = 1e-3");
        assert!(ask(Cell::Lstm, "forget", 0.731, 100).is_some());
        assert_eq!(ask(Cell::Lstm, "forget", 0.9526, 100), None);
        assert!(ask(Cell::Gru, "update", 0.5, 100).is_some());
        assert_eq!(ask(Cell::Gru, "reset", 0.5, 100), None, "it keeps nothing");
    }

    #[test]
    fn units_with_times_of_their_own_are_not_told_by_a_mean() {
        let mut bench = bench(Cell::Lstm, "forget", 0.85, 100);
        assert!(bench.ask("forget-gate-closed").is_some());
        let OpKind::Recurrent(recurrent) = &mut bench.network.ops[0].kind else { unreachable!() };
        recurrent.forget_bias = Some(ForgetBias::Named(NamedBias::Chrono));
        assert_eq!(bench.ask("forget-gate-closed"), None);
    }
}
