//! A table of embeddings that hardly moves while everything else does.

use super::finding::number;
use super::frozen_layer::measured;
use super::measure::{by_name, reach_of, weights};
use super::{Case, Finding, Rule};
use crate::network::OpKind;
use crate::recipe::Level;
use crate::statistics::median;

pub(super) static RULE: Rule = Rule {
    name: "frozen-embedding",
    code: "G036",
    summary: "the table of embeddings hardly moves while the other weights do",
    page: include_str!("frozen-embedding.md"),
    explains: &["loss-at-chance", "too-few-steps"],
    check,
};

/// Steps x |update| / |W|: a matrix that moves by less than 1 % in the whole run is what it was.
const MOVES: f64 = 0.01;
/// The same over that of the other weights: a hundredth is no matter of the learning rate for all.
const LAGS: f64 = 0.01;

fn check(case: &Case<'_>) -> Option<Finding> {
    let name = case.network.walk().into_iter().find_map(|op| match op.kind {
        OpKind::Embedding(_) => Some(op.name.as_str()),
        _ => None,
    })?;
    let table = format!("{name}.weight");
    let record = *by_name(&case.start.parameters).get(table.as_str())?;
    let planned = case.recipe.run.steps as f64;
    let (reach, others) = if case.history.is_empty() {
        let others = median(weights(case).iter().filter_map(|weight| weight.reach));
        (reach_of(case, record)?, others?)
    } else {
        let history: Vec<_> = case.history.iter().map(|step| by_name(&step.parameters)).collect();
        let others = median(weights(case).iter().filter_map(|weight| measured(&history, weight.op)));
        (planned * measured(&history, name)?, planned * others?)
    };
    if !(reach < MOVES && reach < LAGS * others) {
        return None;
    }
    let without = record.gradient.zero_fraction();
    let message = format!(
        "the table {table} hardly moves: {} steps change it by {} of its size, the median of the other weights by {}",
        case.recipe.run.steps,
        number(reach),
        number(others)
    );
    Some(
        Finding::new(RULE.name, Level::Warn, [name, name], message)
            .at(case.history.last().map_or(0, |step| step.step))
            .against(
                format!("steps x |update| / |W| of {table}"),
                reach,
                MOVES,
                "a matrix that moves by less than 1 % in the whole run is what it was",
            )
            .against("the same over the median of the other weights", reach / others, LAGS, "a hundredth of the others")
            .with("share of its gradient that is exactly zero: rows of tokens that the batch does not hold", without)
            .with("RMS of the table", record.weight.rms().unwrap_or(f64::NAN))
            .remedies(&["rescale-init", "change-learning-rate"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Embedding;
    use crate::rules::fixture::Bench;
    use crate::theory::initializers::Initializer;

    /// A healthy network whose first weight is called a table.
    fn bench(scale: f64) -> Bench {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n[run]\nsteps = 100\n");
        let table = Embedding {
            vocabulary: 64,
            features: 32,
            steps: 1,
            positions: false,
            init: Initializer::named("he-normal").unwrap(),
        };
        bench.network.ops[0].kind = OpKind::Embedding(table);
        bench.parameter("fc1.weight").gradient.sum_of_squares *= scale * scale;
        bench
    }

    #[test]
    fn slow_by_itself_and_against_the_others() {
        assert_eq!(bench(1.0).ask("frozen-embedding"), None);
        let finding = bench(1e-4).ask("frozen-embedding").unwrap();
        assert_eq!((finding.level, finding.layers[0].as_str()), (Level::Warn, "fc1"));
        let mut all = bench(1e-4);
        for name in ["fc2.weight", "fc3.weight", "head.weight"] {
            all.parameter(name).gradient.sum_of_squares *= 1e-8;
        }
        assert_eq!(all.ask("frozen-embedding"), None, "all of them are slow: another rule's");
    }
}
