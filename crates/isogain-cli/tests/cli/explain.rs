//! `isogain explain`: every rule by name and code, every remedy by name; what is misspelt is guessed.

use isogain_core::{remedies, rules};

use crate::desk::Desk;

#[test]
fn every_rule_and_remedy_has_its_page() {
    let desk = Desk::new();
    let list = desk.isogain(&["explain"]);
    assert_eq!(list.code, Some(0));
    for rule in rules::TABLE {
        assert!(list.stdout.contains(&format!("  {}  {} ", rule.code, rule.name)), "{} is not listed", rule.name);
        for name in [rule.name, rule.code, &rule.name.to_uppercase()] {
            let ran = desk.isogain(&["explain", name]);
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{name}");
            assert!(ran.stdout.contains(rule.name), "{name}: {}", ran.stdout);
            for heading in ["## What it means", "## Why it happens", "## How it is detected", "## Remedies, in order"] {
                assert!(ran.stdout.contains(heading), "{name}: no {heading}");
            }
        }
    }
    for remedy in remedies::TABLE {
        assert!(list.stdout.contains(&format!("  {} ", remedy.name)), "{} is not listed", remedy.name);
        let ran = desk.isogain(&["explain", remedy.name]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", remedy.name);
        assert!(ran.stdout.contains(remedy.name) && ran.stdout.lines().count() > 10, "{}", remedy.name);
    }
}

#[test]
fn what_is_misspelt_is_guessed() {
    let desk = Desk::new();
    for (typed, expected) in [
        ("vanishing-gradeint", "did you mean 'vanishing-gradient'?"),
        ("rescale_init", "did you mean 'rescale-init'?"),
        (
            "vanishing",
            "did you mean 'vanishing-activation' or 'vanishing-through-time' or 'vanishing-gradient' or \
                 'penalise-vanishing'?",
        ),
        ("zzzzzzzz", "`isogain explain` lists them"),
        ("", "`isogain explain` lists them"),
        ("a\nb\u{1b}[31m", "`isogain explain` lists them"),
    ] {
        let ran = desk.isogain(&["explain", typed]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        let shown = typed.replace('\n', "\\u{a}").replace('\u{1b}', "\\u{1b}");
        assert!(ran.stderr.starts_with(&format!("error: no rule or remedy '{shown}'; ")), "{}", ran.stderr);
        assert!(ran.stderr.trim_end().ends_with(expected), "{}", ran.stderr);
    }
}
