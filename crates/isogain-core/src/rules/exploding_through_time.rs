//! The gradient of a recurrent state grows from step to step, until the first steps are all that is learnt from.

use super::finding::{factor, number};
use super::time::{RANGE, SOURCE, reach};
use super::{Case, Finding, Rule};
use crate::recipe::{ClipKind, Level};

pub(super) static RULE: Rule = Rule {
    name: "exploding-through-time",
    code: "G029",
    summary: "the gradient of a recurrent state grows with every time step that it goes back",
    page: include_str!("exploding-through-time.md"),
    explains: &[
        "exploding-activation",
        "exploding-gradient",
        "learning-rate-too-high",
        "clipping-dominates",
        "frozen-layer",
        "diverging-loss",
        "non-finite",
        "loss-at-chance",
    ],
    check,
};

fn check(case: &Case<'_>) -> Option<Finding> {
    let reach = reach(case, |ratio| ratio > RANGE)?;
    let joint = reach.joint;
    // The length of the step is bounded then; the direction is still that of the earliest steps.
    let level = if case.recipe.clip.kind == ClipKind::None { Level::Deny } else { Level::Warn };
    let clipped = if level == Level::Warn { "; clipping bounds the step, not its direction" } else { "" };
    let message = format!(
        "the gradient grows by {} within {} of the {} time steps of {}, x{} per step{clipped}",
        factor(reach.log_gain),
        reach.steps,
        joint.states.len(),
        joint.name,
        number(reach.per_step())
    );
    let finding = Finding::new(RULE.name, level, [&joint.name, &joint.name], message)
        .against("ln of the state's gradient, earlier over last", reach.log_gain, RANGE.ln(), SOURCE)
        .with("time steps of a sample", joint.states.len() as f64)
        .remedies(&[
            "clip-by-global-norm",
            "keep-orthogonal",
            "hidden-init",
            "gated-cell",
            "rescale-init",
            "clip-by-norm",
            "change-learning-rate",
        ]);
    Some(reach.with_paths(finding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn ask(factor: f64, more: &str) -> Option<Finding> {
        let mut bench = Bench::new(&format!("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n{more}"));
        bench.start.flow.joints[0].states = (0..50).map(|step| factor.powi(49 - step)).collect();
        bench.ask("exploding-through-time")
    }

    #[test]
    fn growth_per_step_times_steps() {
        assert_eq!(ask(1.0, ""), None);
        // 1.2^49 = 7581: a healthy chaotic state.
        assert_eq!(ask(1.2, ""), None);
        let finding = ask(1.5, "").unwrap();
        assert_eq!(finding.level, Level::Deny);
        // 1.5^23 = 11223 is the first power beyond 10^4.
        assert!(
            finding.message.contains("within 23 of the 50 time steps of fc1, x1.50 per step"),
            "{}",
            finding.message
        );
    }

    #[test]
    fn clipping_leaves_a_warning() {
        let finding = ask(1.5, "[clip]\nkind = \"global-norm\"\nthreshold = 1.0\n").unwrap();
        assert!(finding.level == Level::Warn && finding.message.ends_with("not its direction"), "{finding:?}");
    }

    #[test]
    fn a_value_that_is_not_finite_is_the_largest() {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n");
        bench.start.flow.joints[0].states = vec![f64::INFINITY, 1.0, 1.0];
        assert!(bench.ask("exploding-through-time").unwrap().message.contains("within 2 of the 3"));
    }
}
