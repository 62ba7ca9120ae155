//! A transformer whose norms stand after the additions, too deep to start at the full learning rate.

use super::finding::number;
use super::measure::by_name;
use super::{Case, Finding, Rule};
use crate::network::{NormKind, Op, OpKind, Residual};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "norm-placement",
    code: "G035",
    summary: "a deep transformer with norms behind its additions starts at the full learning rate",
    page: include_str!("norm-placement.md"),
    explains: &[
        "rank-collapse",
        "exploding-gradient",
        "vanishing-gradient",
        "learning-rate-too-high",
        "clipping-dominates",
        "diverging-loss",
        "loss-at-chance",
        "logit-growth",
    ],
    check,
};

/// Blocks from which on it is worth a note: six layers of encoder and decoder without warm-up end at 8.5 BLEU where 34 are
/// possible (Xiong et al. 2020), though on a task of copying 12 blocks still learn at once.
const DEEP: usize = 6;
/// Blocks from which on it fails: 18 of width 64 at Adam's 1e-3 stay at chance on that task, on both of two seeds.
const FAILS: usize = 18;
/// ln of the last block's weight gradient over the first one's, above which norms behind the additions hold it up. Of 6 to
/// 24 blocks (two initialisations, two kinds of head) they give -0.23 to 0.13, norms in front of the branches -1.8 to -0.9.
const HELD_UP: f64 = -0.5;

fn check(case: &Case<'_>) -> Option<Finding> {
    let additions = norms_behind(&case.network.ops);
    let attends = case.network.walk().iter().any(|op| matches!(op.kind, OpKind::Attention(_)));
    // An attention and a feed-forward branch make one block.
    let blocks = additions.len() / 2;
    if !attends || blocks < DEEP || case.recipe.schedule.warm_up > 0 {
        return None;
    }
    let (first_norm, last_norm) = (additions.first()?.norm, additions.last()?.norm);
    let records = by_name(&case.start.parameters);
    let ends: Vec<_> = additions.iter().filter_map(|addition| last_linear(addition.residual)).collect();
    let (last, shape) = *ends.last()?;
    let (first, _) = *ends.iter().find(|(_, other)| *other == shape)?;
    let gradient = |op: &str| Some(records.get(format!("{op}.weight").as_str())?.gradient.norm());
    let change = (gradient(last)? / gradient(first)?).ln();
    if change.is_nan() || change < HELD_UP {
        return None;
    }
    let level = if blocks >= FAILS { Level::Warn } else { Level::Note };
    let message = format!(
        "{blocks} blocks with norms behind their additions start at the full learning rate, and the last block gets a \
         gradient of {} times the first one's: norms in front would make it small",
        number(change.exp())
    );
    Some(
        Finding::new(RULE.name, level, [first_norm, last_norm], message)
            .against(
                "blocks with norms behind their additions",
                blocks as f64,
                FAILS as f64,
                "six layers without warm-up: 8.5 BLEU in place of 34 (Xiong et al. 2020); 18 do not learn to copy",
            )
            .against(
                format!("ln of the gradient of {last}.weight over that of {first}.weight"),
                change,
                HELD_UP,
                "6 to 24 blocks: -0.23 to 0.13 with norms behind, -1.8 to -0.9 with norms in front",
            )
            .against("steps of warm-up", 0.0, 1.0, "some hundred to thousand steps are usual")
            .remedies(&[
                "move-norm",
                "deep-norm",
                "t-fixup-init",
                "warm-up",
                "change-learning-rate",
                "clip-by-global-norm",
            ]),
    )
}

/// A full-size addition with a norm right behind it.
struct Addition<'a> {
    residual: &'a Residual,
    norm: &'a str,
}

/// In forward order. A branch that is scaled down (DeepNorm) or starts at zero is no full-size one.
fn norms_behind(ops: &[Op]) -> Vec<Addition<'_>> {
    let pairs = ops.windows(2).filter_map(|pair| match (&pair[0].kind, &pair[1].kind) {
        (OpKind::Residual(residual), OpKind::Norm(norm))
            if residual.scale >= 1.0 && matches!(norm.norm, NormKind::Layer | NormKind::Rms) =>
        {
            Some(Addition { residual, norm: &pair[1].name })
        }
        _ => None,
    });
    pairs.collect()
}

/// Name and shape of the last linear operation of a branch: what ends in the stream.
fn last_linear(residual: &Residual) -> Option<(&str, (usize, usize))> {
    residual.branch.iter().rev().find_map(|op| match &op.kind {
        OpKind::Linear(linear) => Some((op.name.as_str(), (linear.fan_in, linear.fan_out))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Attention, Norm};
    use crate::rules::fixture::Bench;

    /// Residual branches as in a transformer of half as many blocks, each with a norm behind its addition.
    fn bench(branches: usize, scale: f64) -> Bench {
        let network = format!(
            "[network]\nkind = \"residual\"\ndepth = {}\nwidth = 32\ninit = \"glorot-normal\"\nbranch_scale = {scale:?}\n",
            branches + 1
        );
        let mut bench = Bench::new(&network);
        let mut ops = Vec::new();
        for (index, mut op) in std::mem::take(&mut bench.network.ops).into_iter().enumerate() {
            let behind = matches!(op.kind, OpKind::Residual(_));
            if let OpKind::Residual(residual) = &mut op.kind {
                let attention =
                    Attention { features: 32, heads: 4, steps: 8, causal: false, rotary: false, logit_cap: None };
                residual.branch.insert(0, Op { name: format!("attend{index}"), kind: OpKind::Attention(attention) });
            }
            ops.push(op);
            if behind {
                let norm = Norm::new(NormKind::Layer, 32, 1e-5);
                ops.push(Op { name: format!("norm{index}"), kind: OpKind::Norm(norm) });
            }
        }
        bench.network.ops = ops;
        // As measured: the last block's gradient is as large as the first one's.
        let gradient = bench.parameter("block2.fc.weight").gradient;
        bench.parameter(&format!("block{}.fc.weight", branches + 1)).gradient = gradient;
        bench
    }

    #[test]
    fn deep_with_norms_behind_and_no_warm_up() {
        let finding = bench(12, 1.0).ask("norm-placement").unwrap();
        assert_eq!((finding.level, bench(36, 1.0).ask("norm-placement").unwrap().level), (Level::Note, Level::Warn));
        assert!(finding.message.starts_with("6 blocks") && finding.message.contains("of 1.00 times"), "{finding:?}");
        assert_eq!(bench(10, 1.0).ask("norm-placement"), None, "five blocks");
        assert_eq!(bench(12, 0.6).ask("norm-placement"), None, "DeepNorm");
        let mut warm = bench(12, 1.0);
        warm.recipe.schedule.warm_up = 100;
        assert_eq!(warm.ask("norm-placement"), None);
    }

    #[test]
    fn a_small_last_gradient_is_what_warm_up_is_for() {
        let mut bench = bench(12, 1.0);
        bench.parameter("block13.fc.weight").gradient.sum_of_squares *= (-1.0f64).exp().powi(2);
        assert_eq!(bench.ask("norm-placement"), None);
    }
}
