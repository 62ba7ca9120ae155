//! The gradient of a recurrent state shrinks from step to step, until what happened earlier is hardly learnt.

use super::finding::{factor, number};
use super::time::{RANGE, SOURCE, level, reach};
use super::{Case, Finding, Rule};

pub(super) static RULE: Rule = Rule {
    name: "vanishing-through-time",
    code: "G028",
    summary: "the gradient of a recurrent state dies out before it reaches the first time steps",
    page: include_str!("vanishing-through-time.md"),
    explains: &["gradient-underflow", "gradient-below-eps", "loss-at-chance", "frozen-embedding"],
    check,
};

fn check(case: &Case<'_>) -> Option<Finding> {
    let reach = reach(case, |ratio| ratio < 1.0 / RANGE)?;
    let joint = reach.joint;
    let message = format!(
        "the gradient shrinks by {} within {} of the {} time steps of {}, x{} per step: what happened earlier is hardly learnt",
        factor(-reach.log_gain),
        reach.steps,
        joint.states.len(),
        joint.name,
        number(reach.per_step())
    );
    let finding = Finding::new(RULE.name, level(case), [&joint.name, &joint.name], message)
        .against("ln of the state's gradient, earlier over last", reach.log_gain, -RANGE.ln(), SOURCE)
        .against(
            "time steps that the gradient reaches back",
            reach.steps as f64,
            (joint.states.len() - 1) as f64,
            "the length of a sample",
        )
        .remedies(&[
            "hidden-init",
            "keep-orthogonal",
            "gated-cell",
            "open-forget-gate",
            "penalise-vanishing",
            "antisymmetric-recurrence",
            "diagonal-recurrence",
            "oscillator-recurrence",
        ]);
    Some(reach.with_paths(finding))
}

#[cfg(test)]
mod tests {
    use crate::flow::PathShare;
    use crate::recipe::Level;
    use crate::rules::fixture::Bench;

    fn bench(factor: f64) -> Bench {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n");
        bench.start.flow.joints[0].states = (0..50).map(|step| factor.powi(49 - step)).collect();
        bench
    }

    #[test]
    fn a_state_that_is_forgotten() {
        assert_eq!(bench(0.9).ask("vanishing-through-time"), None, "0.9^49 = 0.006");
        let finding = bench(0.5).ask("vanishing-through-time").unwrap();
        assert_eq!((finding.level, finding.layers[0].as_str()), (Level::Warn, "fc1"));
        // 2^14 = 16384 is the first power beyond 10^4.
        assert!(
            finding.message.contains("within 14 of the 50 time steps of fc1, x0.500 per step"),
            "{}",
            finding.message
        );
    }

    #[test]
    fn what_was_learnt_all_the_same_is_no_warning() {
        let mut bench = bench(0.5);
        bench.finish([2.3, 0.1]);
        assert_eq!(bench.ask("vanishing-through-time").unwrap().level, Level::Note);
    }

    #[test]
    fn an_exact_zero_is_told_too() {
        let mut bench = bench(1.0);
        bench.start.flow.joints[0].states[..20].fill(0.0);
        let finding = bench.ask("vanishing-through-time").unwrap();
        assert!(finding.message.contains("within 30 of the 50"), "{}", finding.message);
        assert!(finding.evidence[0].value.unwrap() < -700.0);
    }

    #[test]
    fn says_which_way_the_gradient_takes() {
        let mut bench = bench(0.5);
        bench.start.flow.joints[0].paths =
            [("cell", 0.9), ("forget", 0.1)].map(|(path, share)| PathShare { path: path.into(), share }).into();
        let finding = bench.ask("vanishing-through-time").unwrap();
        assert!(
            finding.evidence.iter().any(|evidence| evidence.name.contains("`cell`") && evidence.value == Some(0.9))
        );
    }

    /// One cause, one finding: the layers themselves are healthy.
    #[test]
    fn no_other_rule_repeats_it() {
        let found = bench(0.5).diagnose();
        assert_eq!((found.len(), found[0].rule.as_str()), (1, "vanishing-through-time"), "{found:#?}");
    }
}
