//! Residual branches that add up: the stream grows by a factor in every block.

use super::finding::{factor, number};
use super::measure::forward;
use super::{Case, Finding, Rule};
use crate::forecast::kept;
use crate::network::OpKind;
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "unscaled-residual",
    code: "G005",
    summary: "residual branches at full size make the stream grow in every block",
    page: include_str!("unscaled-residual.md"),
    explains: &[
        "forward-overflow",
        "exploding-activation",
        "saturated-units",
        "exploding-gradient",
        "dead-units",
        "learning-rate-too-high",
        "clipping-dominates",
        "diverging-loss",
        "non-finite",
        "loss-at-chance",
    ],
    check,
};

/// Growth of the stream, nepers, from which on training suffers (a factor of 10).
const SUFFERS: f64 = 2.303;
/// Growth of the stream from which on it fails (a factor of 100: the first loss is then hundreds of times the loss of
/// knowing nothing).
const FAILS: f64 = 4.605;

/// What mends it; the last where no branch is left out yet.
const REMEDIES: [&str; 6] =
    ["scale-branches", "fixup-init", "insert-layer-norm", "insert-batch-norm", "change-learning-rate", "drop-branches"];

fn check(case: &Case<'_>) -> Option<Finding> {
    let blocks: Vec<(&str, f64)> = case
        .network
        .ops
        .iter()
        .filter_map(|op| match &op.kind {
            OpKind::Residual(residual) if residual.adds() => Some((op.name.as_str(), residual.scale)),
            _ => None,
        })
        .collect();
    let [first, .., last] = blocks.as_slice() else {
        return None;
    };
    let rms =
        |name: &str| case.start.flow.joints.iter().find(|joint| joint.name == name).map(|joint| joint.activation_rms);
    let growth = (rms(last.0)? / rms(first.0)?).ln();
    if growth.is_nan() || growth < SUFFERS {
        return None;
    }
    let level = if growth >= FAILS { Level::Deny } else { Level::Warn };
    let per_block = (growth / (blocks.len() - 1) as f64).exp();
    let message = format!(
        "the residual stream grows by {} from {} to {}, x{} per block: the branches (scale {}) are not scaled down",
        factor(growth),
        first.0,
        last.0,
        number(per_block),
        number(first.1)
    );
    let scaled = 1.0 / (blocks.len() as f64).sqrt();
    let kept = kept(&case.network.walk());
    let mut finding = Finding::new(RULE.name, level, [first.0, last.0], message)
        .against("ln of the stream's growth", growth, SUFFERS, "a sum of 1/sqrt(L) branches grows by sqrt(e) at most")
        .against("branch scale", first.1, scaled, "1/sqrt(L) keeps the variance within e (Hanin & Rolnick 2018)")
        .remedies(match kept < 1.0 {
            true => &REMEDIES[..REMEDIES.len() - 1],
            false => &REMEDIES,
        });
    finding.causes = forward(case.start).map(|span| span.causes(&case.start.flow.joints)).unwrap_or_default();
    finding.theory = Some(match kept < 1.0 {
        true => format!(
            "a He-initialised branch of full size for {} of the samples multiplies the variance by {}: x{} per block",
            number(kept),
            number(1.0 + kept),
            number((1.0 + kept).sqrt())
        ),
        false => "a He-initialised branch of full size doubles the variance: x1.414 per block".into(),
    });
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    #[test]
    fn growth_decides_not_the_scale() {
        let ask = |depth: usize, more: &str| {
            let recipe =
                format!("[network]\nkind = \"residual\"\ndepth = {depth}\nwidth = 32\ninit = \"he-normal\"\n{more}\n");
            Bench::new(&recipe).ask("unscaled-residual").map(|finding| finding.level)
        };
        assert_eq!(ask(24, "branch_scale = 1.0"), Some(Level::Deny));
        assert_eq!(ask(24, "branch_scale = \"depth\""), None);
        assert_eq!(ask(24, "branch_scale = 0.0\nlearnable_scale = true"), None);
        assert_eq!(ask(5, "branch_scale = 1.0"), None);
        assert_eq!(ask(24, "branch_scale = 1.0\nnorm = \"layer\""), None);
    }
}
