//! What a search does not do, and says so: remedies that leave the illness as it is, and what a budget takes out.

use serde::{Deserialize, Serialize};

use super::plan::{Against, Plan};
use crate::recipe::{Level, Recipe};
use crate::remedies::Prescription;
use crate::render::numbers::setting;
use crate::rules::Finding;

/// Something that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// A prescription, a learning rate, a part of the search.
    pub what: String,
    /// The reason, which can stand behind "because".
    pub why: String,
}

/// Why training a prescription would show nothing new; `None` where it has to be tried.
///
/// `untreated` is what is wrong with the network, causes first; `treated` what is wrong with the treated one before
/// training, at every learning rate that it would be tried at. A prescription is left out where the first cause stays at
/// every rate, as serious as it was, and
///
/// * no finding names one of its remedies, or
/// * it is an error, and the prescription changes the network or the data, so that the cause was measured anew.
///
/// Another learning rate is never left out: it is the untreated network, which is trained anyway.
pub fn ruled_out(
    recipe: &Recipe,
    untreated: &[Finding],
    prescription: &Prescription,
    treated: &[Vec<Finding>],
) -> Option<String> {
    let cause = untreated.first().filter(|cause| cause.level > Level::Note)?;
    let stays = |findings: &Vec<Finding>| {
        findings.iter().any(|finding| finding.rule == cause.rule && finding.level >= cause.level)
    };
    if prescription.remedies == ["change-learning-rate"] || treated.is_empty() || !treated.iter().all(stays) {
        return None;
    }
    let is_named = prescription.remedies.iter().any(|remedy| names(untreated, remedy));
    let is_measured_anew = prescription.recipe.network != recipe.network || prescription.recipe.data != recipe.data;
    let is_certain = cause.level == Level::Deny && is_measured_anew;
    (!is_named || is_certain).then(|| format!("{} would stay", cause.rule))
}

/// Whether a finding, or one that follows from it, names the remedy.
fn names(findings: &[Finding], remedy: &str) -> bool {
    findings
        .iter()
        .any(|finding| finding.remedies.iter().any(|named| named == remedy) || names(&finding.consequences, remedy))
}

/// What a budget took out of the plan that was wanted. `names` are those of the arms after the first.
pub fn by_budget(wanted: &Plan, plan: &Plan, names: &[String]) -> Vec<LeftOut> {
    let why = "the budget is too small";
    let left_out = |what: String| LeftOut { what, why: why.to_owned() };
    let mut all: Vec<LeftOut> = Vec::new();
    if wanted.random_search && !plan.random_search {
        all.push(left_out("random search".to_owned()));
    }
    let rates = |plan: &Plan| plan.arms.first().map(|arm| arm.learning_rates.clone()).unwrap_or_default();
    let kept = rates(plan);
    let gone = rates(wanted).into_iter().filter(|rate| !kept.contains(rate));
    all.extend(gone.map(|rate| left_out(format!("learning rate {}", setting(rate)))));
    let dropped = names.iter().enumerate().skip(plan.arms.len().saturating_sub(1));
    let dropped = dropped
        .filter(|(index, _)| wanted.arms.get(index + 1).is_some_and(|arm| arm.against == Against::BestLearningRate));
    all.extend(dropped.map(|(_, name)| left_out(name.clone())));
    if plan.finalists < wanted.finalists.min(wanted.contenders().count()) {
        all.push(left_out(format!("all but {} of {} finalists", plan.finalists, wanted.finalists)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::plan::Arm;
    use super::*;
    use crate::rules::fixture::Bench;

    fn prescription(remedy: &str, recipe: &Recipe) -> Prescription {
        Prescription { remedies: vec![remedy.to_owned()], parameters: String::new(), recipe: recipe.clone() }
    }

    fn findings(network: &str) -> Vec<Finding> {
        Bench::new(&format!("[network]\ndepth = 20\nwidth = 32\n{network}")).diagnose()
    }

    #[test]
    fn what_leaves_the_cause_as_it_is_is_not_tried() {
        let ill = findings("");
        assert_eq!((ill[0].rule.as_str(), ill[0].level), ("vanishing-gradient", Level::Deny));
        let recipe = Recipe::default();
        let mut other = recipe.clone();
        other.network.width = 31;
        let out = |remedy, treated: &Recipe, findings: &[Vec<Finding>]| {
            ruled_out(&recipe, &ill, &prescription(remedy, treated), findings).is_some()
        };
        let healthy = findings("init = \"he-normal\"\n");
        let still = [ill.clone(), ill.clone()];
        assert!(out("rescale-init", &other, &still), "named, but measured and still there");
        assert!(!out("rescale-init", &other, &[ill.clone(), healthy]), "gone at one of the rates");
        assert!(!out("rescale-init", &recipe, &still), "named, and acts only in training");
        assert!(out("clip-by-value", &recipe, &still), "not named");
        assert!(!out("change-learning-rate", &recipe, &still), "costs nothing");
        assert!(!out("clip-by-value", &recipe, &[]), "not measured");
        assert_eq!(ruled_out(&recipe, &[], &prescription("clip-by-value", &recipe), &still), None, "nothing is wrong");
    }

    #[test]
    fn a_warning_rules_out_only_what_it_does_not_name() {
        let mut mild = findings("");
        mild[0].level = Level::Warn;
        let (recipe, treated) = (Recipe::default(), [mild.clone()]);
        let out = |remedy| ruled_out(&recipe, &mild, &prescription(remedy, &recipe), &treated).is_some();
        assert!(!out("add-skip") && out("clip-by-value"));
    }

    #[test]
    fn a_budget_says_what_it_took_out() {
        let mut arms = vec![Arm::untreated(0.05)];
        arms.extend((0..12).map(|_| Arm::treated(0.05, 1, None)));
        let wanted = Plan::usual(arms, 0.05, vec![0, 1, 2], 100, 2.3).unwrap();
        let names: Vec<String> = (1..=12).map(|arm| format!("arm {arm}")).collect();
        assert!(by_budget(&wanted, &wanted, &names).is_empty());
        let plan = wanted.within_time(1500).unwrap();
        let what: Vec<String> = by_budget(&wanted, &plan, &names).into_iter().map(|left_out| left_out.what).collect();
        assert_eq!(what[..3], ["random search", "learning rate 0.002", "learning rate 0.25"]);
        assert_eq!(what[3], format!("arm {}", plan.arms.len()));
        assert_eq!(what.last().unwrap(), "all but 2 of 4 finalists");
    }
}
