//! How many values have which order of magnitude, by layer: ridges of the exponents, so that what a narrow number format
//! would lose is seen, and whether a layer's values spread or shrink as a whole.

use isogain_core::record::{HistogramRecord, TensorKind};
use isogain_core::render::escape::shortened;
use isogain_core::render::numbers::percent;

use super::layers;
use crate::chart::{at, field};
use crate::digest::{Digest, Histograms};
use crate::markup::text;

/// Rows that are drawn ([`layers::drawn`]).
const MOST_ROWS: usize = 24;
/// Size of the drawing, in its own units.
const WIDTH: f64 = 560.0;
/// See [`WIDTH`].
const LEFT: f64 = 118.0;
/// See [`WIDTH`].
const RIGHT: f64 = 14.0;
/// Height of all rows together.
const HEIGHT: f64 = 250.0;
/// Room for the axis.
const BOTTOM: f64 = 42.0;
/// How far a ridge may reach over the row above, in rows.
const REACH: f64 = 1.7;
/// Exponent of bin 0; bins 1 to 254 hold normal numbers of f32.
const BIAS: i32 = 127;
/// Smallest subnormal and smallest normal number of fp16, powers of two.
const FP16: [(i32, &str); 2] = [(-24, "lost in fp16"), (-14, "subnormal in fp16")];

/// Cotangents.
pub(crate) fn cotangent(run: &Digest) -> Option<String> {
    figure(run, TensorKind::Cotangent, "histogram-cotangent", "Orders of magnitude of dL/d(output)")
}

/// Outputs.
pub(crate) fn activation(run: &Digest) -> Option<String> {
    figure(run, TensorKind::Activation, "histogram-activation", "Orders of magnitude of the output")
}

/// One layer's ridge.
struct Row<'a> {
    name: &'a str,
    first: Option<&'a HistogramRecord>,
    last: &'a HistogramRecord,
}

fn of_kind(histograms: &Histograms, kind: TensorKind) -> impl Iterator<Item = &HistogramRecord> {
    histograms.of.iter().filter(move |record| record.kind == kind)
}

fn figure(run: &Digest, kind: TensorKind, id: &'static str, title: &'static str) -> Option<String> {
    let [first, last] = run.histograms();
    let all: Vec<&HistogramRecord> = of_kind(last, kind).collect();
    let rows: Vec<Row<'_>> = layers::drawn(run, all, MOST_ROWS, |record| &record.name)
        .into_iter()
        .map(|last| Row { name: &last.name, first: of_kind(first, kind).find(|record| record.name == last.name), last })
        .collect();
    let bins = rows.iter().flat_map(|row| [row.first, Some(row.last)]).flatten().flat_map(occupied);
    let (low, high) = bins.fold((i32::MAX, i32::MIN), |(low, high), bin| (low.min(bin), high.max(bin)));
    if low > high {
        return None;
    }
    let (low, high) = (low - 1, (high + 1).max(low + 6));
    let scale = (WIDTH - LEFT - RIGHT) / f64::from(high + 1 - low);
    let place = |exponent: i32| LEFT + scale * f64::from(exponent - low);
    let height = (HEIGHT / rows.len() as f64).min(34.0);
    let bottom = height * (rows.len() as f64 + REACH - 1.0) + 4.0;
    let mut marks = String::new();
    for (index, row) in rows.iter().enumerate() {
        let base = height * (index as f64 + REACH) + 2.0;
        let name = text(row.name);
        let mut ridges = ridge("last", row.last, low, high, base, height * REACH, &place);
        if let Some(first) = row.first.filter(|_| last.step > first.step) {
            ridges += &ridge("first", first, low, high, base, height * REACH, &place);
        }
        marks += &format!(
            "<g class=\"ridge\" data-layer=\"{name}\"><title>{name}: {}</title>{ridges}<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text></g>\n",
            told(row.last),
            at(LEFT - 8.0),
            at(base),
            text(&shortened(row.name, 17))
        );
    }
    let limits: String = FP16
        .iter()
        .filter(|(exponent, _)| (low..=high).contains(exponent))
        .map(|(exponent, name)| {
            let x = at(place(*exponent));
            format!(
                "<path class=\"mark\" d=\"M{x} 0V{}\"><title>2^{exponent}: smaller is {name}</title></path>",
                at(bottom)
            )
        })
        .collect();
    let summary = format!(
        "{title} at step {}, layer by layer, from 2^{low} to 2^{high}. {}: {}; {}: {}.",
        last.step,
        rows[0].name,
        told(rows[0].last),
        rows[rows.len() - 1].name,
        told(rows[rows.len() - 1].last)
    );
    let legend = if last.step > first.step {
        format!("<li class=\"before\">step {}</li><li class=\"after\">step {}</li>", first.step, last.step)
    } else {
        format!("<li class=\"after\">step {}</li>", last.step)
    };
    let fp16 = if limits.is_empty() {
        ""
    } else {
        "<li class=\"reference\">limits of fp16: lost below 2⁻²⁴, subnormal below 2⁻¹⁴</li>"
    };
    Some(format!(
        "<figure class=\"chart ridges\" data-view=\"{id}\">\n<figcaption><h3>{title}</h3><ul class=\"legend\">{legend}{fp16}</ul></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-labelledby=\"{id}-title {id}-summary\"><title id=\"{id}-title\">{title}</title>\
         <desc id=\"{id}-summary\">{}</desc>\n{}{limits}{marks}</svg>\n\
         <details><summary>The numbers</summary>{}</details>\n{}</figure>\n",
        at(bottom + BOTTOM),
        text(&summary),
        ticks(low, high, bottom, &place),
        table(&rows),
        crate::chart::csv(&csv(&rows, last.step)),
    ))
}

/// Exponents of the bins that hold normal numbers.
fn occupied(record: &HistogramRecord) -> impl Iterator<Item = i32> + '_ {
    normal(record).filter(|(_, count)| *count > 0).map(|(exponent, _)| exponent)
}

fn normal(record: &HistogramRecord) -> impl Iterator<Item = (i32, u64)> + '_ {
    record.histogram.counts()[1..255].iter().zip(1 - BIAS..).map(|(count, exponent)| (exponent, *count))
}

fn ridge(
    class: &str,
    record: &HistogramRecord,
    low: i32,
    high: i32,
    base: f64,
    height: f64,
    place: &impl Fn(i32) -> f64,
) -> String {
    let most = normal(record).map(|(_, count)| count).max().unwrap_or(0).max(1) as f64;
    let mut path = format!("M{} {}", at(place(low)), at(base));
    for (exponent, count) in normal(record).filter(|(exponent, _)| (low..=high).contains(exponent)) {
        let top = base - height * count as f64 / most;
        path += &format!("L{} {}", at(place(exponent) + 0.5 * (place(1) - place(0))), at(top));
    }
    path += &format!("L{} {}", at(place(high + 1)), at(base));
    format!("<path class=\"{class}\" d=\"{path}\"/>")
}

/// Where half of the values lie above, and what is zero.
fn told(record: &HistogramRecord) -> String {
    let total: u64 = normal(record).map(|(_, count)| count).sum();
    let mut sum = 0;
    let median = normal(record).find(|(_, count)| {
        sum += count;
        2 * sum >= total
    });
    let zeros = record.histogram.counts()[0];
    let all = record.histogram.total().max(1);
    let share = percent(zeros as f64 / all as f64);
    match median.filter(|_| total > 0) {
        Some((exponent, _)) => format!("half below 2^{}, {share} zero or subnormal", exponent + 1),
        None => format!("{share} zero or subnormal"),
    }
}

fn ticks(low: i32, high: i32, bottom: f64, place: &impl Fn(i32) -> f64) -> String {
    let step = ((high - low) / 7).max(1);
    let mut ticks = String::from("<g class=\"grid\">");
    for exponent in (low..=high).filter(|exponent| exponent.rem_euclid(step) == 0) {
        let x = at(place(exponent));
        ticks += &format!(
            "<path d=\"M{x} 0V{}\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">2<tspan dy=\"-4.5\" class=\"raised\">{}</tspan></text>",
            at(bottom),
            at(bottom + 16.0),
            exponent.to_string().replace('-', "−")
        );
    }
    ticks
        + &format!(
            "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">magnitude</text></g>\n",
            at(WIDTH - RIGHT),
            at(bottom + 34.0)
        )
}

fn table(rows: &[Row<'_>]) -> String {
    let row = |row: &Row<'_>| {
        let name = text(row.name);
        let first = row.first.map(told).unwrap_or_default();
        format!(
            "<tr data-layer=\"{name}\"><th scope=\"row\">{name}</th><td>{first}</td><td>{}</td></tr>",
            told(row.last)
        )
    };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">layer</th><th scope=\"col\">first</th><th scope=\"col\">last</th></tr></thead><tbody>{}</tbody></table></div>",
        rows.iter().map(row).collect::<String>()
    )
}

fn csv(rows: &[Row<'_>], step: u64) -> String {
    let mut csv = String::from("step,layer,exponent,count\n");
    for record in rows.iter().map(|row| row.last) {
        for (exponent, count) in normal(record).filter(|(_, count)| *count > 0) {
            csv += &format!("{step},{},{exponent},{count}\n", field(&record.name));
        }
    }
    csv
}
