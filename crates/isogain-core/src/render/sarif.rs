//! Static Analysis Results Interchange Format 2.1.0 (OASIS, 2020), which code hosts and editors read.
//!
//! A layer has no line of its own: each result names it as a logical location, and the recipe's table as the physical
//! one.

use serde_json::{Value, json};

use crate::recipe::Level;
use crate::rules::{Finding, Rule, TABLE};
use crate::summary::{CheckReport, CureReport, Remark};

use super::{Context, text, words};

/// A log with one result for each finding, consequences included.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn check(report: &CheckReport, context: &Context<'_>) -> Result<String, serde_json::Error> {
    log(report, context, &json!({}))
}

/// The same with what the trial came to as a property of the run.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn cure(report: &CureReport, context: &Context<'_>) -> Result<String, serde_json::Error> {
    log(&report.check, context, &json!({ "outcome": words::outcome(report) }))
}

fn log(report: &CheckReport, context: &Context<'_>, properties: &Value) -> Result<String, serde_json::Error> {
    let mut results = Vec::new();
    for finding in &report.findings {
        collect(finding, None, context, &mut results);
    }
    let driver = json!({
        "name": "isogain",
        "version": env!("CARGO_PKG_VERSION"),
        "rules": TABLE.iter().map(|rule| described(rule)).collect::<Vec<_>>(),
    });
    super::json::of(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver },
            "invocations": [invocation(&report.remarks)],
            "results": results,
            "properties": properties,
        }],
    }))
}

/// How the check was made: remarks are no results of a rule.
fn invocation(remarks: &[Remark]) -> Value {
    let notification = |remark: &Remark| json!({ "level": level(remark.level), "message": { "text": remark.message } });
    let notifications: Vec<Value> = remarks.iter().map(notification).collect();
    json!({ "executionSuccessful": true, "toolExecutionNotifications": notifications })
}

fn described(rule: &Rule) -> Value {
    json!({
        "id": rule.name,
        "name": rule.code,
        "shortDescription": { "text": rule.summary },
        "help": { "text": rule.page, "markdown": rule.page },
    })
}

fn collect(finding: &Finding, cause: Option<&str>, context: &Context<'_>, results: &mut Vec<Value>) {
    results.push(result(finding, cause, context));
    for consequence in &finding.consequences {
        collect(consequence, Some(&finding.rule), context, results);
    }
}

fn result(finding: &Finding, cause: Option<&str>, context: &Context<'_>) -> Value {
    let logical = |layer: &String| json!({ "name": layer, "fullyQualifiedName": layer, "kind": "object" });
    let [first, last] = &finding.layers;
    let layers: Vec<Value> = if first == last { vec![logical(first)] } else { vec![logical(first), logical(last)] };
    let mut location = json!({ "logicalLocations": layers });
    if !context.file.path.is_empty() {
        location["physicalLocation"] = json!({
            "artifactLocation": { "uri": uri(context.file.path) },
            "region": { "startLine": context.file.line_of(&finding.rule) },
        });
    }
    let evidence: Vec<String> = finding.evidence.iter().map(text::measured).collect();
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.level),
        "message": { "text": finding.message },
        "locations": [location],
        "properties": { "step": finding.step, "evidence": evidence, "remedies": finding.remedies },
    });
    if let Some(index) = TABLE.iter().position(|rule| rule.name == finding.rule) {
        result["ruleIndex"] = json!(index);
    }
    if let Some(cause) = cause {
        result["properties"]["followsFrom"] = json!(cause);
    }
    result
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Deny => "error",
        Level::Warn => "warning",
        Level::Note => "note",
        Level::Allow => "none",
    }
}

/// A path as a relative reference of RFC 3986: what is not allowed in one is percent-encoded, byte by byte.
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.replace('\\', "/").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_references() {
        assert_eq!(uri("recipes/my net.toml"), "recipes/my%20net.toml");
        assert_eq!(uri("a:b%é.toml"), "a%3Ab%25%C3%A9.toml");
    }
}
