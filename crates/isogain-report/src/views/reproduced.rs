//! Published and exact results beside what was measured: a table and its figures for each experiment.

use isogain_core::render::numbers::{self, plural};
use isogain_core::render::reproduction::{cells, tally};
use isogain_core::summary::reproduction::{Figure, Mark, ReproduceReport, Reproduction, Row, Scale, Series};

use crate::chart::{self, Axis, Plot, Strip, field};
use crate::markup::{MISSING, capital, section, text};

/// Classes of the lines of ours, in turn.
const COLOURS: [&str; 5] = ["c1", "c2", "c3", "c4", "c5"];

/// Most rows in the table of a figure; the file of its numbers has all.
const MOST_ROWS: usize = 24;

/// Points from which on a line speaks for itself.
const MOST_DOTS: usize = 24;

/// Decades that a logarithmic axis has at least.
const LEAST_DECADES: f64 = 1.0;

/// How the numbers of `reproduce` are read.
const BASES: &str = "A number that ours is compared with is <b>exact</b> (a closed form, or an integral to more digits than are \
    compared), <b>published</b> (printed by the source), <b>claimed</b> (the outcome that the source describes, with a \
    limit of our own) or <b>measured</b> (by an independent program).";

/// How the tour is read.
const STOPS: &str = "Each stop is one claim of the classic account of why gradients vanish and explode, measured on small networks \
    that are built and trained while the tour runs. Behind each number stands what it should be: <b>exact</b> is what theory \
    says, <b>claimed</b> is what the account says, with a limit of our own. A ✗ is a claim that the measurement \
    contradicts; the notes below it say why.";

/// What a kind of page says of itself and of each experiment; all of it is markup.
struct Manner {
    brand: &'static str,
    title: &'static str,
    about: &'static str,
    /// How many numbers are as they should be; plain text.
    tally: fn(&ReproduceReport) -> String,
    /// What the first column of the list holds.
    column: &'static str,
    /// Headings of our numbers and of those that they are compared with.
    compared: [&'static str; 2],
    /// The heading of an experiment, from its place where there are several.
    heading: fn(Option<usize>, &Reproduction) -> String,
    /// What stands below that.
    lead: fn(&Reproduction) -> String,
}

/// The whole page: how many numbers are as they should be, the list of experiments, then each.
pub(crate) fn body(report: &ReproduceReport) -> String {
    let manner = Manner {
        brand: "reproduce",
        title: "Results of theory and of the literature, measured again",
        about: BASES,
        tally,
        column: "experiment",
        compared: ["ours", "theirs"],
        heading: |_, one| text(&one.title),
        lead: |one| format!("<p>{}.</p>", text(&capital(&one.setting))),
    };
    page(report, &manner)
}

/// The same for the tour, where each claim stands above its measurement.
pub(crate) fn tour(report: &ReproduceReport) -> String {
    let manner = Manner {
        brand: "tour",
        title: "Vanishing and exploding gradients, measured claim by claim",
        about: STOPS,
        tally: contradictions,
        column: "stop",
        compared: ["measured", "should be"],
        heading: |place, one| {
            let number = place.map_or_else(String::new, |place| format!("{}. ", place + 1));
            number + &text(&one.title)
        },
        lead: |one| format!("<p><b>What is measured.</b> {}.</p>", text(&capital(&one.setting))),
    };
    page(report, &manner)
}

/// How many numbers are as the account says; which ones are not stands at their stops.
fn contradictions(report: &ReproduceReport) -> String {
    let rows = report.experiments.iter().flat_map(|one| &one.rows);
    let (all, right) = (rows.clone().count(), rows.filter(|row| row.passes).count());
    let wrong: Vec<&str> = report.experiments.iter().filter(|one| !one.passes()).map(|one| one.name.as_str()).collect();
    if wrong.is_empty() {
        return format!("all of {} as the account says", plural(all, "number"));
    }
    format!("{right} of {} as the account says; it is contradicted at {}", plural(all, "number"), wrong.join(", "))
}

fn page(report: &ReproduceReport, manner: &Manner) -> String {
    let list: String = report.experiments.iter().map(entry).collect();
    let Manner { brand, title, about, column, .. } = manner;
    let mut body = format!(
        "<header>\n<p class=\"brand\">isogain <span>{brand}</span></p>\n<h1>{title}</h1>\n\
         <p class=\"subject\">{}</p>\n</header>\n<main>\n<p>{about}</p>\n\
         <div class=\"scroll\"><table class=\"remedies\"><thead><tr><th scope=\"col\">{column}</th><th scope=\"col\" class=\"words\">what it \
         shows</th><th scope=\"col\">numbers</th><th scope=\"col\">time</th></tr></thead><tbody>{list}</tbody></table></div>\n",
        text(&capital(&(manner.tally)(report)))
    );
    let several = report.experiments.len() > 1;
    for (number, one) in report.experiments.iter().enumerate() {
        body += &section(
            &text(&one.name),
            &(manner.heading)(several.then_some(number), one),
            &experiment(one, number, manner),
        );
    }
    body + "</main>\n"
}

fn entry(one: &Reproduction) -> String {
    let right = one.rows.iter().filter(|row| row.passes).count();
    let (class, sign) = if one.passes() { ("good", "✓") } else { ("bad", "✗") };
    format!(
        "<tr><th scope=\"row\"><a href=\"#{0}\">{0}</a></th><td class=\"words\">{1}</td><td><span class=\"badge {class}\">{sign} {right} of \
         {2}</span></td><td>{3}</td></tr>",
        text(&one.name),
        text(&one.title),
        one.rows.len(),
        numbers::seconds(one.seconds)
    )
}

fn experiment(one: &Reproduction, number: usize, manner: &Manner) -> String {
    let rows: String = one.rows.iter().map(row).collect();
    let figures: String = one
        .figures
        .iter()
        .enumerate()
        .map(|(index, figure)| plot(figure, &format!("figure-{number}-{index}")))
        .collect();
    let disproof = one
        .disproof
        .iter()
        .map(|disproof| format!("<p><b>What would prove it wrong.</b> If {}.</p>\n", text(disproof)));
    let notes = one.notes.iter().map(|note| format!("<p>{}</p>\n", text(note)));
    let [ours, theirs] = manner.compared;
    let words: String = disproof.chain(notes).collect();
    format!(
        "{}\n<p class=\"soft\">{}</p>\n<div class=\"scroll\"><table><thead><tr><th scope=\"col\"></th><th scope=\"col\">{ours}</th>\
         <th scope=\"col\">{theirs}</th><th scope=\"col\">which is</th><th scope=\"col\"></th></tr></thead><tbody>{rows}</tbody></table></div>\n\
         {words}<div class=\"pair\">{figures}</div>\n",
        (manner.lead)(one),
        text(&one.source)
    )
}

fn row(row: &Row) -> String {
    let [what, ours, theirs, basis, _] = cells(row).map(|cell| text(&cell));
    let (class, sign) = if row.passes { ("good", "✓") } else { ("bad", "✗") };
    format!(
        "<tr><th scope=\"row\" class=\"words\">{what}</th><td>{ours}</td><td>{theirs}</td><td>{basis}</td><td><span class=\"badge \
         {class}\">{sign}</span></td></tr>"
    )
}

/// A figure of an experiment as a chart.
pub(crate) fn plot(figure: &Figure, id: &str) -> String {
    let classes = classes(&figure.series);
    let series: Vec<chart::Series> =
        figure.series.iter().zip(&classes).flat_map(|(one, class)| drawn(one, class)).collect();
    let legend: Vec<(&'static str, String)> =
        figure.series.iter().zip(&classes).map(|(one, class)| (*class, text(&one.name))).collect();
    let mut places: Vec<f64> = figure.series.iter().flat_map(|one| one.points.iter().map(|point| point.0)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    let shown: Vec<f64> = chart::spaced(places.len(), MOST_ROWS).into_iter().map(|index| places[index]).collect();
    let strips: Vec<Strip> = shown
        .iter()
        .map(|&x| {
            let of = |one: &Series| at(one, x).map(|y| format!("{} {}", one.name, numbers::number(y)));
            let values: Vec<String> = figure.series.iter().filter_map(of).collect();
            Strip { x, reading: format!("{}: {}", numbers::number(x), values.join(" · ")), layer: None }
        })
        .collect();
    Plot {
        id,
        title: &text(&figure.title),
        summary: format!("{} by {}.", capital(&figure.y.label), figure.x.label),
        axes: [&text(&named(&figure.x)), &text(&named(&figure.y))],
        x: axis(&figure.x, figure.series.iter().flat_map(|one| one.points.iter().map(|point| point.0))),
        y: axis(&figure.y, figure.series.iter().flat_map(|one| one.points.iter().map(|point| point.1))),
        bands: &[],
        series: &series,
        legend: &legend,
        strips: &strips,
        table: table(figure, &shown),
        csv: csv(figure),
    }
    .figure()
}

/// Theory is dotted; the rest takes the colours in turn.
fn classes(series: &[Series]) -> Vec<&'static str> {
    let mut next = COLOURS.into_iter().cycle();
    let class = |one: &Series| if one.mark == Mark::Theory { "reference" } else { next.next().unwrap_or(COLOURS[0]) };
    series.iter().map(class).collect()
}

/// A line; or dots, each a line of one point, so that nothing joins them.
fn drawn(one: &Series, class: &'static str) -> Vec<chart::Series> {
    let of =
        |points: &[(f64, f64)], dots: bool| chart::Series { class, points: points.to_vec(), dots, name: String::new() };
    match one.mark {
        Mark::Dots => one.points.chunks(1).map(|point| of(point, true)).collect(),
        Mark::Line => vec![of(&one.points, one.points.len() <= MOST_DOTS)],
        Mark::Theory => vec![of(&one.points, false)],
    }
}

fn named(scale: &Scale) -> String {
    if scale.is_log { format!("{} (log scale)", scale.label) } else { scale.label.clone() }
}

fn axis(scale: &Scale, values: impl Iterator<Item = f64> + Clone) -> Axis {
    if scale.is_log {
        return Axis::log(values, LEAST_DECADES);
    }
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    // From zero where that is near: a share, a count.
    let low = if low > 0.0 && low < 0.5 * high { 0.0 } else { low };
    if low > high { Axis::linear(0.0, 1.0) } else { Axis::linear(low, high) }
}

fn at(series: &Series, x: f64) -> Option<f64> {
    series.points.iter().find(|point| point.0 == x).map(|point| point.1)
}

fn table(figure: &Figure, shown: &[f64]) -> String {
    let heads: String = figure.series.iter().map(|one| format!("<th scope=\"col\">{}</th>", text(&one.name))).collect();
    let cell = |one: &Series, x: f64| at(one, x).map_or_else(|| MISSING.to_owned(), numbers::number);
    let line = |x: &f64| {
        let cells: String = figure.series.iter().map(|one| format!("<td>{}</td>", cell(one, *x))).collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", numbers::number(*x))
    };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">{}</th>{heads}</tr></thead><tbody>{}</tbody></table></div>",
        text(&figure.x.label),
        shown.iter().map(line).collect::<String>()
    )
}

fn csv(figure: &Figure) -> String {
    let mut csv = String::from("series,x,y\n");
    for one in &figure.series {
        for (x, y) in &one.points {
            csv += &format!("{},{x},{y}\n", field(&one.name));
        }
    }
    csv
}

#[cfg(test)]
mod tests {
    use isogain_core::summary::reproduction::{Basis, Expected};

    use super::*;

    #[test]
    fn names_stay_text_and_what_is_wrong_is_marked() {
        let figure = Figure::new("a <b> figure", Scale::linear("x"), Scale::log("y"))
            .with("<i>ours</i>", Mark::Dots, vec![(1.0, 10.0), (2.0, 20.0)])
            .with("theory", Mark::Theory, vec![(1.0, 11.0), (2.0, f64::NAN)]);
        let one = Reproduction {
            name: "one".into(),
            title: "<script>".into(),
            source: "they".into(),
            setting: "a network".into(),
            disproof: Some("<b>nothing</b>".into()),
            rows: vec![Row::new("a number", 2.0, Expected::Below { limit: 1.0 }, Basis::Exact)],
            figures: vec![figure],
            notes: Vec::new(),
            seconds: 1.0,
        };
        let body = body(&ReproduceReport::new(vec![one]));
        assert!(
            !body.contains("<script>")
                && !body.contains("<i>")
                && !body.contains("<b>nothing")
                && !body.contains("a <b>"),
            "{body}"
        );
        assert!(
            body.contains("✗ 0 of 1")
                && body.contains("class=\"line c1\"")
                && body.contains("class=\"line reference\"")
        );
        assert_eq!((body.matches("<circle").count(), body.matches("class=\"line c1\"").count()), (2, 2));
    }
}
