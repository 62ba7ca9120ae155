//! A value that is NaN or infinite.

use super::{Case, Finding, Rule};
use crate::recipe::Level;
use crate::record::{JointRecord, ParameterRecord, StepRecord};

pub(super) static RULE: Rule = Rule {
    name: "non-finite",
    code: "G022",
    summary: "a value is NaN or infinite",
    page: include_str!("non-finite.md"),
    explains: &[],
    check,
};

/// Where a non-finite value was seen.
struct Seen {
    step: u64,
    name: String,
    phase: String,
    share: f64,
}

fn check(case: &Case<'_>) -> Option<Finding> {
    let start = case.start;
    let seen = find(start.step, start.flow.head.loss, &start.joints, &start.parameters)
        .or_else(|| {
            let found = case.outcome?.first_non_finite.as_ref()?;
            Some(Seen { step: found.step, name: found.name.clone(), phase: found.phase.clone(), share: f64::NAN })
        })
        .or_else(|| {
            // What overflowed at a step that loss scaling left out went no further.
            let kept = |record: &&StepRecord| !record.scaling.is_some_and(|scaling| scaling.skipped);
            let records = case.history.iter().filter(kept);
            records.into_iter().find_map(|record| find(record.step, record.loss, &record.joints, &record.parameters))
        })?;
    let message = format!("the first non-finite value appears at step {} in {} ({})", seen.step, seen.name, seen.phase);
    let mut finding = Finding::new(RULE.name, Level::Deny, [&seen.name, &seen.name], message)
        .at(seen.step)
        .remedies(&["change-learning-rate", "rescale-init", "clip-by-global-norm", "insert-layer-norm"]);
    if seen.share.is_finite() {
        finding = finding.against("share of non-finite values", seen.share, 0.0, "every value must be finite");
    }
    Some(finding)
}

fn find(step: u64, loss: f64, joints: &[JointRecord], parameters: &[ParameterRecord]) -> Option<Seen> {
    let seen = |name: &str, phase: &str, share: f64| Seen { step, name: name.into(), phase: phase.into(), share };
    let forward = joints
        .iter()
        .find(|joint| joint.activation.non_finite > 0)
        .map(|joint| seen(&joint.name, "forward", joint.activation.non_finite_fraction()));
    let backward = || {
        joints
            .iter()
            .rev()
            .find(|joint| joint.cotangent.non_finite > 0)
            .map(|joint| seen(&joint.name, "backward", joint.cotangent.non_finite_fraction()))
    };
    let weights = || {
        parameters.iter().find_map(|parameter| {
            let kinds =
                [(&parameter.weight, "weight"), (&parameter.gradient, "backward"), (&parameter.update, "update")];
            let (moments, phase) = kinds.into_iter().find(|(moments, _)| moments.non_finite > 0)?;
            Some(seen(&parameter.name, phase, moments.non_finite_fraction()))
        })
    };
    forward.or_else(|| (!loss.is_finite()).then(|| seen("loss", "loss", 1.0))).or_else(backward).or_else(weights)
}

#[cfg(test)]
mod tests {
    use crate::record::{NonFinite, StepRecord};
    use crate::rules::fixture::Bench;

    const SMALL: &str = "[network]\ndepth = 3\nwidth = 8\ninit = \"he-normal\"\n";

    #[test]
    fn the_first_place_is_named() {
        let mut bench = Bench::new(SMALL);
        assert_eq!(bench.ask("non-finite"), None);
        bench.joint("fc2").cotangent.non_finite = 3;
        bench.joint("fc1").cotangent.non_finite = 3;
        let finding = bench.ask("non-finite").unwrap();
        assert_eq!(finding.layers[0], "fc2", "the way back meets fc2 first");
        bench.joint("relu3").activation.non_finite = 1;
        assert!(bench.ask("non-finite").unwrap().message.contains("in relu3 (forward)"));
    }

    #[test]
    fn found_in_the_history_and_in_the_outcome() {
        let mut bench = Bench::new(SMALL);
        let mut parameters = bench.start.parameters.clone();
        parameters[0].update.non_finite = 1;
        bench.history = vec![StepRecord {
            step: 7,
            loss: 2.0,
            learning_rate: 0.05,
            joints: Vec::new(),
            parameters,
            clip: None,
            scaling: None,
            snapshot: None,
            histograms: Vec::new(),
        }];
        assert_eq!(bench.ask("non-finite").unwrap().step, 7);
        bench.finish([2.3, f64::NAN]);
        let found = NonFinite { step: 1, name: "fc1".into(), phase: "forward".into() };
        bench.outcome.as_mut().unwrap().first_non_finite = Some(found);
        assert_eq!(bench.ask("non-finite").unwrap().step, 1);
    }
}
