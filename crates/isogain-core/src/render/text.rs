//! For a person at a terminal: a finding looks like a good compiler's message, the layers take the place of the source
//! code, and bars that of the underline.

use anstyle::{AnsiColor, Style as Ansi};

use crate::flow::Flow;
use crate::recipe::{Level, Recipe};
use crate::rules::{Evidence, Finding, severity};
use crate::summary::{CheckReport, CureReport, Remark};
use crate::trial::result::PrescriptionResult;

use super::escape::{printable, shortened};
use super::layers::Quantity;
use super::numbers::{number, number_or_missing, plural, scientific};
use super::{Context, Door, bars, columns, differential, layers, path_lengths, trials, what_if, words};

/// Characters of a full bar.
const BAR_WIDTH: usize = 16;

/// Width of the labels in front of an explanation: `why       `.
const LABEL_WIDTH: usize = 10;

/// Characters after which an explanation goes on in the next line.
pub(super) const LINE_WIDTH: usize = 120;

/// What everything below a headline starts with.
pub(super) const INDENT: &str = "   ";

/// Most characters of a layer's name in a picture.
const NAME_WIDTH: usize = 28;

/// Most remedies named by one finding that was treated.
const MOST_HELP: usize = 3;

/// With or without colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Bare text.
    #[default]
    Plain,
    /// ANSI colours, for a terminal.
    Coloured,
}

impl Style {
    fn paint(self, ansi: Ansi, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("{ansi}{text}{ansi:#}"),
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint(Ansi::new().bold(), text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint(Ansi::new().dimmed(), text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default().bold(), text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    fn level(self, level: Level, text: &str) -> String {
        let colour = match level {
            Level::Deny => AnsiColor::Red,
            Level::Warn => AnsiColor::Yellow,
            Level::Note | Level::Allow => AnsiColor::Cyan,
        };
        self.paint(colour.on_default().bold(), text)
    }
}

/// What is needed to explain one finding.
struct Scene<'a> {
    style: Style,
    /// `None` where no batch was measured.
    flow: Option<&'a Flow>,
    recipe: &'a Recipe,
    /// Path of the recipe's file; empty for the built-in one.
    path: &'a str,
    door: Door,
    /// What was tried; `None` before a trial.
    tried: Option<&'a CureReport>,
}

/// The findings, or that there is none.
pub fn check(report: &CheckReport, context: &Context<'_>) -> String {
    findings(report, context, None)
}

/// The findings with what helped, the remedies tried, and the cure.
pub fn cure(report: &CureReport, context: &Context<'_>) -> String {
    let mut text = findings(&report.check, context, Some(report));
    text += &trials::table(report, context.style);
    text
}

fn findings(report: &CheckReport, context: &Context<'_>, tried: Option<&CureReport>) -> String {
    let style = context.style;
    let (path, door) = (context.file.path, context.door);
    let scene = Scene { style, flow: Some(&report.flow), recipe: &report.recipe, path, door, tried };
    let mut text: String = report.remarks.iter().map(|remark| scene.remark(remark)).collect();
    text.extend(report.findings.iter().map(|finding| scene.finding(finding) + "\n"));
    if tried.is_none() {
        text += &path_lengths::line(report.flow.path_lengths.as_ref());
    }
    let ills = report.findings.iter().filter(|finding| finding.level > Level::Note).count();
    if ills == 0 {
        let otherwise = if report.levels().any(|level| level > Level::Note) { "otherwise " } else { "" };
        text += &format!("{otherwise}{}: {}\n", style.good("ok"), words::healthy(report));
    } else if tried.is_none() {
        let told = what_if::block(report.flow.counterfactual.as_ref(), &report.findings);
        for told in [told, differential::block(&report.differential)] {
            if !told.is_empty() {
                text += &format!("{told}\n");
            }
        }
        // A finding's own theory says it already.
        let limit = words::limit(report);
        let is_told =
            report.findings.iter().filter_map(|finding| finding.theory.as_ref()).any(|said| said.contains(&limit));
        let rest = if is_told { String::new() } else { format!("; {}", wrapped(&limit, LINE_WIDTH, INDENT)) };
        text += &format!("{}{rest}\n", style.bold(&counts(report.levels())));
    }
    text
}

/// Findings of which no batch is at hand: of weights alone, or of a training that was recorded.
pub(super) fn bare(findings: &[Finding], style: Style) -> String {
    let recipe = Recipe::default();
    let scene = Scene { style, flow: None, recipe: &recipe, path: "", door: Door::default(), tried: None };
    findings.iter().map(|finding| scene.finding(finding) + "\n").collect()
}

/// `1 error, 2 warnings` of findings.
pub(super) fn tally(findings: &[Finding]) -> String {
    counts(findings.iter().map(|finding| finding.level))
}

/// `1 error, 2 warnings`.
pub(super) fn counts(levels: impl Iterator<Item = Level>) -> String {
    let levels: Vec<Level> = levels.collect();
    let count = |level| levels.iter().filter(|found| **found == level).count();
    let counts = [(Level::Deny, "error"), (Level::Warn, "warning"), (Level::Note, "note")];
    let counts = counts.into_iter().map(|(level, word)| (count(level), word)).filter(|(count, _)| *count > 0);
    counts.map(|(count, word)| plural(count, word)).collect::<Vec<_>>().join(", ")
}

/// The text in lines of at most `width` characters, broken at spaces; all but the first start with `indent`. Words that
/// are longer stay whole, so that a path can still be copied.
pub(super) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    // At single spaces, so that wider gaps within a line are kept.
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            // A gap of several spaces at the break.
            Some(_) if word.is_empty() => {}
            _ => lines.push(word.to_owned()),
        }
    }
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join(&format!("\n{indent}"))
}

fn layer_name(name: &str) -> String {
    shortened(&printable(name), NAME_WIDTH)
}

impl Scene<'_> {
    fn finding(&self, finding: &Finding) -> String {
        let level = severity::word(finding.level);
        let headline = format!("{level}[{}]", printable(&finding.rule));
        let mut text = format!(
            "{}{}\n",
            self.style.level(finding.level, &headline),
            self.style.bold(&format!(": {}", printable(&finding.message)))
        );
        if finding.step > 0 {
            text += &self.line("step", &finding.step.to_string());
        }
        text += &self.picture(finding);
        for evidence in &finding.evidence {
            text += &self.line("measured", &measured(evidence));
        }
        let layers = self.flow.map_or(1, |flow| layers::concerned(flow, finding).len());
        if let Some(why) = words::why(finding, layers, self.recipe) {
            text += &self.line("why", &printable(&why));
        }
        if let Some(theory) = &finding.theory {
            text += &self.line("theory", &printable(theory));
        }
        for help in self.help(finding) {
            text += &self.line("help", &printable(&help));
        }
        text += &self.line("explain", &format!("isogain explain {}", printable(&finding.rule)));
        text + &self.consequences(&finding.consequences, 1)
    }

    fn remark(&self, remark: &Remark) -> String {
        let level = self.style.level(remark.level, severity::word(remark.level));
        format!("{level}: {}\n", wrapped(&printable(&remark.message), LINE_WIDTH, INDENT))
    }

    fn line(&self, label: &str, text: &str) -> String {
        let label = self.style.dim(&format!("{label:LABEL_WIDTH$}"));
        let indent = INDENT.chars().count() + LABEL_WIDTH;
        format!("{INDENT}{label}{}\n", wrapped(text, LINE_WIDTH - indent, &" ".repeat(indent)))
    }

    /// The stack of layers with a bar for each; empty where layers would show nothing.
    fn picture(&self, finding: &Finding) -> String {
        let (Some(flow), Some(quantity)) = (self.flow, Quantity::of(finding)) else {
            return String::new();
        };
        let rows = layers::rows(flow, finding, quantity);
        let values: Vec<f64> = rows.iter().map(|row| row.rms).collect();
        let fractions = bars::log_fractions(&values);
        let longest = fractions.iter().position(|fraction| *fraction == 1.0);
        let full = longest.map_or_else(String::new, |row| format!("of {}", layer_name(&rows[row].name)));
        let heading = quantity.heading();
        let mut table = vec![vec!["layer".to_owned(), heading.to_owned(), full]];
        table.extend(rows.iter().zip(&fractions).map(|(row, fraction)| {
            let rms = format!("{:>width$}", scientific(row.rms), width = heading.len());
            vec![layer_name(&row.name), rms, bars::bar(*fraction, BAR_WIDTH)]
        }));
        let mut lines = columns::align(&table, INDENT);
        if let Some(heading) = lines.first_mut() {
            *heading = self.style.dim(heading);
        }
        lines.join("\n") + "\n"
    }

    /// What was tried against the finding, best first; before a trial, what could be.
    fn help(&self, finding: &Finding) -> Vec<String> {
        let Some(report) = self.tried else {
            let call = self.door.cure(self.path);
            return match (finding.remedies.join(", "), self.flow) {
                (names, _) if names.is_empty() => Vec::new(),
                (names, Some(_)) => vec![format!("{names} (`{call}` tries them)")],
                (names, None) => vec![names],
            };
        };
        let is_for =
            |tried: &&PrescriptionResult| tried.remedies.iter().any(|remedy| finding.remedies.contains(remedy));
        report.finished().into_iter().filter(is_for).take(MOST_HELP).map(|tried| outcome(report, tried)).collect()
    }

    /// Findings that follow from another one, a line each.
    fn consequences(&self, findings: &[Finding], depth: usize) -> String {
        let indent = INDENT.repeat(depth);
        let mut text = String::new();
        for finding in findings {
            let headline = format!("{}[{}]", severity::word(finding.level), printable(&finding.rule));
            let headline = self.style.level(finding.level, &headline);
            let label = if depth == 1 { "follows from it: " } else { "and from that: " };
            text += &format!("{indent}{}{headline}: {}\n", self.style.dim(label), printable(&finding.message));
            text += &self.consequences(&finding.consequences, depth + 1);
        }
        text
    }
}

/// One number with its limit and where that comes from: `update ratio of fc1: 1.2e-07, limit 1.0e-05 (source)`.
pub fn measured(evidence: &Evidence) -> String {
    let mut text = format!("{}: {}", printable(&evidence.name), number_or_missing(evidence.value));
    match (evidence.threshold, evidence.source.as_str()) {
        (Some(threshold), "") => text += &format!(", limit {}", number(threshold)),
        (Some(threshold), source) => text += &format!(", limit {} ({})", number(threshold), printable(source)),
        (None, "") => {}
        (None, source) => text += &format!(" ({})", printable(source)),
    }
    text
}

/// `rescale-init (init = he-normal): predicted x1.00   tried: improves, 3 of 3 seeds, loss 2.303 → 0.021, accuracy ...`.
fn outcome(report: &CureReport, tried: &PrescriptionResult) -> String {
    let (_, untreated) = report.trial.reference(tried);
    let (won, seeds) = words::seeds_won(untreated, &tried.seeds);
    format!(
        "{}: predicted {}   tried: {}, {won} of {seeds} seeds, {}",
        words::named(&tried.remedies, &tried.parameters),
        words::predicted(tried),
        words::verdict(tried.verdict),
        words::change(untreated, &tried.seeds)
    )
}
