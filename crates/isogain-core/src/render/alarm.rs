//! A finding that appears while a network trains: the step, where, why, and what to do, in a few lines.

use crate::rules::{Finding, severity};

use super::escape::printable;
use super::text::{LINE_WIDTH, measured, wrapped};

/// Width of the labels: `measured  `.
const LABEL: usize = 10;
const INDENT: usize = 2;

/// The finding as text, without a newline at the end.
pub fn alarm(finding: &Finding) -> String {
    let mut text = headline(finding, Some(finding.step));
    let [first, last] = &finding.layers;
    let place = if first == last { printable(first).to_string() } else { format!("{first} to {last}") };
    if !place.is_empty() {
        text += &line("layers", &printable(&place));
    }
    for evidence in finding.evidence.iter().filter(|evidence| evidence.value.is_some()) {
        text += &line("measured", &measured(evidence));
    }
    if let Some(theory) = &finding.theory {
        text += &line("theory", &printable(theory));
    }
    if !finding.remedies.is_empty() {
        text += &line("help", &finding.remedies.join(", "));
    }
    text += &line("explain", &format!("isogain explain {}", printable(&finding.rule)));
    for consequence in &finding.consequences {
        text += &line("causes", &headline(consequence, None));
    }
    text
}

/// `step 12: error[dead-units]: all 64 units ...`.
fn headline(finding: &Finding, step: Option<u64>) -> String {
    let step = step.map(|step| format!("step {step}: ")).unwrap_or_default();
    format!("{step}{}[{}]: {}", severity::word(finding.level), printable(&finding.rule), printable(&finding.message))
}

fn line(label: &str, text: &str) -> String {
    let indent = INDENT + LABEL;
    format!("\n{:INDENT$}{label:LABEL$}{}", "", wrapped(text, LINE_WIDTH - indent, &" ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Level;
    use crate::rules::Evidence;

    #[test]
    fn says_step_layer_reason_and_remedy() {
        let consequence = Finding {
            rule: "frozen-layer".into(),
            level: Level::Warn,
            layers: ["fc1".into(), "fc1".into()],
            step: 3,
            message: "fc1 hardly moves".into(),
            evidence: Vec::new(),
            causes: Vec::new(),
            theory: None,
            remedies: Vec::new(),
            consequences: Vec::new(),
        };
        let finding = Finding {
            rule: "dead-units".into(),
            level: Level::Deny,
            layers: ["relu1".into(), "relu9".into()],
            step: 12,
            message: "all 64 units of relu3 return zero\u{1b}[31m".into(),
            evidence: vec![Evidence {
                name: "dead share".into(),
                value: Some(1.0),
                threshold: Some(0.5),
                source: "chance".into(),
            }],
            theory: Some("x1 per layer".into()),
            remedies: vec!["swap-activation".into(), "change-learning-rate".into()],
            consequences: vec![consequence.clone()],
            ..consequence
        };
        let text = alarm(&finding);
        for part in [
            "step 12: error[dead-units]: all 64 units of relu3",
            "\n  layers    relu1 to relu9",
            "\n  measured  dead share: 1.00, limit 0.500 (chance)",
            "\n  theory    x1 per layer",
            "\n  help      swap-activation, change-learning-rate",
            "\n  explain   isogain explain dead-units",
            "\n  causes    warning[frozen-layer]: fc1 hardly moves",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }
}
