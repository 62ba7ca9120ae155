//! Two or more runs side by side: what differs in what was run, where their losses part, how they ended.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::recipe;
use crate::rules::severity;

use super::line::Header;
use super::{Outcome, Run};

/// Losses that differ by less than this share are still together: runs that differ by rounding alone drift apart slowly,
/// and one batch of another order is no difference in kind.
const TOGETHER: f64 = 0.1;

/// Runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The runs, as they were given.
    pub runs: Vec<RunEnd>,
    /// What differs in recipe, network and data, by name.
    pub differences: Vec<Difference>,
    /// Each run but the first against the first.
    pub parted: Vec<Parting>,
}

/// How one run stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunEnd {
    /// The name it was given: its folder.
    pub name: String,
    /// Loss at the last step that has one.
    pub last_loss: Option<f64>,
    /// That step.
    pub last_step: Option<u64>,
    /// How it ended; `None` while it runs or when it was stopped. Without the list of losses.
    pub outcome: Option<Outcome>,
    /// What is wrong: `error[vanishing-gradient]`.
    pub findings: Vec<String>,
}

/// One setting that is not the same everywhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its name: `optimizer.learning_rate`.
    pub name: String,
    /// Its value in each run; `None` where it is not set.
    pub values: Vec<Option<String>>,
}

/// Where a run's losses leave those of the first one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parting {
    /// The run.
    pub name: String,
    /// Steps at which both have a loss.
    pub common_steps: usize,
    /// The first step at which the two losses are not the same number.
    pub first_different: Option<LossPair>,
    /// The first step from which on they are more than a tenth apart at some step.
    pub first_apart: Option<LossPair>,
}

/// Two losses at one step; `None` for one that is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LossPair {
    /// The step.
    pub step: u64,
    /// Of the first run.
    pub first: Option<f64>,
    /// Of the other one.
    pub other: Option<f64>,
}

/// Compares runs, each with a name.
pub fn compare(runs: &[(String, Run)]) -> Comparison {
    let settings: Vec<BTreeMap<String, String>> = runs.iter().map(|(_, run)| settings(&run.header)).collect();
    let mut names: Vec<&String> = settings.iter().flat_map(BTreeMap::keys).collect();
    names.sort();
    names.dedup();
    let differences = names.into_iter().filter_map(|name| {
        let values: Vec<Option<String>> = settings.iter().map(|settings| settings.get(name).cloned()).collect();
        let differs = values.iter().any(|value| *value != values[0]);
        differs.then(|| Difference { name: name.clone(), values })
    });
    let losses: Vec<BTreeMap<u64, f64>> = runs.iter().map(|(_, run)| run.losses()).collect();
    let others = runs.iter().zip(&losses).skip(1);
    Comparison {
        differences: differences.collect(),
        parted: others.map(|((name, _), other)| parting(name, &losses[0], other)).collect(),
        runs: runs.iter().zip(&losses).map(|((name, run), losses)| end(name, run, losses)).collect(),
    }
}

impl Run {
    /// Loss by step, NaN where it was not finite: every step of a run that ended, the written ones otherwise.
    pub fn losses(&self) -> BTreeMap<u64, f64> {
        match &self.outcome {
            Some(outcome) if !outcome.losses.is_empty() => {
                (0..).zip(outcome.losses.iter().map(|loss| loss.unwrap_or(f64::NAN))).collect()
            }
            _ => self.steps.iter().map(|step| (step.step, step.loss)).collect(),
        }
    }
}

fn end(name: &str, run: &Run, losses: &BTreeMap<u64, f64>) -> RunEnd {
    let last = losses.last_key_value();
    let outcome = run.outcome.clone().map(|outcome| Outcome { losses: Vec::new(), ..outcome });
    let told = run.findings.iter().map(|finding| format!("{}[{}]", severity::word(finding.level), finding.rule));
    let mut findings: Vec<String> = Vec::new();
    for finding in told {
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    RunEnd {
        name: name.to_owned(),
        last_loss: last.map(|(_, loss)| *loss).filter(|loss| loss.is_finite()),
        last_step: last.map(|(step, _)| *step),
        outcome,
        findings,
    }
}

fn parting(name: &str, first: &BTreeMap<u64, f64>, other: &BTreeMap<u64, f64>) -> Parting {
    let pairs: Vec<(u64, f64, f64)> =
        first.iter().filter_map(|(step, loss)| Some((*step, *loss, *other.get(step)?))).collect();
    let finite = |loss: f64| loss.is_finite().then_some(loss);
    let found = |differs: &dyn Fn(f64, f64) -> bool| {
        let pair = pairs.iter().find(|(_, first, other)| differs(*first, *other));
        pair.map(|&(step, first, other)| LossPair { step, first: finite(first), other: finite(other) })
    };
    // Two values that are not finite are the same: both runs are lost.
    let same = |a: f64, b: f64| a == b || (!a.is_finite() && !b.is_finite());
    let near = |a: f64, b: f64| (a - b).abs() <= TOGETHER * a.abs().max(b.abs());
    // One that is finite and one that is not are never near.
    let apart = |a: f64, b: f64| !same(a, b) && !near(a, b);
    Parting {
        name: name.to_owned(),
        common_steps: pairs.len(),
        first_different: found(&|a, b| !same(a, b)),
        first_apart: found(&apart),
    }
}

/// Everything that was set, by dotted name; what the recipe leaves out has its default.
fn settings(header: &Header) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    match recipe::parse(&header.recipe, "recipe").ok().and_then(|recipe| serde_json::to_value(recipe).ok()) {
        Some(recipe) => flatten("", &recipe, &mut found),
        // Another program's recipe, or none: then its keys as they are, or its text.
        None => match header.recipe.parse::<toml::Table>().ok().and_then(|table| serde_json::to_value(table).ok()) {
            Some(table) => flatten("", &table, &mut found),
            None => flatten("recipe", &Value::from(header.recipe.as_str()), &mut found),
        },
    }
    let data = &header.data;
    let rest = serde_json::json!({
        "isogain": header.version,
        "data": {
            "train_samples": data.train_samples, "test_samples": data.test_samples, "classes": data.classes,
            "baseline_loss": data.baseline_loss,
        },
        "network built": { "input": header.network.input, "outputs": header.network.outputs, "ops": header.network.ops },
    });
    flatten("", &rest, &mut found);
    found.entry("data.source".into()).or_insert_with(|| data.source.clone());
    // Both stand in the recipe too, unless it is none of ours.
    found.entry("run.seed".into()).or_insert_with(|| header.seed.to_string());
    let precision = serde_json::to_value(header.precision).ok();
    found.entry("run.precision".into()).or_insert_with(|| precision.as_ref().map(plain).unwrap_or_default());
    found
}

fn flatten(prefix: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let joined = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| flatten(&joined(key), value, found)),
        // Operations have names, which tell them apart better than their number.
        Value::Array(items) if items.iter().any(|item| item.get("name").is_some()) => {
            for (index, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
                found.insert(joined(&name), plain(item));
            }
        }
        Value::Null => {}
        other => drop(found.insert(prefix.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Line;
    use crate::record::samples;

    fn run(recipe: &str, losses: &[f64]) -> Run {
        let mut run = Run::new(Header { recipe: recipe.into(), ..samples::header() });
        let losses: Vec<Option<f64>> = losses.iter().map(|loss| loss.is_finite().then_some(*loss)).collect();
        run.absorb(Line::Outcome(Outcome { steps: losses.len() as u64, losses, ..samples::outcome() }));
        run
    }

    #[test]
    fn what_differs_and_where_losses_part() {
        let network = "[network]\ndepth = 3\nwidth = 8\n";
        let runs = [
            ("a".to_owned(), run(network, &[2.0, 1.9, 1.8, 1.0])),
            ("b".to_owned(), run(&format!("{network}[optimizer]\nlearning_rate = 0.5\n"), &[2.0, 1.95, 1.5, f64::NAN])),
            ("c".to_owned(), run(&format!("{network}[run]\nsteps = 1000\n"), &[2.0, 1.9, 1.8, 1.0])),
        ];
        let found = compare(&runs);
        // The steps of c are the default, so that saying them is no difference.
        let names: Vec<&str> = found.differences.iter().map(|difference| difference.name.as_str()).collect();
        assert_eq!(names, ["optimizer.learning_rate"]);
        assert_eq!(found.differences[0].values, [Some("0.05".into()), Some("0.5".into()), Some("0.05".into())]);
        let [b, c] = &found.parted[..] else { panic!("{found:?}") };
        assert_eq!(b.first_different, Some(LossPair { step: 1, first: Some(1.9), other: Some(1.95) }));
        assert_eq!(b.first_apart, Some(LossPair { step: 2, first: Some(1.8), other: Some(1.5) }));
        assert_eq!((c.first_different, c.common_steps), (None, 4));
        assert_eq!((found.runs[1].last_step, found.runs[1].last_loss), (Some(3), None));
    }

    #[test]
    fn runs_that_still_go_on_and_recipes_of_others() {
        let mut a = Run::new(Header { recipe: "lr = 0.1\n".into(), ..samples::header() });
        a.absorb(Line::Step(Box::new(samples::step(3))));
        a.absorb(Line::Finding(samples::finding(0)));
        a.absorb(Line::Finding(samples::finding(9)));
        let b = Run::new(Header { recipe: "no toml".into(), seed: 5, ..samples::header() });
        let found = compare(&[("a".into(), a), ("b".into(), b)]);
        let names: Vec<&str> = found.differences.iter().map(|difference| difference.name.as_str()).collect();
        assert_eq!(names, ["lr", "recipe", "run.seed"]);
        assert_eq!(found.runs[0].findings, ["error[vanishing-gradient]"], "each once");
        assert_eq!((found.runs[0].last_step, found.runs[1].last_step), (Some(3), None));
        assert_eq!(found.parted[0].common_steps, 0);
    }

    #[test]
    fn an_operation_that_differs_is_named() {
        let a = Run::new(samples::header());
        let mut b = a.clone();
        b.header.network.ops.pop();
        let found = compare(&[("a".into(), a), ("b".into(), b)]);
        assert_eq!(found.differences.len(), 1);
        assert_eq!(found.differences[0].name, "network built.ops.head");
        assert_eq!(found.differences[0].values[1], None);
    }
}
