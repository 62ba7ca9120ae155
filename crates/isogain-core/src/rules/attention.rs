//! What attention did before and during training, in the rules' terms.

use std::collections::HashMap;

use super::Case;
use crate::network::{Attention, OpKind};
use crate::record::{AttentionRecord, Detail, JointRecord};

/// One attention operation with what was seen of it, in the order of steps.
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    pub(super) attention: &'a Attention,
    /// Step and record; the first one before training.
    pub(super) records: Vec<(u64, AttentionRecord)>,
}

impl Seen<'_> {
    /// Deviation of independent normal logits from which on one of them takes the softmax for itself: sqrt(2 ln T) for T
    /// positions (the freezing of the random-energy model, Derrida 1981).
    pub(super) fn freezes(&self) -> f64 {
        (2.0 * (self.attention.steps.max(2) as f64).ln()).sqrt()
    }
}

/// Every attention operation of which anything was seen.
pub(super) fn seen<'a>(case: &Case<'a>) -> Vec<Seen<'a>> {
    let ops = case.network.walk().into_iter();
    let attentions: Vec<(&str, &Attention)> = ops
        .filter_map(|op| match &op.kind {
            OpKind::Attention(attention) => Some((op.name.as_str(), attention)),
            _ => None,
        })
        .collect();
    if attentions.is_empty() {
        return Vec::new();
    }
    let watched: Vec<(u64, HashMap<&str, AttentionRecord>)> = std::iter::once((case.start.step, &case.start.joints))
        .chain(case.history.iter().map(|step| (step.step, &step.joints)))
        .chain(case.history.iter().filter_map(|step| Some((step.step, &step.snapshot.as_ref()?.joints))))
        .chain(case.end.map(|end| (end.step, &end.joints)))
        .map(|(step, joints)| (step, by_name(joints)))
        .collect();
    let found = attentions.into_iter().map(|(name, attention)| {
        let mut records: Vec<(u64, AttentionRecord)> =
            watched.iter().filter_map(|(step, joints)| Some((*step, *joints.get(name)?))).collect();
        records.sort_by_key(|(step, _)| *step);
        Seen { name, attention, records }
    });
    found.filter(|seen| !seen.records.is_empty()).collect()
}

/// What was seen of each attention. A map, because a search through all joints for each of them grows with the square of the
/// depth.
fn by_name(joints: &[JointRecord]) -> HashMap<&str, AttentionRecord> {
    let attention = |joint: &JointRecord| match &joint.detail {
        Some(Detail::Attention(record)) => Some(*record),
        _ => None,
    };
    joints.iter().filter_map(|joint| Some((joint.name.as_str(), attention(joint)?))).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::StepRecord;
    use crate::rules::fixture::Bench;

    /// A healthy network whose first operation is called attention among 32 steps, with this to say of it.
    pub(in crate::rules) fn bench(record: AttentionRecord) -> Bench {
        let mut bench = Bench::new("[network]\ndepth = 3\nwidth = 32\ninit = \"he-normal\"\n");
        bench.network.ops[0].kind = OpKind::Attention(Attention {
            features: 32,
            heads: 4,
            steps: 32,
            causal: true,
            rotary: false,
            logit_cap: None,
        });
        bench.joint("fc1").detail = Some(Detail::Attention(record));
        bench
    }

    /// Ten watched steps.
    pub(in crate::rules) fn watch(bench: &mut Bench, record: impl Fn(u64) -> AttentionRecord) {
        let joint = bench.joint("fc1").clone();
        bench.history = (0..10)
            .map(|step| StepRecord {
                step,
                loss: 2.0,
                learning_rate: 0.05,
                joints: vec![JointRecord { detail: Some(Detail::Attention(record(step))), ..joint.clone() }],
                parameters: Vec::new(),
                clip: None,
                scaling: None,
                snapshot: None,
                histograms: Vec::new(),
            })
            .collect();
    }

    #[test]
    fn records_come_in_the_order_of_steps() {
        let record = |entropy| AttentionRecord { entropy, logit_rms: 1.0, largest_logit: 2.0 };
        let mut bench = bench(record(0.5));
        watch(&mut bench, |step| record(step as f64));
        let case = bench.case();
        let seen = seen(&case);
        assert_eq!(seen.len(), 1);
        let entropies: Vec<f64> = seen[0].records.iter().map(|(_, record)| record.entropy).collect();
        assert_eq!(entropies[..3], [0.5, 0.0, 1.0]);
        assert!((seen[0].freezes() - 2.6327).abs() < 1e-4);
    }
}
