//! Workflow commands, one line for each finding, which GitHub shows beside the recipe:
//! `::error title=...,file=net.toml,line=3::message`.
//!
//! In a message `%` and LF are percent-encoded, in a property `:` and `,` as well, so that no name can end a command
//! or start another. Other control characters are written out.

use crate::flow::Flow;
use crate::recipe::{Level, Recipe};
use crate::rules::Finding;
use crate::summary::{CheckReport, CureReport, Remark};

use super::escape::printable_lines;
use super::words::End;
use super::{Context, layers, text, words};

/// One command for each finding and each remark.
pub fn check(report: &CheckReport, context: &Context<'_>) -> String {
    let findings =
        report.findings.iter().filter_map(|finding| annotation(finding, &report.flow, &report.recipe, context));
    let remark = |remark: &Remark| Some(command(kind(remark.level)?, "isogain", place(context, ""), &remark.message));
    findings.chain(report.remarks.iter().filter_map(remark)).collect()
}

/// One command for each finding, and a notice that says what the trial came to.
pub fn cure(report: &CureReport, context: &Context<'_>) -> String {
    let title = format!("isogain: {}", End::of(report).word());
    let outcome = command("notice", &title, place(context, "network"), &words::outcome(report));
    check(&report.check, context) + &outcome
}

fn annotation(finding: &Finding, flow: &Flow, recipe: &Recipe, context: &Context<'_>) -> Option<String> {
    let kind = kind(finding.level)?;
    let mut message = vec![finding.message.clone()];
    if let Some(why) = words::why(finding, layers::concerned(flow, finding).len(), recipe) {
        message.push(format!("why: {why}"));
    }
    if let Some(theory) = &finding.theory {
        message.push(format!("theory: {theory}"));
    }
    message.extend(finding.evidence.iter().map(|evidence| format!("measured: {}", text::measured(evidence))));
    if !finding.remedies.is_empty() {
        message.push(format!("remedies: {}", finding.remedies.join(", ")));
    }
    let follows = |finding: &Finding| format!("follows from it: {}: {}", finding.rule, finding.message);
    message.extend(finding.consequences.iter().map(follows));
    let title = format!("isogain {}", finding.rule);
    Some(command(kind, &title, place(context, &finding.rule), &message.join("\n")))
}

/// The command that says it; `None` where nothing is to be said.
fn kind(level: Level) -> Option<&'static str> {
    match level {
        Level::Deny => Some("error"),
        Level::Warn => Some("warning"),
        Level::Note => Some("notice"),
        Level::Allow => None,
    }
}

/// The file and line of what a rule speaks of; `None` for the built-in recipe.
fn place<'a>(context: &Context<'a>, rule: &str) -> Option<(&'a str, usize)> {
    let file = context.file;
    (!file.path.is_empty()).then(|| (file.path, file.line_of(rule)))
}

fn command(kind: &str, title: &str, place: Option<(&str, usize)>, message: &str) -> String {
    let place = place.map_or_else(String::new, |(file, line)| format!(",file={},line={line}", property(file)));
    format!("::{kind} title={}{place}::{}\n", property(title), data(message))
}

fn data(text: &str) -> String {
    printable_lines(text).replace('%', "%25").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
