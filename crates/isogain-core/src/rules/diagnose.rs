//! Runs every rule, applies the recipe's levels, and names one cause first.

use super::measure::learned;
use super::{Case, Finding, Rule, TABLE};
use crate::recipe::Level;

/// Everything that is wrong, causes first.
///
/// The order is that of [`TABLE`]. A finding that an earlier one explains stands among that one's consequences, under
/// the first such cause. Levels of the recipe replace those of the rules; `allow` drops a finding, and what it would
/// have explained then stands for itself. A cause is at least as serious as what follows from it. Where training is
/// over and the network did learn, signs of a failure that did not happen are warnings.
pub fn diagnose(case: &Case<'_>) -> Vec<Finding> {
    let learned = learned(case) == Some(true);
    let mut found: Vec<(&Rule, Finding)> = Vec::new();
    for rule in TABLE {
        let Some(mut finding) = (rule.check)(case) else {
            continue;
        };
        if learned && finding.level == Level::Deny {
            finding.level = Level::Warn;
        }
        match case.recipe.rules.get(rule.name) {
            Some(Level::Allow) => continue,
            Some(&level) => finding.level = level,
            None => {}
        }
        found.push((rule, finding));
    }
    nest(found, case)
}

fn nest(mut found: Vec<(&Rule, Finding)>, case: &Case<'_>) -> Vec<Finding> {
    // From the last one up: each goes under its first cause together with what it has already taken in.
    let mut index = found.len();
    while index > 0 {
        index -= 1;
        let name = found[index].0.name;
        let Some(cause) = found[..index].iter().position(|(rule, _)| rule.explains.contains(&name)) else {
            continue;
        };
        let (_, consequence) = found.remove(index);
        let given = case.recipe.rules.contains_key(found[cause].0.name);
        let cause = &mut found[cause].1;
        if !given && consequence.level > cause.level {
            cause.level = consequence.level;
        }
        cause.consequences.insert(0, consequence);
    }
    found.into_iter().map(|(_, finding)| finding).collect()
}
