//! Gradients so small that Adam's eps swallows them.

use super::finding::number;
use super::measure::weights;
use super::{Case, Finding, Rule};
use crate::recipe::Level;

pub(super) static RULE: Rule = Rule {
    name: "gradient-below-eps",
    code: "G014",
    summary: "gradients are below Adam's eps, so that it does not rescale them",
    page: include_str!("gradient-below-eps.md"),
    explains: &["learning-rate-too-low", "frozen-layer", "loss-at-chance"],
    check,
};

/// |g| / eps below which the step is less than half of what Adam promises: g / (g + eps) = 1/2.
const HALF: f64 = 1.0;
/// |g| / eps below which a step is less than a hundredth of it.
const SWALLOWED: f64 = 1e-2;

fn check(case: &Case<'_>) -> Option<Finding> {
    let eps = case.recipe.optimizer.eps;
    let weights: Vec<_> = weights(case).into_iter().filter(|weight| weight.eps.is_some_and(|eps| eps > 0.0)).collect();
    // Exact zeros have another cause.
    let ratios: Vec<(&str, f64)> = weights
        .iter()
        .filter(|weight| !weight.gradient_is_zero())
        .filter_map(|weight| Some((weight.op, weight.gradient.rms()? / weight.eps?)))
        .filter(|(_, ratio)| *ratio < HALF)
        .collect();
    let (first, last) = (ratios.first()?, ratios.last()?);
    let worst = ratios.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let level = if worst.1 < SWALLOWED { Level::Deny } else { Level::Warn };
    let message = format!(
        "{} of {} weight gradients are below {}'s eps of {}; that of {} has RMS {}: its steps are {} of the intended size",
        ratios.len(),
        weights.len(),
        case.recipe.optimizer.name.title(),
        number(eps),
        worst.0,
        number(worst.1 * eps),
        number(worst.1 / (worst.1 + 1.0))
    );
    Some(
        Finding::new(RULE.name, level, [first.0, last.0], message)
            .against(
                format!("RMS of the gradient of {} over eps", worst.0),
                worst.1,
                HALF,
                "g / (g + eps) = 1/2 at g = eps",
            )
            .with("weights whose gradient is below eps", ratios.len() as f64)
            .remedies(&["smaller-eps", "rescale-init", "add-skip", "insert-batch-norm"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    #[test]
    fn eps_alone_decides() {
        let ask = |name: &str, eps: &str| {
            let recipe = format!(
                "[network]\ndepth = 30\nwidth = 32\n[optimizer]\nname = \"{name}\"\nlearning_rate = 1e-3\n{eps}\n"
            );
            Bench::new(&recipe).ask("gradient-below-eps").map(|finding| finding.level)
        };
        assert_eq!(ask("adam", "eps = 1e-8"), Some(Level::Deny));
        assert_eq!(ask("adam", "eps = 1e-30"), None);
        assert_eq!(ask("rmsprop", "eps = 1e-8"), Some(Level::Deny));
        assert_eq!(ask("adagrad", "eps = 1e-30"), None);
        assert_eq!(ask("sgd", ""), None);
        // Of a Muon's weights those of the first layer and the head alone are divided by it.
        assert_eq!(ask("muon", "eps = 1e-8"), Some(Level::Deny));
        assert_eq!(ask("muon", "eps = 1e-30"), None);
        assert_eq!(ask("sign-sgd", ""), None);
    }

    #[test]
    fn a_consequence_of_the_vanishing_gradient() {
        let recipe = "[network]\ndepth = 30\nwidth = 32\n[optimizer]\nname = \"adam\"\nlearning_rate = 1e-3\n";
        let found = Bench::new(recipe).diagnose();
        assert_eq!(found[0].rule, "vanishing-gradient", "{found:#?}");
        assert!(found[0].consequences.iter().any(|finding| finding.rule == RULE.name), "{found:#?}");
    }
}
