//! Layers that hardly move, measured by the size of their updates against their weights.

use super::finding::{number, steps};
use std::collections::HashMap;

use super::measure::{by_name, weights};
use super::{Case, Finding, Rule};
use crate::recipe::Level;
use crate::record::ParameterRecord;
use crate::statistics::median;

pub(super) static RULE: Rule = Rule {
    name: "frozen-layer",
    code: "G020",
    summary: "layers whose weights hardly change over the whole run",
    page: include_str!("frozen-layer.md"),
    explains: &["loss-at-chance", "too-few-steps"],
    check,
};

/// Steps x |update| / |W|: a matrix that moves by less than 1 % in the whole run is what it was. A bare update ratio
/// (1e-3 per step is the usual advice) says nothing without the number of steps.
const MOVES: f64 = 0.01;

fn check(case: &Case<'_>) -> Option<Finding> {
    let planned = case.recipe.run.steps as f64;
    let all = weights(case);
    let travel: Vec<(&str, f64)> = if case.history.is_empty() {
        // An exact zero is either healthy (a zero-initialised skip) or has a rule of its own, as has what is not finite.
        all.iter()
            .filter(|weight| !weight.gradient_is_zero() && weight.gradient.non_finite == 0)
            .filter_map(|weight| Some((weight.op, weight.reach?)))
            .collect()
    } else {
        let history: Vec<_> = case.history.iter().map(|step| by_name(&step.parameters)).collect();
        all.iter().filter_map(|weight| Some((weight.op, measured(&history, weight.op)? * planned))).collect()
    };
    let frozen: Vec<_> = travel.iter().filter(|(_, travel)| *travel < MOVES).collect();
    let (first, last) = (frozen.first()?, frozen.last()?);
    let worst = frozen.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let message = format!(
        "{} of {} weights hardly move: {} change {} by {} of its size at most",
        frozen.len(),
        all.len(),
        steps(case.recipe.run.steps as u64),
        worst.0,
        number(worst.1)
    );
    Some(
        Finding::new(RULE.name, Level::Warn, [first.0, last.0], message)
            .at(case.history.last().map_or(0, |step| step.step))
            .against(
                format!("steps x |update| / |W| of {}", worst.0),
                worst.1,
                MOVES,
                "a matrix that moves by less than 1 % in the whole run is what it was",
            )
            .with("weights concerned", frozen.len() as f64)
            .remedies(&["rescale-init", "add-skip", "insert-batch-norm", "change-learning-rate", "smaller-eps"]),
    )
}

/// Median of |update| / |W| over the watched steps.
pub(super) fn measured(history: &[HashMap<&str, &ParameterRecord>], op: &str) -> Option<f64> {
    let name = format!("{op}.weight");
    let ratios = history.iter().filter_map(|parameters| {
        let record = parameters.get(name.as_str())?;
        let weight = record.weight.norm();
        // An update that is not finite is no small one.
        (record.update.count > 0 && record.update.non_finite == 0 && weight > 0.0)
            .then(|| record.update.norm() / weight)
    });
    median(ratios.filter(|ratio| ratio.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::StepRecord;
    use crate::rules::fixture::Bench;
    use crate::statistics::Moments;

    #[test]
    fn planned_steps_count() {
        let ask = |steps: usize| {
            let recipe = format!(
                "[network]\ndepth = 4\nwidth = 32\ninit = \"he-normal\"\n[optimizer]\nlearning_rate = 1e-6\n[run]\nsteps = {steps}\n"
            );
            Bench::new(&recipe).ask("frozen-layer")
        };
        assert_eq!(ask(100).unwrap().level, Level::Warn);
        assert_eq!(ask(10_000_000), None);
    }

    #[test]
    fn measured_updates_replace_the_prediction() {
        let mut bench = Bench::new("[network]\ndepth = 2\nwidth = 16\ninit = \"he-normal\"\n");
        assert_eq!(bench.ask("frozen-layer"), None);
        let parameters: Vec<_> = bench
            .start
            .parameters
            .iter()
            .cloned()
            .map(|mut record| {
                let scale = if record.name == "fc1.weight" { 1e-9 } else { 1e-3 };
                record.update = record.weight;
                record.update.sum_of_squares *= scale * scale;
                record
            })
            .collect();
        let step = |step| StepRecord {
            step,
            loss: 2.0,
            learning_rate: 0.05,
            joints: Vec::new(),
            parameters: parameters.clone(),
            clip: None,
            scaling: None,
            snapshot: None,
            histograms: Vec::new(),
        };
        bench.history = (0..10).map(step).collect();
        let mut broken = Bench::new("[network]\ndepth = 2\nwidth = 16\ninit = \"he-normal\"\n");
        broken.history = vec![step(0)];
        for record in &mut broken.history[0].parameters {
            record.update = Moments { non_finite: record.update.count, sum_of_squares: 0.0, ..record.update };
        }
        assert_eq!(broken.ask("frozen-layer"), None);
        let finding = bench.ask("frozen-layer").unwrap();
        assert_eq!((finding.layers, finding.step), (["fc1".into(), "fc1".into()], 9));
    }
}
