//! Attention logits that grow without end, or start far beyond where softmax freezes.

use super::attention::{Seen, seen};
use super::finding::number;
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "logit-growth",
    code: "G032",
    summary: "attention logits grow beyond what a softmax can tell apart",
    page: include_str!("logit-growth.md"),
    explains: &[
        "attention-entropy-collapse",
        "vanishing-gradient",
        "learning-rate-too-high",
        "clipping-dominates",
        "diverging-loss",
        "non-finite",
        "loss-at-chance",
    ],
    check,
};

/// Largest logit at which there is nothing left to tell apart: a thousand times those of networks that learn, which have
/// up to some tens, and where the numbers of bf16 are 64 apart.
const DIVERGES: f64 = 1e4;
/// RMS of the logits over where softmax freezes, from which on it is worth a word: then the second largest of T logits
/// gets no weight at all in f32.
const FROZEN: f64 = 4.0;
/// Growth over the watched steps that counts as growing.
const GROWS: f64 = 2.0;
/// Watched steps that it takes to speak of growth.
const ENOUGH: usize = 5;

fn check(case: &Case<'_>) -> Option<Finding> {
    let seen = seen(case);
    let size = |seen: &&Seen<'_>| seen.records.last().map_or(0.0, |(_, record)| record.largest_logit);
    let worst = seen.iter().filter(|seen| level(seen).is_some()).max_by(|a, b| size(a).total_cmp(&size(b)))?;
    let level = level(worst)?;
    let ((_, first), (step, last)) = (worst.records.first()?, worst.records.last()?);
    let growth = last.logit_rms / first.logit_rms;
    let course = if worst.records.len() < ENOUGH {
        format!("the attention logits of {} have RMS {}", worst.name, number(last.logit_rms))
    } else {
        format!("the attention logits of {} grow by {} to RMS {}", worst.name, number(growth), number(last.logit_rms))
    };
    let message = format!("{course}, the largest is {}: softmax sees one position", number(last.largest_logit));
    Some(
        Finding::new(RULE.name, level, [worst.name, worst.name], message)
            .at(*step)
            .against(
                "RMS of the logits over sqrt(2 ln T)",
                last.logit_rms / worst.freezes(),
                FROZEN,
                "1 where one of T random logits takes the softmax for itself (Derrida 1981)",
            )
            .against(
                "largest magnitude of a logit",
                last.largest_logit,
                DIVERGES,
                "a thousand times those of networks that learn; bf16 has steps of 64 there",
            )
            .with("RMS of the logits, last over first", growth)
            .remedies(&[
                "rescale-init",
                "qk-norm",
                "cap-logits",
                "sigma-reparam",
                "change-learning-rate",
                "clip-by-global-norm",
            ]),
    )
}

fn level(seen: &Seen<'_>) -> Option<Level> {
    let (first, last) = (seen.records.first()?.1, seen.records.last()?.1);
    if last.largest_logit > DIVERGES || last.largest_logit.is_nan() {
        return Some(Level::Deny);
    }
    // Large from the start, or grown in training; logits that shrink are on their way.
    let grown = seen.records.len() < ENOUGH || last.logit_rms > GROWS * first.logit_rms;
    (last.logit_rms > FROZEN * seen.freezes() && grown).then_some(Level::Warn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::AttentionRecord;
    use crate::rules::attention::tests::{bench, watch};

    fn logits(logit_rms: f64) -> AttentionRecord {
        AttentionRecord { entropy: 0.5, logit_rms, largest_logit: 4.0 * logit_rms }
    }

    #[test]
    fn size_before_training() {
        let level = |rms| bench(logits(rms)).ask("logit-growth").map(|finding| finding.level);
        assert_eq!(level(1.0), None);
        // Four times sqrt(2 ln 32) = 2.63.
        assert_eq!(level(10.0), None);
        assert_eq!(level(11.0), Some(Level::Warn));
        assert_eq!(level(3000.0), Some(Level::Deny), "the largest is above 1e4");
        assert_eq!(level(f64::NAN), Some(Level::Deny));
    }

    #[test]
    fn growth_while_it_is_watched() {
        let course = |rms: fn(u64) -> f64| {
            let mut bench = bench(logits(rms(0)));
            watch(&mut bench, |step| logits(rms(step)));
            bench.ask("logit-growth")
        };
        let finding = course(|step| 0.1 * 2f64.powi(step as i32)).unwrap();
        assert_eq!((finding.level, finding.step), (Level::Warn, 9));
        assert!(finding.message.contains("grow by 512 to RMS 51.2"), "{}", finding.message);
        assert_eq!(course(|step| 0.3 + 0.3 * step as f64), None, "learning makes logits, up to a few units");
        assert_eq!(course(|step| 60.0 - 4.0 * step as f64), None, "on their way down");
    }
}
