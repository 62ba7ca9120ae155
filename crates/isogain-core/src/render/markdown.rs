//! For pull requests and notebooks: GitHub's Markdown, names escaped so that they stay names.

use crate::recipe;
use crate::rules::{Finding, severity};
use crate::summary::{CheckReport, CureReport, median_loss};
use crate::trial::SeedScore;
use crate::trial::result::{PrescriptionResult, RandomSearchResult};

use super::escape::printable;
use super::numbers::{MISSING, counted, loss, plural, seconds, setting};
use super::words::End;
use super::{layers, text, words};

/// The findings as a table, each one's evidence behind a fold.
pub fn check(report: &CheckReport) -> String {
    let counts = text::counts(report.levels());
    let title = if counts.is_empty() { "no findings" } else { &counts };
    let mut page = format!("### isogain: {title}\n\n");
    for remark in &report.remarks {
        page += &format!("*{}*: {}\n\n", severity::word(remark.level), escape(&remark.message));
    }
    if report.findings.is_empty() {
        return page + &format!("{}.\n", escape(&capital(&words::healthy(report))));
    }
    page += "| level | rule | layers | finding |\n|---|---|---|---|\n";
    for finding in &report.findings {
        row(finding, 0, &mut page);
    }
    for finding in &report.findings {
        page += &details(finding, report);
    }
    page
}

/// The verdict, the findings, the remedies tried, and the cured recipe.
pub fn cure(report: &CureReport) -> String {
    let mut page = format!("### isogain: {}\n\n{}.\n\n", End::of(report).word(), escape(&words::outcome(report)));
    page += &check(&report.check).replacen("### isogain: ", "#### Findings: ", 1);
    page += "\n#### Remedies tried\n\n";
    page +=
        "| remedy | parameters | predicted | learning rate | loss before → after | verdict | seeds | superiority |\n";
    page += "|---|---|---|---|---|---|---|---|\n";
    let baseline = &report.trial.baseline;
    let slope = words::slope(&report.check.flow);
    page += &format!(
        "| *untreated* | its own best rate | {slope} | {} | {} | | {} | |\n",
        setting(baseline.learning_rate),
        loss(median_loss(&baseline.seeds)),
        baseline.seeds.len()
    );
    for tried in report.finished() {
        page += &line(report.trial.reference(tried).1, tried, words::verdict(tried.verdict));
    }
    if let Some(random) = &report.trial.random_search {
        page += &random_search(&baseline.seeds, random);
    }
    for tried in report.dropped() {
        let when = if tried.steps == 0 {
            "not run".to_owned()
        } else {
            format!("dropped after {}", plural(tried.steps, "step"))
        };
        page += &line(&[], tried, &when);
    }
    for line in words::left_out(&report.trial).into_iter().chain(words::prediction_error(&report.trial)) {
        page += &format!("\n{}.\n", escape(&capital(&line)));
    }
    let spent = &report.trial.spent;
    page += &format!(
        "\n{}, {}, {}.\n",
        counted(spent.trials, "training"),
        counted(spent.steps, "step"),
        seconds(spent.seconds)
    );
    if let Some((cure, _)) = report.cure() {
        page += &format!("\n#### The cured recipe\n\n{}", fenced("toml", &recipe::to_toml(&cure.recipe)));
    }
    page
}

fn row(finding: &Finding, depth: usize, page: &mut String) {
    let [first, last] = finding.layers.each_ref().map(|layer| escape(layer));
    let layers = if first == last { first } else { format!("{first} … {last}") };
    let follows = if depth == 0 { "" } else { "follows from it: " };
    let level = severity::word(finding.level);
    let level = if depth == 0 { format!("**{level}**") } else { level.to_owned() };
    *page += &format!("| {level} | {} | {layers} | {follows}{} |\n", escape(&finding.rule), escape(&finding.message));
    for consequence in &finding.consequences {
        row(consequence, depth + 1, page);
    }
}

fn details(finding: &Finding, report: &CheckReport) -> String {
    let mut lines: Vec<String> =
        finding.evidence.iter().map(|evidence| format!("measured: {}", text::measured(evidence))).collect();
    let layers = layers::concerned(&report.flow, finding).len();
    lines.extend(words::why(finding, layers, &report.recipe).map(|why| format!("why: {why}")));
    lines.extend(finding.theory.as_ref().map(|theory| format!("theory: {theory}")));
    if !finding.remedies.is_empty() {
        lines.push(format!("remedies: {}", finding.remedies.join(", ")));
    }
    let lines: String = lines.iter().map(|line| format!("* {}\n", escape(line))).collect();
    format!("\n<details><summary>{}</summary>\n\n{lines}\n</details>\n", escape(&finding.rule))
}

/// One prescription; `before` is empty where a comparison would mean nothing.
fn line(before: &[SeedScore], tried: &PrescriptionResult, verdict: &str) -> String {
    let rate = tried.learning_rate.map_or_else(|| MISSING.to_owned(), setting);
    let mut cells = vec![escape(&tried.remedy), escape(&tried.parameters), words::predicted(tried), rate];
    cells.extend(outcome(before, &tried.seeds, verdict));
    // Of what was dropped on the way no comparison is told.
    cells.push(words::superiority(tried.effect.as_ref().filter(|_| !before.is_empty())));
    format!("| {} |\n", cells.join(" | "))
}

fn random_search(before: &[SeedScore], random: &RandomSearchResult) -> String {
    let found = escape(&words::named(&random.remedies, &random.parameters));
    let mut cells = vec!["*random search*".to_owned(), found, MISSING.to_owned(), setting(random.learning_rate)];
    cells.extend(outcome(before, &random.seeds, words::verdict(random.verdict)));
    cells.push(words::superiority(Some(&random.effect)));
    format!("| {} |\n", cells.join(" | "))
}

/// Loss before and after, verdict, seeds.
fn outcome(before: &[SeedScore], after: &[SeedScore], verdict: &str) -> [String; 3] {
    let (won, seeds) = words::seeds_won(before, after);
    if seeds == 0 {
        return [MISSING.to_owned(), verdict.to_owned(), MISSING.to_owned()];
    }
    let change = format!("{} → {}", loss(median_loss(before)), loss(median_loss(after)));
    [change, verdict.to_owned(), format!("{won} of {seeds}")]
}

/// Text as itself: on one line, and no mark, tag, link, mention or table bar in it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // An entity, for a backslash before a bar is lost inside of code, and a mention heeds no backslash.
            '|' => escaped.push_str("&#124;"),
            '@' => escaped.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A block of code behind a fence longer than any in it.
fn fenced(language: &str, code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", code.trim_end())
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
