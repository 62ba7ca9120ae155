//! What single factors of the gradient's way back would change, in words: for the text and for the page.

use crate::flow::counterfactual::{Change, Changes, Counterfactual, Factor};
use crate::rules::Finding;

use super::columns;
use super::escape::printable;
use super::numbers::{factor, number};
use super::text::{INDENT, LINE_WIDTH, wrapped};

/// Interactions below this many nepers (5 %) are not worth a line.
const SMALLEST_INTERACTION: f64 = 0.05;

/// A factor made ideal, in a few words.
pub fn ideal(factor: Factor) -> &'static str {
    match factor {
        Factor::Head => "loss and head that send back an RMS of 1",
        Factor::Slopes => "activation slopes of RMS 1",
        Factor::Weights => "weights that keep the scale",
        Factor::Norms => "norms that only multiply by gamma",
        Factor::Skips => "no skip connections",
    }
}

/// What is told, above the rows.
pub fn heading(changes: &Changes) -> String {
    format!("what if one factor of the gradient's way back to {} were ideal, the forward pass as it is", changes.layer)
}

/// A row for each factor, what it alone changes in nepers and as a factor, the largest change first; then all together.
pub fn rows(changes: &Changes) -> Vec<[String; 3]> {
    let mut factors = changes.factors.clone();
    let size = |alone: Option<f64>| alone.map_or(f64::INFINITY, f64::abs);
    factors.sort_by(|a, b| size(b.alone).total_cmp(&size(a.alone)).then(a.factor.cmp(&b.factor)));
    let row = |what: &str, change: Option<f64>| match change {
        Some(change) => [what.to_owned(), nepers(change), factor(change)],
        None => [what.to_owned(), "nothing comes back".to_owned(), String::new()],
    };
    let one = |change: &Change| row(ideal(change.factor), change.alone);
    let told = factors.iter().filter(|change| change.share.is_some()).count();
    let all = if told < factors.len() { "all others together" } else { "all of them together" };
    factors.iter().map(one).chain((told > 1).then(|| row(all, Some(changes.together)))).collect()
}

/// A sentence for each pair of factors that does more, or less, than the two do alone.
pub fn interactions(changes: &Changes) -> Vec<String> {
    let worth = changes.interactions.iter().filter(|pair| pair.log_gain.abs() >= SMALLEST_INTERACTION);
    worth
        .map(|pair| {
            let [one, other] = pair.factors.map(ideal);
            format!("{one} and {other} change {} beyond the sum of the two", nepers(pair.log_gain))
        })
        .collect()
}

/// `+12.3 nepers`.
fn nepers(change: f64) -> String {
    let sign = if change < 0.0 { "" } else { "+" };
    format!("{sign}{} nepers", number(change))
}

/// The block below the findings, where one of them is about the gradient's way; empty elsewhere.
pub(super) fn block(counterfactual: Option<&Counterfactual>, findings: &[Finding]) -> String {
    match counterfactual {
        Some(told) if is_about_the_way(findings) => text(told),
        _ => String::new(),
    }
}

fn is_about_the_way(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| !finding.causes.is_empty() || is_about_the_way(&finding.consequences))
}

fn text(counterfactual: &Counterfactual) -> String {
    let changes = match counterfactual {
        Counterfactual::Told(changes) => changes,
        Counterfactual::LeftOut { left_out } => {
            let line = format!("what single factors would change is left out: {}", printable(left_out));
            return wrapped(&line, LINE_WIDTH, INDENT) + "\n";
        }
    };
    let table: Vec<Vec<String>> = rows(changes).into_iter().map(Vec::from).collect();
    let mut lines = vec![wrapped(&printable(&heading(changes)), LINE_WIDTH, INDENT)];
    lines.extend(columns::align(&table, INDENT));
    lines.extend(interactions(changes).iter().map(|line| format!("{INDENT}{}", wrapped(line, LINE_WIDTH - 3, INDENT))));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::counterfactual::Interaction;

    fn changes() -> Changes {
        let change = |factor, alone: Option<f64>| Change { factor, alone, share: alone };
        Changes {
            layer: "stem".into(),
            log_rms: -7.0,
            together: 6.0,
            factors: vec![
                change(Factor::Head, Some(2.0)),
                change(Factor::Slopes, Some(-0.25)),
                change(Factor::Weights, Some(30.0)),
                change(Factor::Skips, None),
            ],
            interactions: vec![
                Interaction { factors: [Factor::Slopes, Factor::Weights], log_gain: -1.5 },
                Interaction { factors: [Factor::Slopes, Factor::Skips], log_gain: 0.01 },
            ],
        }
    }

    #[test]
    fn the_largest_change_comes_first() {
        let found: Vec<String> = rows(&changes()).iter().map(|row| row.join("|")).collect();
        let expected = [
            "no skip connections|nothing comes back|",
            "weights that keep the scale|+30.0 nepers|x10^13.0",
            "loss and head that send back an RMS of 1|+2.00 nepers|x7.39",
            "activation slopes of RMS 1|-0.250 nepers|x0.779",
            "all others together|+6.00 nepers|x403",
        ];
        assert_eq!(found, expected);
        assert_eq!(interactions(&changes()).len(), 1);
    }

    #[test]
    fn a_reason_is_told_and_harmless() {
        let hostile = Counterfactual::LeftOut { left_out: "\u{1b}[31mblock".into() };
        assert_eq!(text(&hostile), "what single factors would change is left out: \\u{1b}[31mblock\n");
    }
}
