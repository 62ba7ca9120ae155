//! Which of five kinds of illness a gradient has, in words: for the text and for the page.

use crate::rules::differential::{Kind, Told, Verdict};

use super::columns;
use super::escape::printable;
use super::text::{INDENT, measured, wrapped};

/// Characters of a line behind the columns of the kind and the verdict.
const REASON_WIDTH: usize = 93;

/// The kind's name.
pub fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Scale => "scale",
        Kind::Spread => "spread",
        Kind::Shatter => "shatter",
        Kind::Cancel => "cancel",
        Kind::Precision => "precision",
    }
}

/// What it is, in a few words.
pub fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Scale => "a gradient of any direction grows or shrinks on its way",
        Kind::Spread => "directions fare differently, and few are left",
        Kind::Shatter => "neighbouring inputs get gradients that have nothing in common",
        Kind::Cancel => "the gradients of the samples cancel one another",
        Kind::Precision => "the gradient is too small for eps or the number format",
    }
}

/// Whether it holds.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "yes",
        Verdict::Clear => "no",
        Verdict::Unknown => "not known",
    }
}

/// `which of five kinds of illness: scale, precision`; `none of ...` where none holds.
pub fn heading(told: &[Told]) -> String {
    let held: Vec<&str> =
        told.iter().filter(|told| told.verdict == Verdict::Holds).map(|told| name(told.kind)).collect();
    let held = if held.is_empty() { "none that is known".to_owned() } else { held.join(", ") };
    format!("which kind of illness the gradient has: {held}")
}

/// The number that decided, with its limit; why it is not known elsewhere.
pub fn reason(told: &Told) -> String {
    match (told.evidence.first(), &told.left_out) {
        (Some(number), _) => measured(number),
        (None, Some(why)) => printable(why),
        (None, None) => String::new(),
    }
}

/// The block below the findings: a row for each kind, and one for the remedies of each that holds. Empty where nobody asked.
pub(super) fn block(told: &[Told]) -> String {
    if told.is_empty() {
        return String::new();
    }
    let mut rows = Vec::new();
    for one in told {
        let reason = wrapped(&reason(one), REASON_WIDTH, "");
        for (at, line) in reason.split('\n').enumerate() {
            let [kind, verdict] = if at == 0 { [name(one.kind), word(one.verdict)] } else { [""; 2] };
            rows.push([kind, verdict, line].map(str::to_owned).to_vec());
        }
        if !one.remedies.is_empty() {
            let remedies = one.remedies.iter().map(|remedy| printable(remedy)).collect::<Vec<_>>().join(", ");
            rows.push(vec![String::new(), String::new(), format!("for it: {remedies}")]);
        }
    }
    let mut lines = vec![heading(told)];
    lines.extend(columns::align(&rows, INDENT));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Evidence;

    #[test]
    fn what_holds_names_its_remedies() {
        let evidence = |name: &str, value: f64| {
            vec![Evidence { name: name.into(), value: Some(value), threshold: Some(-3.4), source: String::new() }]
        };
        let told = |kind, verdict, evidence, left_out: Option<&str>, remedies: &[&str]| Told {
            kind,
            verdict,
            evidence,
            left_out: left_out.map(str::to_owned),
            remedies: remedies.iter().map(|name| (*name).to_owned()).collect(),
        };
        let all = [
            told(Kind::Scale, Verdict::Holds, evidence("ln of the gain", -27.1), None, &["rescale-init", "lsuv-init"]),
            told(Kind::Spread, Verdict::Unknown, Vec::new(), Some("conv2\u{1b} (convolution) cannot be followed"), &[]),
            told(Kind::Precision, Verdict::Clear, Vec::new(), None, &[]),
        ];
        let expected = "\
which kind of illness the gradient has: scale
   scale       yes         ln of the gain: -27.1, limit -3.40
                           for it: rescale-init, lsuv-init
   spread      not known   conv2\\u{1b} (convolution) cannot be followed
   precision   no
";
        assert_eq!(block(&all), expected);
        assert_eq!(block(&[]), "");
        assert_eq!(heading(&all[1..]), "which kind of illness the gradient has: none that is known");
    }
}
