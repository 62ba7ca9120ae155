//! Clipping that has become the optimizer.

use super::finding::{number, whole};
use super::{Case, Finding, Rule};
use crate::recipe::{ClipKind, Level};
use crate::statistics::median;

pub(super) static RULE: Rule = Rule {
    name: "clipping-dominates",
    code: "G019",
    summary: "clipping acts on most steps and sets their size or direction",
    page: include_str!("clipping-dominates.md"),
    explains: &["frozen-layer", "loss-at-chance"],
    check,
};

/// Share of the steps on which clipping acts. Meant for rare spikes, it should not be the rule.
const STEPS: f64 = 0.5;
/// What it leaves of the gradient's norm at the median. Pascanu et al. 2013 set the threshold at half to ten times
/// the average norm, so that it leaves at least half of a typical one; a tenth is far outside.
const LEAVES: f64 = 0.1;
/// Cosine between the gradient before and after: below 1/sqrt 2 most of the step is not along the gradient.
const TURNS: f64 = 0.707;
/// Watched steps needed to speak of a share.
const ENOUGH: usize = 5;

fn check(case: &Case<'_>) -> Option<Finding> {
    let records: Vec<_> = case.history.iter().filter_map(|step| step.clip.map(|clip| (step.step, clip))).collect();
    let acted: Vec<_> = records.iter().filter(|(_, clip)| clip.acted).collect();
    if records.len() < ENOUGH || (acted.len() as f64) < STEPS * records.len() as f64 {
        return None;
    }
    let share = acted.len() as f64 / records.len() as f64;
    let finite = |value: &f64| value.is_finite();
    let left = median(acted.iter().map(|(_, clip)| clip.norm_after / clip.norm_before).filter(finite))?;
    let cosine = median(acted.iter().map(|(_, clip)| clip.cosine).filter(finite))?;
    if left >= LEAVES && cosine >= TURNS {
        return None;
    }
    let kind = match case.recipe.clip.kind {
        ClipKind::None => return None,
        kind => kind.title(),
    };
    let what = if cosine < TURNS {
        format!("turns the gradient (cosine {})", number(cosine))
    } else {
        format!("leaves {} of its norm: the threshold is the step size now", number(left))
    };
    let message = format!("{kind} acts on {} % of the steps and {what}", number(100.0 * share));
    Some(
        Finding::new(RULE.name, Level::Warn, whole(case), message)
            .at(acted.first()?.0)
            .against("share of steps on which clipping acts", share, STEPS, "it is meant for rare spikes")
            .against(
                "norm after over before, median",
                left,
                LEAVES,
                "Pascanu et al. 2013: 0.5 to 10 times the mean norm",
            )
            .against("cosine of the gradient before and after, median", cosine, TURNS, "45 degrees")
            .remedies(&["clip-by-global-norm", "rescale-init", "change-learning-rate"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ClipRecord, StepRecord};
    use crate::rules::fixture::Bench;

    fn watched(kind: &str, clip: impl Fn(u64) -> ClipRecord) -> Option<Finding> {
        let recipe = format!("[network]\ndepth = 2\nwidth = 8\n[clip]\nkind = \"{kind}\"\n");
        let mut bench = Bench::new(&recipe);
        let step = |step: u64| StepRecord {
            step,
            loss: 2.0,
            learning_rate: 0.05,
            joints: Vec::new(),
            parameters: Vec::new(),
            clip: Some(clip(step)),
            scaling: None,
            snapshot: None,
            histograms: Vec::new(),
        };
        bench.history = (0..20).map(step).collect();
        bench.ask("clipping-dominates")
    }

    fn record(before: f64, after: f64, cosine: f64) -> ClipRecord {
        ClipRecord { norm_before: before, norm_after: after, cosine, acted: before != after }
    }

    #[test]
    fn size_and_direction() {
        let level = |found: Option<Finding>| found.map(|finding| finding.level);
        assert_eq!(level(watched("global-norm", |_| record(3.0, 0.01, 1.0))), Some(Level::Warn));
        assert_eq!(level(watched("global-norm", |_| record(3.0, 1.0, 1.0))), None, "a usual threshold");
        let spikes = |step: u64| {
            if step.is_multiple_of(7) { record(300.0, 1.0, 1.0) } else { record(0.5, 0.5, 1.0) }
        };
        assert_eq!(level(watched("global-norm", spikes)), None, "rare spikes are what it is for");
        let turned = watched("value", |_| record(3.0, 1.0, 0.4)).unwrap();
        assert!(turned.message.contains("turns the gradient (cosine 0.400)"), "{}", turned.message);
    }
}
