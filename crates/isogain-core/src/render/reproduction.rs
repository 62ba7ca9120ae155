//! What the literature and theory say beside what was measured: a table for each experiment.

use crate::summary::reproduction::{Expected, ReproduceReport, Reproduction, Row};

use super::escape::printable;
use super::markdown::escape as escaped;
use super::numbers::{MISSING, number, plural, scientific, seconds};
use super::text::{INDENT, Style};
use super::{Context, Format, columns, json};

/// Digits behind the point that are never exceeded: the rounding of f64 begins beyond them.
const MOST_DIGITS: i32 = 14;

/// The report as text, JSON or Markdown; formats that have none of their own are the text.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn reproduction(
    report: &ReproduceReport,
    format: Format,
    context: &Context<'_>,
) -> Result<String, serde_json::Error> {
    match format {
        Format::Json => json::of(report),
        Format::Markdown => Ok(markdown(report)),
        _ => Ok(report.experiments.iter().map(|one| text(one, context.style) + "\n").collect::<String>()
            + &tally(report)
            + "\n"),
    }
}

/// `24 of 25 numbers are as they should be, 1 is not: tanh, 40 layers (batch-norm-depth)`.
pub fn tally(report: &ReproduceReport) -> String {
    let rows = || report.experiments.iter().flat_map(|one| one.rows.iter().map(move |row| (one, row)));
    let (all, right) = (rows().count(), rows().filter(|(_, row)| row.passes).count());
    if all == right {
        return format!("{}, each as it should be", plural(all, "number"));
    }
    let wrong: Vec<String> = rows()
        .filter(|(_, row)| !row.passes)
        .map(|(one, row)| format!("{} ({})", printable(&row.what), printable(&one.name)))
        .collect();
    format!("{right} of {} as they should be; not so: {}", plural(all, "number"), wrong.join("; "))
}

fn text(one: &Reproduction, style: Style) -> String {
    let mut page = format!("{}  {}\n", style.bold(&printable(&one.name)), printable(&one.title));
    page += &format!("{INDENT}source   {}\n{INDENT}setting  {}\n", printable(&one.source), printable(&one.setting));
    if let Some(disproof) = &one.disproof {
        page += &format!("{INDENT}wrong if {}\n", printable(disproof));
    }
    let headings = ["", "ours", "theirs", "which is", ""].map(str::to_owned);
    let rows: Vec<Vec<String>> =
        std::iter::once(headings.to_vec()).chain(one.rows.iter().map(|row| cells(row).to_vec())).collect();
    for (line, row) in
        columns::align(&rows, INDENT).into_iter().zip(std::iter::once(None).chain(one.rows.iter().map(Some)))
    {
        page += &match row {
            None => style.dim(&line),
            Some(row) if row.passes => line,
            Some(_) => style.bad(&line),
        };
        page += "\n";
    }
    for note in &one.notes {
        page += &format!("{INDENT}note     {}\n", printable(note));
    }
    page + &format!("{INDENT}{}\n", style.dim(&seconds(one.seconds)))
}

/// What, ours, theirs, where that comes from, and whether it is so.
pub fn cells(row: &Row) -> [String; 5] {
    let verdict = if row.passes { "yes" } else { "NO" };
    [printable(&row.what), ours(row), theirs(row.theirs), row.basis.word().to_owned(), verdict.to_owned()]
}

fn ours(row: &Row) -> String {
    match (row.ours, row.theirs) {
        (None, _) => "not finite".to_owned(),
        (Some(ours), Expected::Near { tolerance, .. }) => resolved(ours, tolerance),
        (Some(ours), _) => number(ours),
    }
}

/// `1.788 ±0.036`, `below 0.01`.
pub fn theirs(expected: Expected) -> String {
    match expected {
        Expected::Near { value, tolerance: 0.0 } => resolved(value, 0.0),
        Expected::Near { value, tolerance } => format!("{} ±{}", resolved(value, tolerance), short(tolerance)),
        Expected::Below { limit } => format!("below {}", number(limit)),
        Expected::Above { limit } => format!("above {}", number(limit)),
        Expected::Between { low, high } => format!("{} to {}", number(low), number(high)),
        Expected::Diverges => "not finite".to_owned(),
    }
}

/// Two digits.
fn short(value: f64) -> String {
    let text = format!("{value:.1e}").parse().map_or_else(|_| MISSING.to_owned(), |rounded: f64| format!("{rounded}"));
    if (1e-4..1e5).contains(&value) { text } else { scientific(value) }
}

/// With one digit more than a tolerance needs.
fn resolved(value: f64, tolerance: f64) -> String {
    if tolerance == 0.0 || value == 0.0 || !(1e-4..1e6).contains(&value.abs()) {
        return number(value);
    }
    let digits = (1 - tolerance.log10().floor() as i32).clamp(0, MOST_DIGITS);
    format!("{value:.*}", digits as usize)
}

fn markdown(report: &ReproduceReport) -> String {
    let mut page = format!("### isogain: {}\n", escaped(&tally(report)));
    for one in &report.experiments {
        page += &format!(
            "\n#### {}\n\n{} ({}). {}\n\n",
            escaped(&one.name),
            escaped(&one.title),
            escaped(&one.source),
            escaped(&one.setting)
        );
        page += "| | ours | theirs | which is | so |\n|---|---|---|---|---|\n";
        for row in &one.rows {
            page += &format!("| {} |\n", cells(row).map(|cell| escaped(&cell)).join(" | "));
        }
        if let Some(disproof) = &one.disproof {
            page += &format!("\nThis would be wrong if {}.\n", escaped(disproof));
        }
        for note in &one.notes {
            page += &format!("\n{}\n", escaped(note));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::reproduction::Basis;

    fn report() -> ReproduceReport {
        let rows = vec![
            Row::new("relu, batch 8", 1.7975, Expected::within(1.788190, 0.02), Basis::Exact),
            Row::new("a | bar", 0.02, Expected::Below { limit: 0.01 }, Basis::Claimed),
            Row::new("too large", f64::NAN, Expected::Diverges, Basis::Measured),
        ];
        let one = Reproduction {
            name: "batch-norm-explosion".into(),
            title: "Batch norm makes gradients explode".into(),
            source: "Yang et al. 2019".into(),
            setting: "width 500".into(),
            disproof: Some("the factor were 1".into()),
            rows,
            figures: Vec::new(),
            notes: vec!["\u{1b}[31mred".into()],
            seconds: 3.2,
        };
        ReproduceReport::new(vec![one])
    }

    #[test]
    fn a_table_for_a_person() {
        let text = reproduction(&report(), Format::Text, &Context::default()).unwrap();
        let expected = "\
batch-norm-explosion  Batch norm makes gradients explode
   source   Yang et al. 2019
   setting  width 500
   wrong if the factor were 1
                   ours         theirs         which is
   relu, batch 8   1.798        1.788 ±0.036   exact      yes
   a | bar         0.0200       below 0.0100   claimed    NO
   too large       not finite   not finite     measured   yes
   note     \\u{1b}[31mred
   3.2 s

2 of 3 numbers as they should be; not so: a | bar (batch-norm-explosion)
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_bar_in_a_name_is_no_column() {
        let markdown = reproduction(&report(), Format::Markdown, &Context::default()).unwrap();
        assert!(markdown.contains("| a &#124; bar | 0.0200 | below 0.0100 | claimed | NO |"), "{markdown}");
    }

    #[test]
    fn the_document_reads_back_the_same() {
        let json = reproduction(&report(), Format::Json, &Context::default()).unwrap();
        assert_eq!(serde_json::from_str::<ReproduceReport>(&json).unwrap(), report());
    }

    #[test]
    fn as_many_digits_as_are_compared() {
        assert_eq!(theirs(Expected::Near { value: 0.629_180_029_6, tolerance: 1e-8 }), "0.629180030 ±1.0e-08");
        assert_eq!(theirs(Expected::within(6707.0, 0.01)), "6707 ±67");
        assert_eq!(theirs(Expected::Near { value: 3.0, tolerance: 0.0 }), "3.00");
    }
}
