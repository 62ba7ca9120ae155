//! Inputs on another scale than the initialiser assumes.

use super::finding::number;
use super::{Case, Finding, Rule};
use crate::network::OpKind;
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "unscaled-input",
    code: "G001",
    summary: "inputs are not on the scale that the initialiser assumes",
    page: include_str!("unscaled-input.md"),
    explains: &[
        "forward-overflow",
        "exploding-activation",
        "vanishing-activation",
        "saturated-units",
        "exploding-gradient",
        "vanishing-gradient",
        "gradient-below-eps",
        "dead-units",
        "learning-rate-too-high",
        "learning-rate-too-low",
        "clipping-dominates",
        "frozen-layer",
        "diverging-loss",
        "non-finite",
        "loss-at-chance",
    ],
    check,
};

/// Factor from an RMS of 1 beyond which training suffers: curvature goes with the square, so that the usable learning
/// rate falls by 25 or more.
const SUFFERS: f64 = 5.0;
/// Factor from which on the first layer is useless: the usable learning rate falls by 10^4.
const FAILS: f64 = 100.0;
/// Ratio between the RMS of two features: the condition number of the first layer's problem is its square (LeCun et
/// al. 1998).
const FEATURES: f64 = 100.0;

fn check(case: &Case<'_>) -> Option<Finding> {
    // A normalisation right at the input makes its scale irrelevant.
    if matches!(case.network.ops.first()?.kind, OpKind::Norm(_)) {
        return None;
    }
    let rms = case.data.input.rms()?;
    let spread = case.data.feature_rms_ratio;
    let off = if rms > 0.0 { rms.max(1.0 / rms) } else { f64::INFINITY };
    if off <= SUFFERS && spread <= FEATURES {
        return None;
    }
    let level = if off > FAILS { Level::Deny } else { Level::Warn };
    let message = if off > SUFFERS {
        format!("the inputs have RMS {}, but initialisers assume 1", number(rms))
    } else {
        format!("one input feature is {} times as large as another", number(spread))
    };
    let first = &case.network.ops.first()?.name;
    Some(
        Finding::new(RULE.name, level, [first, first], message)
            .against("RMS of the inputs", rms, 1.0, "LeCun et al. 1998: E x^2 = 1; tolerated within a factor of 5")
            .against("largest ratio of two features' RMS", spread, FEATURES, "condition number is its square")
            .remedies(&["scale-input", "insert-batch-norm", "change-learning-rate"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    const HEALTHY: &str = "[network]\ndepth = 2\nwidth = 16\ninit = \"he-normal\"\n";

    #[test]
    fn the_scale_counts_in_both_directions() {
        let level = |scale: f64| {
            let recipe = format!("[data]\ninput_scale = {scale:?}\n{HEALTHY}");
            Bench::new(&recipe).ask("unscaled-input").map(|finding| finding.level)
        };
        assert_eq!(level(1.0), None);
        assert_eq!(level(4.0), None);
        assert_eq!(level(8.0), Some(Level::Warn));
        assert_eq!(level(500.0), Some(Level::Deny));
        assert_eq!(level(0.05), Some(Level::Warn));
    }

    #[test]
    fn features_of_different_size() {
        let mut bench = Bench::new(HEALTHY);
        bench.data.feature_rms_ratio = 1e4;
        assert!(bench.ask("unscaled-input").unwrap().message.contains("10000 times"));
    }
}
