//! The remedies tried, side by side, and what the whole came to; for a terminal.

use crate::summary::{CureReport, median_loss, median_train_accuracy};
use crate::trial::result::{PrescriptionResult, RandomSearchResult};
use crate::trial::{SeedScore, Verdict};

use super::escape::{printable, shortened};
use super::numbers::{MISSING, accuracy, counted, loss, plural, seconds, setting};
use super::text::{INDENT, LINE_WIDTH, Style, wrapped};
use super::words::End;
use super::{columns, words};

/// Headings of the table.
const HEADINGS: [&str; 9] =
    ["remedy", "parameters", "predicted", "learning rate", "loss", "accuracy", "verdict", "seeds", "superiority"];

/// Most characters of what was chosen.
const PARAMETERS_WIDTH: usize = 44;

/// Column of the verdict.
const VERDICT: usize = 6;

/// The table of what was trained to the end, the verdict on the whole, and its cost.
pub(super) fn table(report: &CureReport, style: Style) -> String {
    let finished = report.finished();
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec(), untreated(report)];
    let mut verdicts = vec![None, None];
    for tried in finished {
        rows.push(row(report, tried));
        verdicts.push(Some(tried.verdict));
    }
    if let Some(random) = &report.trial.random_search {
        rows.push(random_search(report, random));
        verdicts.push(Some(random.verdict));
    }
    let heading = if report.trial.prescriptions.is_empty() { "trained" } else { "remedies tried" };
    let mut text = format!("{}\n", style.bold(heading));
    for ((line, row), verdict) in columns::align(&rows, INDENT).iter().zip(&rows).zip(verdicts) {
        text += &format!("{}\n", painted(style, line, &row[VERDICT], verdict));
    }
    let dropped = report.dropped();
    if !dropped.is_empty() {
        let variants = plural(dropped.len(), "more variant");
        let line = format!("{variants} dropped on the way: {}", names(&dropped));
        text += &format!("{INDENT}{}\n", wrapped(&line, LINE_WIDTH - INDENT.len(), INDENT));
    }
    for line in words::left_out(&report.trial).into_iter().chain(words::prediction_error(&report.trial)) {
        text += &format!("{INDENT}{}\n", wrapped(&printable(&line), LINE_WIDTH - INDENT.len(), INDENT));
    }
    let outcome = printable(&words::outcome(report));
    let end = End::of(report);
    let word = if end == End::NotCured { style.bad(end.word()) } else { style.good(end.word()) };
    let spent = &report.trial.spent;
    let cost = [counted(spent.trials, "training"), counted(spent.steps, "step")];
    text + &format!("\n{word}: {outcome}\n{INDENT}{}, {}\n", cost.join(", "), seconds(spent.seconds))
}

fn painted(style: Style, line: &str, word: &str, verdict: Option<Verdict>) -> String {
    let paint = match verdict {
        Some(Verdict::Improves) => Style::good,
        Some(Verdict::Harms) => Style::bad,
        _ => return line.to_owned(),
    };
    match line.rfind(word) {
        Some(start) => format!("{}{}{}", &line[..start], paint(style, word), &line[start + word.len()..]),
        None => line.to_owned(),
    }
}

/// The remedies of these, each once, in order, with how often.
fn names(dropped: &[&PrescriptionResult]) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for tried in dropped {
        let name = printable(&tried.remedy);
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let name = |(name, count): (String, usize)| if count == 1 { name } else { format!("{name} ({count})") };
    counts.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

fn row(report: &CureReport, tried: &PrescriptionResult) -> Vec<String> {
    let [loss, accuracy, seeds] = outcome(report.trial.reference(tried).1, &tried.seeds);
    vec![
        printable(&tried.remedy),
        shortened(&printable(&tried.parameters), PARAMETERS_WIDTH),
        words::predicted(tried),
        tried.learning_rate.map_or_else(|| MISSING.to_owned(), setting),
        loss,
        accuracy,
        words::verdict(tried.verdict).to_owned(),
        seeds,
        words::superiority(tried.effect.as_ref()),
    ]
}

fn untreated(report: &CureReport) -> Vec<String> {
    let baseline = &report.trial.baseline;
    vec![
        "untreated".to_owned(),
        "its own best rate".to_owned(),
        words::slope(&report.check.flow),
        setting(baseline.learning_rate),
        loss(median_loss(&baseline.seeds)),
        median_train_accuracy(&baseline.seeds).map_or_else(|| MISSING.to_owned(), accuracy),
        MISSING.to_owned(),
        baseline.seeds.len().to_string(),
        MISSING.to_owned(),
    ]
}

fn random_search(report: &CureReport, random: &RandomSearchResult) -> Vec<String> {
    let [loss, accuracy, seeds] = outcome(&report.trial.baseline.seeds, &random.seeds);
    vec![
        "random search".to_owned(),
        shortened(&printable(&words::named(&random.remedies, &random.parameters)), PARAMETERS_WIDTH),
        MISSING.to_owned(),
        setting(random.learning_rate),
        loss,
        accuracy,
        words::verdict(random.verdict).to_owned(),
        seeds,
        words::superiority(Some(&random.effect)),
    ]
}

/// Loss, accuracy, and seeds won.
fn outcome(before: &[SeedScore], after: &[SeedScore]) -> [String; 3] {
    let (won, seeds) = words::seeds_won(before, after);
    [
        format!("{} → {}", loss(median_loss(before)), loss(median_loss(after))),
        median_train_accuracy(after).map_or_else(|| MISSING.to_owned(), accuracy),
        format!("{won} of {seeds}"),
    ]
}
