//! What to try: the remedies that the findings name, then the others that apply, alone, in pairs, and one for each cause.

use super::{Prescription, Remedy, TABLE, named};
use crate::recipe::{Level, Recipe};
use crate::rules::{Case, Finding};

/// Most prescriptions for one trial.
pub const MOST: usize = 26;

/// Variants of a remedy that a finding names.
const MOST_NAMED_VARIANTS: usize = 3;

/// Variants of a remedy that only applies.
const MOST_OTHER_VARIANTS: usize = 1;

/// Variants of each partner in a pair.
const MOST_PAIRED_VARIANTS: usize = 2;

/// The remedy that every trial of another one includes.
const CHANGE_LEARNING_RATE: &str = "change-learning-rate";

/// Causes that are answered together.
const MOST_TOGETHER: usize = 3;

/// Places that singles leave to pairs and triples.
const PLACES_FOR_PAIRS: usize = 8;

/// Pairs whose parts repair different things, in the order applied: the second is chosen for the recipe the first gives.
const PAIRS: [[&str; 2]; 14] = [
    ["rescale-init", "add-skip"],
    ["rescale-init", "scale-branches"],
    ["swap-activation", "orthogonal-init"],
    ["rescale-init", "insert-batch-norm"],
    ["add-skip", "insert-layer-norm"],
    ["scale-branches", "insert-layer-norm"],
    ["rescale-init", "insert-layer-norm"],
    ["swap-activation", "add-skip"],
    ["rescale-init", "scale-input"],
    ["rescale-init", "clip-by-global-norm"],
    ["add-skip", "insert-batch-norm"],
    ["rescale-init", "smaller-eps"],
    ["scale-input", "insert-layer-norm"],
    ["add-skip", "clip-by-global-norm"],
];

/// What to try on `recipe`, at most [`MOST`], each giving another recipe. First the remedies that `findings` name, in
/// their order, then the others that apply in the order of the table, then one remedy for each of three causes together,
/// then pairs. What `is_wanted` refuses takes no place from what comes after it. Deterministic.
pub fn prescriptions(
    case: &Case<'_>,
    recipe: &Recipe,
    findings: &[Finding],
    mut is_wanted: impl FnMut(&Prescription) -> bool,
) -> Vec<Prescription> {
    let named_first = remedies_named(findings);
    let others = TABLE.iter().copied().filter(|remedy| !named_first.iter().any(|named| named.name == remedy.name));
    let named_variants = named_first.iter().flat_map(|remedy| variants(remedy, case, recipe, MOST_NAMED_VARIANTS));
    let other_variants = others.flat_map(|remedy| variants(remedy, case, recipe, MOST_OTHER_VARIANTS));
    let singles = distinct(recipe, named_variants.chain(other_variants));

    let mut pairs: Vec<[&str; 2]> = PAIRS.to_vec();
    let is_named = |name: &str| named_first.iter().any(|remedy| remedy.name == name);
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.iter().filter(|name| is_named(name)).count()));
    let of_causes = one_for_each_cause(case, recipe, findings);
    let pairs = pairs.into_iter().flat_map(|names| combinations(names, case, recipe));
    let paired = distinct(recipe, of_causes.into_iter().chain(pairs));

    let places = MOST - paired.len().min(PLACES_FOR_PAIRS);
    let mut wanted: Vec<Prescription> = singles.into_iter().filter(&mut is_wanted).take(places).collect();
    let paired = paired.into_iter().filter(|pair| wanted.iter().all(|single| single.recipe != pair.recipe));
    let paired: Vec<Prescription> = paired.filter(is_wanted).take(MOST - wanted.len()).collect();
    wanted.extend(paired);
    wanted
}

/// The remedies that findings name, each once: those of the first finding first, those of consequences after.
pub fn remedies_named(findings: &[Finding]) -> Vec<&'static Remedy> {
    let consequences = findings.iter().flat_map(|finding| &finding.consequences);
    let names = findings.iter().chain(consequences).flat_map(|finding| &finding.remedies);
    let mut found: Vec<&'static Remedy> = Vec::new();
    for remedy in names.filter_map(|name| named(name)) {
        if !found.iter().any(|known| known.name == remedy.name) {
            found.push(remedy);
        }
    }
    found
}

fn variants(remedy: &Remedy, case: &Case<'_>, recipe: &Recipe, most: usize) -> Vec<Prescription> {
    let mut variants = (remedy.prescribe)(case, recipe);
    variants.truncate(most);
    variants
}

/// One remedy for each of three causes together: of illnesses that do not follow from one another, a remedy for one leaves
/// the others, and a pair leaves one. Two are what pairs are for. Each is chosen for the recipe that the ones before it give;
/// of the first cause the two best variants, of the others the best.
fn one_for_each_cause(case: &Case<'_>, recipe: &Recipe, findings: &[Finding]) -> Vec<Prescription> {
    let causes: Vec<&Finding> =
        findings.iter().filter(|cause| cause.level >= Level::Warn).take(MOST_TOGETHER).collect();
    let Some((first, others)) = causes.split_first().filter(|(_, others)| others.len() > 1) else {
        return Vec::new();
    };
    let answers = |cause: &Finding, recipe: &Recipe, most: usize| {
        // Of every prescription the learning rate is searched anyway.
        let others = cause.remedies.iter().filter(|name| *name != CHANGE_LEARNING_RATE);
        let remedies = others.filter_map(|name| named(name));
        let mut found = remedies.flat_map(|remedy| variants(remedy, case, recipe, MOST_NAMED_VARIANTS));
        found.by_ref().take(most).collect::<Vec<_>>()
    };
    let mut together = Vec::new();
    for start in answers(first, recipe, MOST_PAIRED_VARIANTS) {
        let whole = others.iter().fold(start, |so_far, cause| match answers(cause, &so_far.recipe, 1).pop() {
            Some(next) if so_far.remedies != next.remedies => so_far.and(next),
            _ => so_far,
        });
        if whole.remedies.len() > 1 {
            together.push(whole);
        }
    }
    together
}

/// Both remedies of a pair, the best variants of each.
fn combinations(names: [&str; 2], case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let [Some(first), Some(second)] = names.map(named) else {
        return Vec::new();
    };
    let of_first = variants(first, case, recipe, MOST_PAIRED_VARIANTS);
    let both = of_first.into_iter().flat_map(|start| {
        variants(second, case, &start.recipe, MOST_PAIRED_VARIANTS).into_iter().map(move |end| start.clone().and(end))
    });
    // The best of the first with each of the second, then one with the second best of the first.
    both.take(MOST_PAIRED_VARIANTS + 1).collect()
}

/// The first of those that give the same recipe, those that change nothing left out.
fn distinct(untreated: &Recipe, prescriptions: impl IntoIterator<Item = Prescription>) -> Vec<Prescription> {
    let mut kept: Vec<Prescription> = Vec::new();
    for prescription in prescriptions {
        let is_new = prescription.recipe != *untreated && kept.iter().all(|known| known.recipe != prescription.recipe);
        if is_new {
            kept.push(prescription);
        }
    }
    kept
}
