//! What is wrong and why, as the text output says it.

use isogain_core::flow::Flow;
use isogain_core::recipe::{self, Level, Recipe};
use isogain_core::render::{layers, numbers, words};
use isogain_core::rules::{self, Evidence, Finding, severity};
use isogain_core::summary::{CheckReport, Remark};

use crate::digest::Digest;
use crate::markdown;
use crate::markup::{capital, prose, text};

/// Every remark and every finding, its consequences inside.
pub(crate) fn list(report: &CheckReport) -> String {
    let remark = |remark: &Remark| format!("<p>{} {}</p>\n", badge(remark.level), prose(&remark.message));
    let remarks: String = report.remarks.iter().map(remark).collect();
    if report.findings.is_empty() {
        let nothing = if remarks.is_empty() { "Nothing is wrong" } else { "Else nothing is wrong" };
        return format!("{remarks}<p>{nothing}: {}.</p>", prose(&words::healthy(report)));
    }
    let seen = Seen { flow: Some(&report.flow), recipe: &report.recipe };
    remarks + &report.findings.iter().map(|finding| card(finding, &seen)).collect::<String>()
}

/// The findings of a recorded run.
pub(crate) fn recorded(digest: &Digest) -> String {
    let run = digest.overview();
    if run.findings.is_empty() {
        return "<p>No rule found anything wrong while this run was recorded.</p>".to_owned();
    }
    let recipe = recipe::parse(&run.header.recipe, "recipe").unwrap_or_default();
    let flow = digest.first_snapshot().map(|snapshot| &snapshot.flow);
    let seen = Seen { flow, recipe: &recipe };
    run.findings.iter().map(|finding| card(finding, &seen)).collect()
}

/// What explains the causes of a finding.
struct Seen<'a> {
    /// `None` where no batch was measured.
    flow: Option<&'a Flow>,
    recipe: &'a Recipe,
}

fn badge(level: Level) -> String {
    let (class, sign) = match level {
        Level::Deny => ("bad", "✗"),
        Level::Warn => ("warn", "!"),
        Level::Note | Level::Allow => ("calm", "i"),
    };
    format!("<span class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {}</span>", severity::word(level))
}

fn card(finding: &Finding, seen: &Seen<'_>) -> String {
    let [first, last] = finding.layers.each_ref().map(|layer| text(layer));
    let layers = if first == last { first } else { format!("{first} … {last}") };
    let mut lines = String::new();
    let count = seen.flow.map_or(1, |flow| layers::concerned(flow, finding).len());
    if let Some(why) = words::why(finding, count, seen.recipe) {
        lines += &line("why", &prose(&why));
    }
    if let Some(theory) = &finding.theory {
        lines += &line("theory", &prose(theory));
    }
    if !finding.remedies.is_empty() {
        lines += &line("remedies", &text(&finding.remedies.join(", ")));
    }
    if finding.step > 0 {
        lines += &line("seen at step", &finding.step.to_string());
    }
    format!(
        "<article class=\"finding\">\n<h3>{} <b>{}</b> <span class=\"soft\">{layers}</span></h3>\n\
         <p class=\"message\">{}.</p>\n<dl class=\"lines\">{lines}</dl>\n{}{}{}</article>\n",
        badge(finding.level),
        text(&finding.rule),
        prose(&capital(&finding.message)),
        evidence(&finding.evidence),
        explained(&finding.rule),
        consequences(&finding.consequences),
    )
}

/// The page of the rule, as `isogain explain` prints it; a rule of another version has none here.
fn explained(rule: &str) -> String {
    let name = text(rule);
    rules::named(rule).map_or_else(String::new, |rule| {
        format!(
            "<details class=\"page\"><summary>What it means and what to do: isogain explain {name}</summary>\n{}</details>\n",
            markdown::page(rule.page)
        )
    })
}

/// `meaning` is markup.
fn line(name: &str, meaning: &str) -> String {
    format!("<div><dt>{name}</dt><dd>{meaning}</dd></div>")
}

fn evidence(evidence: &[Evidence]) -> String {
    if evidence.is_empty() {
        return String::new();
    }
    let row = |evidence: &Evidence| {
        format!(
            "<tr><th scope=\"row\" class=\"words\">{}</th><td>{}</td><td>{}</td><td class=\"words\">{}</td></tr>",
            text(&evidence.name),
            numbers::number_or_missing(evidence.value),
            evidence.threshold.map(numbers::number).unwrap_or_default(),
            text(&evidence.source)
        )
    };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\" class=\"words\">measured</th><th scope=\"col\">value</th><th scope=\"col\">limit</th>\
         <th scope=\"col\" class=\"words\">why that limit</th></tr></thead><tbody>{}</tbody></table></div>\n",
        evidence.iter().map(row).collect::<String>()
    )
}

fn consequences(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let item = |finding: &Finding| {
        format!(
            "<li>{} <b>{}</b>: {}{}</li>",
            badge(finding.level),
            text(&finding.rule),
            prose(&finding.message),
            consequences(&finding.consequences)
        )
    };
    format!(
        "<p class=\"follows\">Follows from it:</p><ul class=\"follows\">{}</ul>\n",
        findings.iter().map(item).collect::<String>()
    )
}
