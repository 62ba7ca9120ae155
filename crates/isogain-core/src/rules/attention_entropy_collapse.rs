//! Attention that looks at one position, whatever the query.

use super::attention::seen;
use super::finding::number;
use super::measure::learned;
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "attention-entropy-collapse",
    code: "G033",
    summary: "attention looks at a single position before anything is learned",
    page: include_str!("attention-entropy-collapse.md"),
    explains: &["vanishing-gradient", "learning-rate-too-high", "diverging-loss", "loss-at-chance", "frozen-embedding"],
    check,
};

/// Entropy over ln T before training. Normal logits over 128 positions have 0.90 at a deviation of 1, 0.43 where softmax
/// freezes (3.1) and 0.14 at 8: the geometric mean of the last two.
const START: f64 = 0.25;
/// The same during training. Trained heads may be sharp, but not all of them at once in a network that has not learned.
const TRAINED: f64 = 0.1;

fn check(case: &Case<'_>) -> Option<Finding> {
    let seen = seen(case);
    let start = seen.iter().filter_map(|seen| Some((seen.name, *seen.records.first()?, START)));
    let end = seen
        .iter()
        .filter(|seen| seen.records.len() > 1 && learned(case) != Some(true))
        .filter_map(|seen| Some((seen.name, *seen.records.last()?, TRAINED)));
    let all: Vec<_> = start.chain(end).filter(|(_, (_, record), limit)| record.entropy < *limit).collect();
    let (name, (step, record), limit) = all.iter().min_by(|a, b| a.1.1.entropy.total_cmp(&b.1.1.entropy)).copied()?;
    let source = if limit == START {
        "normal logits over 128 positions: 0.90 at deviation 1, 0.43 where softmax freezes, 0.14 at 8"
    } else {
        "trained heads may be sharp, but not all of a layer before anything is learned (Zhai et al. 2023)"
    };
    let message = format!(
        "the attention of {name} looks at one position: its entropy is {} of that of looking everywhere",
        number(record.entropy)
    );
    Some(
        Finding::new(RULE.name, Level::Warn, [name, name], message)
            .at(step)
            .against("entropy of the attention over ln of the visible positions", record.entropy, limit, source)
            .with("RMS of the logits", record.logit_rms)
            .with("largest magnitude of a logit", record.largest_logit)
            .with("attention operations concerned", all.len() as f64)
            .remedies(&["rescale-init", "qk-norm", "cap-logits", "sigma-reparam", "change-learning-rate"]),
    )
}

#[cfg(test)]
mod tests {
    use crate::record::AttentionRecord;
    use crate::rules::attention::tests::{bench, watch};
    use crate::rules::fixture::Bench;

    fn entropy(entropy: f64) -> AttentionRecord {
        AttentionRecord { entropy, logit_rms: 1.0, largest_logit: 4.0 }
    }

    fn ask(bench: &Bench) -> Option<(u64, String)> {
        bench.ask("attention-entropy-collapse").map(|finding| (finding.step, finding.layers[0].clone()))
    }

    #[test]
    fn before_training() {
        assert_eq!(ask(&bench(entropy(0.9))), None);
        assert_eq!(ask(&bench(entropy(0.43))), None, "where softmax freezes");
        assert_eq!(ask(&bench(entropy(0.14))), Some((0, "fc1".into())), "logits of deviation 8");
    }

    #[test]
    fn sharp_heads_are_what_training_is_for_unless_nothing_was_learned() {
        let mut bench = bench(entropy(0.9));
        watch(&mut bench, |step| entropy(0.9 - 0.09 * step as f64));
        assert_eq!(ask(&bench), Some((9, "fc1".into())));
        bench.finish((0..10).map(|step| 2.3 / f64::from(1 + step * step)));
        assert_eq!(ask(&bench), None);
    }
}
