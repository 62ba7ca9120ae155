//! Every page is a test: the ill network of a rule's page has it, the treated one does not; a remedy improves on its
//! page's network.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use isogain::check::Subject;
use isogain::run::{self, RunFolder, Watch};
use isogain_core::recipe::parse;
use isogain_core::rules::page::{Example, Page, When};
use isogain_core::rules::{self, Finding, Rule};

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes")
}

fn findings(rule: &Rule, example: &Example<'_>) -> Vec<Finding> {
    let recipe = parse(example.recipe, "page").unwrap();
    support::alone(|| {
        let subject = Subject::load(&recipe, &recipes()).unwrap();
        if example.when == When::Check {
            // The rehearsal takes seconds on a deep transformer, and only the rules of the learning rate read it.
            let rehearsed = rule.name.starts_with("learning-rate");
            return if rehearsed { subject.with_sharpness() } else { subject }.findings();
        }
        let folder = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let watch = Watch { stop: &stop, progress: &|_, _| {}, finding: &|_| {}, heal: false, healing: &|_| {} };
        run::fresh(&subject, &recipes(), &RunFolder::new(folder.path().join("run")), watch).unwrap().findings
    })
}

fn names(findings: &[Finding]) -> Vec<String> {
    findings.iter().flat_map(|finding| [vec![finding.rule.clone()], names(&finding.consequences)].concat()).collect()
}

fn judge(when: When) {
    let mut wrong = Vec::new();
    for rule in rules::TABLE {
        let page = Page::parse(rule.page).unwrap();
        for (example, expected) in [(&page.ill, true), (&page.treated, false)] {
            if example.when != when {
                continue;
            }
            let found = names(&findings(rule, example));
            if found.iter().any(|name| name == rule.name) != expected {
                wrong.push(format!("{}: expected {expected}, found {found:?}", rule.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rules_that_ask_before_training() {
    judge(When::Check);
}

#[test]
fn rules_that_ask_after_training() {
    judge(When::Train);
}
