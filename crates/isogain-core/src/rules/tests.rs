//! The table as a whole, its pages, and the verdicts before training on 15 networks of 30 layers whose fate is known.

use std::collections::BTreeSet;
use std::path::Path;

use super::fixture::Bench;
use super::page::{Page, When};
use super::*;
use crate::recipe::parse_with_rules;
use crate::record::Sharpness;

#[test]
fn the_table_is_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules");
    let pages: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let table: BTreeSet<String> = TABLE.iter().map(|rule| rule.name.to_owned()).collect();
    assert_eq!(table, pages);
    for rule in TABLE {
        assert!(folder.join(format!("{}.rs", rule.name.replace('-', "_"))).exists(), "{} has no file", rule.name);
    }
    let codes: BTreeSet<&str> = TABLE.iter().map(|rule| rule.code).collect();
    assert_eq!(codes.len(), TABLE.len(), "codes repeat");
}

#[test]
fn a_rule_only_explains_later_ones() {
    for (rank, rule) in TABLE.iter().enumerate() {
        for explained in rule.explains {
            let at = TABLE.iter().position(|other| other.name == *explained);
            let at = at.unwrap_or_else(|| panic!("{} explains {explained}, which is no rule", rule.name));
            assert!(at > rank, "{} cannot explain {explained}, which ranks above it", rule.name);
        }
    }
}

#[test]
fn every_page_has_its_sections_and_recipes() {
    let known: Vec<&str> = TABLE.iter().map(|rule| rule.name).collect();
    for rule in TABLE {
        let page = Page::parse(rule.page).unwrap_or_else(|error| panic!("{}: {error}", rule.name));
        assert_eq!(page.title, rule.name);
        for (heading, text) in &page.sections {
            assert!(text.len() > 5, "{}: {heading} is empty", rule.name);
        }
        assert_eq!(page.ill.when, page.treated.when);
        for example in [page.ill, page.treated] {
            parse_with_rules(example.recipe, rule.name, &known)
                .unwrap_or_else(|error| panic!("{}: {error}", rule.name));
        }
    }
}

/// What this fixture cannot show: data that is not standardised, the curvature measured by an engine, and networks over
/// the steps of a sequence.
const NEEDS_AN_ENGINE: [&str; 10] = [
    "unscaled-target",
    "learning-rate-too-high",
    "norm-placement",
    "logit-growth",
    "attention-entropy-collapse",
    "rank-collapse",
    "forget-gate-closed",
    "exploding-through-time",
    "vanishing-through-time",
    "frozen-embedding",
];

#[test]
fn the_ill_recipe_of_a_page_fires_before_training_and_the_treated_one_does_not() {
    for rule in TABLE {
        let page = Page::parse(rule.page).unwrap();
        if page.ill.when == When::Train || NEEDS_AN_ENGINE.contains(&rule.name) {
            continue;
        }
        let ill = Bench::new(page.ill.recipe).diagnose();
        assert!(contains(&ill, rule.name), "{}: the ill recipe gives {ill:#?}", rule.name);
        let treated = Bench::new(page.treated.recipe).diagnose();
        assert!(!contains(&treated, rule.name), "{}: the treated recipe gives {treated:#?}", rule.name);
        assert!(!serious(&treated), "{}: the treated recipe gives {treated:#?}", rule.name);
    }
}

fn contains(found: &[Finding], rule: &str) -> bool {
    found.iter().any(|finding| finding.rule == rule || contains(&finding.consequences, rule))
}

fn serious(found: &[Finding]) -> bool {
    found.iter().any(|finding| finding.level == Level::Deny)
}

/// A network of `recipes/t17`, and what comes of it.
struct Row {
    recipe: &'static str,
    /// The rule named first, where it does not train at a learning rate of 0.05 (1000 steps of SGD, the digits).
    ill: Option<&'static str>,
    /// Medians over five seeds of the largest Gauss-Newton eigenvalue and the rise in rehearsal, where the loss before
    /// training lets them mean something.
    sharpness: Option<(f64, f64)>,
}

macro_rules! row {
    ($name:literal, $ill:expr, $sharpness:expr) => {
        Row {
            recipe: include_str!(concat!("../../../../recipes/t17/", $name, ".toml")),
            ill: $ill,
            sharpness: $sharpness,
        }
    };
}

fn verdict(row: &Row) -> Vec<Finding> {
    let mut bench = Bench::new(row.recipe);
    bench.start.sharpness = row.sharpness.map(|(gauss_newton, rise)| Sharpness {
        gauss_newton,
        rehearsal_rise: Some(rise),
        rehearsal_first: bench.start.flow.head.loss,
        rehearsal_last: None,
        seeds: 5,
    });
    bench.diagnose()
}

#[test]
fn networks_that_do_not_train_are_errors() {
    for row in [
        row!("01-relu-pytorch-default", Some("vanishing-gradient"), None),
        row!("02-relu-xavier", Some("vanishing-activation"), None),
        row!("04-relu-too-large", Some("exploding-activation"), None),
        row!("05-tanh-pytorch-default", Some("vanishing-gradient"), None),
        row!("09-sigmoid-xavier", Some("vanishing-gradient"), None),
        row!("10-sigmoid-large", Some("vanishing-gradient"), None),
        row!("14-relu-residual-unscaled", Some("unscaled-residual"), None),
        row!("15-tailored-relu", Some("learning-rate-too-high"), Some((144.8, 1.73))),
    ] {
        let found = verdict(&row);
        let first = found.first().map(|finding| (finding.rule.as_str(), finding.level));
        assert_eq!(first, row.ill.map(|rule| (rule, Level::Deny)), "{}\n{found:#?}", row.recipe);
        assert_eq!(found.len(), 1, "one cause is named, the rest stands under it: {found:#?}");
    }
}

#[test]
fn networks_that_train_are_no_errors() {
    for row in [
        row!("03-relu-he", None, Some((43.2, 0.34))),
        row!("06-tanh-xavier", None, Some((5.2, 0.58))),
        row!("07-tanh-gain-5-3", None, Some((2720.0, 0.12))),
        row!("08-tanh-edge-of-chaos", None, Some((37.2, 0.53))),
        row!("11-relu-xavier-batch-norm", None, Some((1.16e6, 0.15))),
        row!("12-relu-residual-scaled", None, Some((10.4, 0.0))),
        row!("13-relu-skip-init", None, Some((3.6, 0.0))),
    ] {
        let found = verdict(&row);
        let loud: Vec<_> = found.iter().filter(|finding| finding.level > Level::Note).collect();
        assert!(row.ill.is_none() && loud.is_empty(), "{}\n{loud:#?}", row.recipe);
    }
}

#[test]
fn the_built_in_recipe_is_explained_as_theory_says() {
    let mut slopes = Vec::new();
    for seed in 0..2 {
        let found = Bench::seeded("[network]\nwidth = 128\n", seed).diagnose();
        let finding = &found[0];
        assert_eq!((finding.rule.as_str(), finding.level), ("vanishing-gradient", Level::Deny));
        assert_eq!(finding.layers, ["fc1", "fc30"]);
        let total: f64 = finding.causes.iter().map(|cause| cause.log_gain).sum();
        let measured = finding.evidence[0].value.unwrap();
        assert!((total - measured).abs() < 1e-9 * measured.abs(), "{total} against {measured}");
        slopes.push(measured / 29.0);
        // ln sqrt(1/3) and ln sqrt(1/2): 61 and 39 per cent.
        assert!((finding.causes[0].share - 0.613).abs() < 0.04, "{:?}", finding.causes);
        let expected = finding.theory.as_deref().unwrap();
        let factor = expected.strip_prefix("pytorch-default + relu: x").and_then(|rest| rest.get(..7)).unwrap();
        assert!((factor.parse::<f64>().unwrap() / 0.40825 - 1.0).abs() < 0.02, "{expected}");
    }
    let slope = slopes.iter().sum::<f64>() / slopes.len() as f64;
    assert!((slope + 0.8959).abs() < 0.04, "{slopes:?}");
}

#[test]
fn levels_of_the_recipe_replace_those_of_the_rules() {
    let recipe = |level: &str| {
        format!("[network]\ndepth = 20\ninit = \"glorot-normal\"\n[rules]\nvanishing-activation = \"{level}\"\n")
    };
    let first = |level: &str| {
        let found = Bench::new(&recipe(level)).diagnose();
        (found[0].rule.clone(), found[0].level)
    };
    assert_eq!(first("deny"), ("vanishing-activation".into(), Level::Deny));
    assert_eq!(first("warn"), ("vanishing-activation".into(), Level::Warn));
    // What it would have explained now stands for itself.
    assert_eq!(first("allow"), ("vanishing-gradient".into(), Level::Deny));
}

#[test]
fn signs_of_a_failure_that_did_not_happen_are_warnings() {
    let mut bench = Bench::new("[network]\ndepth = 20\n");
    assert_eq!(bench.diagnose()[0].level, Level::Deny);
    bench.finish((0..100).map(|step| 2.3 * (-f64::from(step) / 10.0).exp()));
    let found = bench.diagnose();
    assert!(!serious(&found) && contains(&found, "vanishing-gradient"), "{found:#?}");
}

#[test]
fn a_diagnosis_is_the_same_twice() {
    let bench = Bench::new("[network]\ndepth = 20\ninit = \"glorot-normal\"\n");
    assert_eq!(bench.diagnose(), bench.diagnose());
}

/// A healthy network breaks every limit that published tools put on it at step 0.
#[test]
fn healthy_networks_that_look_ill_to_bare_thresholds() {
    let bench = Bench::new("[network]\ndepth = 12\ninit = \"he-normal\"\n");
    let zeros = bench.start.joints.iter().filter(|joint| joint.name.starts_with("relu"));
    assert!(zeros.map(|joint| joint.activation.zero_fraction()).fold(0.0, f64::max) > 0.5);
    assert!(bench.diagnose().is_empty(), "{:#?}", bench.diagnose());

    // Gradients of all weights 100 and more times apart, as Adam rescales them.
    let mut bench =
        Bench::new("[network]\ndepth = 12\ninit = \"he-normal\"\n[optimizer]\nname = \"adam\"\nlearning_rate = 1e-3\n");
    for (index, layer) in (1..=12).rev().enumerate() {
        let scale = 0.55f64.powi(index as i32);
        let gradient = &mut bench.parameter(&format!("fc{layer}.weight")).gradient;
        gradient.sum_of_squares *= scale * scale;
    }
    assert!(bench.diagnose().is_empty(), "{:#?}", bench.diagnose());
}
