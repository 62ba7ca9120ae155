//! Runs side by side: their losses on one scale, what differs in what was run, where they part.

use isogain_core::record::Run;
use isogain_core::record::compare::{Comparison, LossPair, compare};
use isogain_core::render::numbers;

use super::by_layer::{ByLayer, Line};
use super::{about, layers, maps};
use crate::chart::{Axis, Band, Plot, Series, Strip, field, spaced};
use crate::digest::{Column, Digest, Point};
use crate::markup::{MISSING, hinted, section, text};
use crate::page::Part;

/// Runs that are drawn.
const MOST_RUNS: usize = 6;
/// Settings that are listed.
const MOST_SETTINGS: usize = 200;
/// Characters of a setting.
const SETTING_WIDTH: usize = 200;
/// Strips that the chart is read out by.
const STRIPS: usize = 80;
/// Classes of lines, in order.
const CLASSES: [&str; MOST_RUNS] = ["c1", "c2", "c3", "c4", "c5", "alone"];

/// Names of the maps in the page.
const MAPS: [&str; MOST_RUNS] = ["map-1", "map-2", "map-3", "map-4", "map-5", "map-6"];

/// One run's line.
struct Drawn<'a> {
    name: &'a str,
    points: Vec<Point>,
}

/// The parts of the page.
pub(crate) fn parts(runs: &[(String, &Digest)]) -> Vec<Part> {
    let light: Vec<(String, Run)> = runs.iter().map(|(name, run)| (name.clone(), run.losses_alone())).collect();
    let comparison = compare(&light);
    let title = match runs.len() {
        0 | 1 => "Fewer than two of these runs can be read".to_owned(),
        count => format!("{count} runs"),
    };
    let head = format!(
        "<header>\n<p class=\"brand\">isogain <span>compare</span></p>\n<h1>{title}</h1>\n\
         <p class=\"subject\">all against the first, <b>{}</b></p>\n</header>\n",
        runs.first().map(|(name, _)| text(name)).unwrap_or_default()
    );
    vec![
        Part { id: "head", html: head },
        Part { id: "network", html: String::new() },
        Part { id: "loss", html: hinted(&losses(runs, &comparison).unwrap_or_default(), "loss", about("loss")) },
        Part { id: "depth", html: hinted(&depth(runs).unwrap_or_default(), "depth", about("depth")) },
        Part { id: "gradient-map", html: maps(runs) },
        Part { id: "findings", html: section("ends", "How they stand", &ends(&comparison)) },
        Part { id: "notes", html: section("parting", "Where they part", &parted(&comparison)) },
        Part { id: "recipe", html: section("differences", "What differs", &differences(&comparison)) },
    ]
}

fn losses(runs: &[(String, &Digest)], comparison: &Comparison) -> Option<String> {
    let drawn: Vec<Drawn<'_>> =
        runs.iter().take(MOST_RUNS).map(|(name, run)| Drawn { name, points: run.losses() }).collect();
    let last = drawn.iter().filter_map(|run| run.points.last()).map(|point| point.step).max()?;
    let all = drawn.iter().flat_map(|run| run.points.iter().flat_map(|point| [point.low, point.high]));
    let mut series: Vec<Series> = drawn
        .iter()
        .zip(CLASSES)
        .map(|(run, class)| Series {
            class,
            points: run.points.iter().map(|point| (point.step as f64, point.loss)).collect(),
            dots: false,
            name: String::new(),
        })
        .collect();
    let bands: Vec<Band> = drawn
        .iter()
        .zip(CLASSES)
        .filter(|(run, _)| run.points.iter().any(|point| point.low < point.high))
        .map(|(run, class)| {
            let points = run.points.iter().filter(|point| point.low > 0.0 && point.high.is_finite());
            Band { class, edges: points.map(|point| (point.step as f64, point.low, point.high)).collect() }
        })
        .collect();
    let mut legend: Vec<(&str, String)> =
        drawn.iter().zip(CLASSES).map(|(run, class)| (class, text(run.name))).collect();
    let at = |run: &Drawn<'_>, step: u64| {
        let index = run.points.partition_point(|point| point.step <= step).checked_sub(1)?;
        run.points.get(index).map(|point| numbers::loss(point.loss.is_finite().then_some(point.loss)))
    };
    let told = |step: u64| -> Vec<String> {
        drawn.iter().map(|run| at(run, step).unwrap_or_else(|| MISSING.to_owned())).collect()
    };
    let steps: Vec<u64> = spaced(usize::try_from(last).unwrap_or(usize::MAX).saturating_add(1), STRIPS)
        .into_iter()
        .map(|step| step as u64)
        .collect();
    let strip = |&step: &u64| {
        let values: Vec<String> =
            drawn.iter().zip(told(step)).map(|(run, loss)| format!("{} {loss}", run.name)).collect();
        Strip { x: step as f64, reading: format!("step {step} · {}", values.join(" · ")), layer: None }
    };
    let heads: String = drawn.iter().map(|run| format!("<th scope=\"col\">{}</th>", text(run.name))).collect();
    let row = |index: usize| {
        let cells: String = told(steps[index]).iter().map(|loss| format!("<td>{loss}</td>")).collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", steps[index])
    };
    let rows: String = spaced(steps.len(), 12).into_iter().map(row).collect();
    let mut csv = String::from("run,step,loss,lowest,highest\n");
    for run in &drawn {
        for point in &run.points {
            csv += &format!("{},{},{},{},{}\n", field(run.name), point.step, point.loss, point.low, point.high);
        }
    }
    let apart = comparison.parted.iter().filter_map(|parting| parting.first_apart).map(|pair| pair.step).min();
    let parts = apart.map_or_else(
        || "none is more than a tenth from the first".to_owned(),
        |step| format!("the first to part is more than a tenth away at step {step}"),
    );
    if let Some(step) = apart {
        let ends = all_ends(&drawn);
        let points = vec![(step as f64, ends.0), (step as f64, ends.1)];
        series.push(Series { class: "reference", points, dots: false, name: "where the first run parts".to_owned() });
        legend.push(("reference", format!("step {step}: a run is more than a tenth from the first")));
    }
    let figure = Plot {
        id: "loss",
        title: "Loss while training",
        summary: format!("Losses of {} runs up to step {last}; {parts}.", drawn.len()),
        axes: ["step", "loss on the batch (log scale)"],
        x: Axis::linear(0.0, last as f64),
        y: Axis::log(all, 1.0),
        bands: &bands,
        series: &series,
        legend: &legend,
        strips: &steps.iter().map(strip).collect::<Vec<_>>(),
        table: format!(
            "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">step</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        ),
        csv,
    };
    Some(figure.figure())
}

/// The smallest and the largest loss above zero.
fn all_ends(drawn: &[Drawn<'_>]) -> (f64, f64) {
    let all = drawn.iter().flat_map(|run| run.points.iter().flat_map(|point| [point.low, point.high]));
    all.filter(|loss| *loss > 0.0 && loss.is_finite())
        .fold((f64::INFINITY, 0.0), |(low, high), loss| (low.min(loss), high.max(loss)))
}

/// The gradient at every layer at the last recorded step of each run, on one scale; layers are counted from the input, and
/// named as the first run names them.
fn depth(runs: &[(String, &Digest)]) -> Option<String> {
    let drawn = runs.iter().take(MOST_RUNS).zip(CLASSES).filter_map(|((name, run), class)| {
        let rows = layers::rows(run);
        let is_recorded = |column: &Column| rows.iter().any(|&row| !Column::level(&column.cotangent, row).is_missing());
        let last = run.columns().iter().rev().find(|column| is_recorded(column))?;
        let values = rows.iter().map(|&row| Column::level(&last.cotangent, row).value()).collect();
        let names: Vec<String> = rows.iter().map(|&row| run.joints()[row].clone()).collect();
        Some((Line { class, name: format!("{name}, step {}", last.step), values }, names))
    });
    let (lines, names): (Vec<Line>, Vec<Vec<String>>) = drawn.unzip();
    let longest = names.iter().max_by_key(|names| names.len())?;
    let chart = ByLayer {
        id: "depth",
        title: "Gradient by depth, at the last step",
        summary: format!("Gradient by layer of {} runs at their last recorded step, on one scale.", lines.len()),
        quantity: "rms of dL/d(output) (log scale)",
        is_log: true,
        layers: longest,
        lines: &lines,
        bands: &[],
    };
    Some(chart.figure())
}

/// A map of each run, all with the same shades.
fn maps(runs: &[(String, &Digest)]) -> String {
    let shown: Vec<_> = runs.iter().take(MOST_RUNS).zip(MAPS).collect();
    let shade = shown.iter().filter_map(|((_, run), _)| maps::gradient_shade(run)).fold(0.0, f64::max);
    shown
        .into_iter()
        .filter_map(|((name, run), id)| {
            let figure = maps::gradient_of(run, id, shade)?;
            // Above the map whose run it is.
            let named = figure.replacen("</h3>", &format!("</h3><p class=\"scale\"><b>{}</b></p>", text(name)), 1);
            Some(hinted(&named, id, about("gradient-map")))
        })
        .collect()
}

fn ends(comparison: &Comparison) -> String {
    let row = |run: &isogain_core::record::compare::RunEnd| {
        let step = run.last_step.map_or_else(|| MISSING.to_owned(), |step| step.to_string());
        let ended = if run.outcome.is_some() { "ended" } else { "running or stopped" };
        let test = run.outcome.as_ref().and_then(|outcome| outcome.test_accuracy).map(numbers::accuracy);
        format!(
            "<tr><th scope=\"row\" class=\"words\">{}</th><td>{step}</td><td>{}</td><td>{}</td><td class=\"words\">{ended}</td><td class=\"words\">{}</td></tr>",
            text(&run.name),
            numbers::loss(run.last_loss),
            test.unwrap_or_default(),
            text(&run.findings.join(", "))
        )
    };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">run</th><th scope=\"col\">last step</th><th scope=\"col\">loss there</th>\
         <th scope=\"col\">test accuracy</th><th scope=\"col\" class=\"words\">state</th><th scope=\"col\" class=\"words\">findings</th></tr></thead><tbody>{}</tbody></table></div>",
        comparison.runs.iter().map(row).collect::<String>()
    )
}

fn parted(comparison: &Comparison) -> String {
    let told = |pair: &Option<LossPair>, never: &str| match pair {
        Some(pair) => {
            format!("step {} ({} against {})", pair.step, numbers::loss(pair.other), numbers::loss(pair.first))
        }
        None => never.to_owned(),
    };
    let item = |parting: &isogain_core::record::compare::Parting| {
        if parting.common_steps == 0 {
            return format!("<li><b>{}</b>: no step in common with the first</li>", text(&parting.name));
        }
        format!(
            "<li><b>{}</b>: first another number at {}; more than a tenth apart at {}; compared at {} steps</li>",
            text(&parting.name),
            told(&parting.first_different, "no step"),
            told(&parting.first_apart, "no step"),
            parting.common_steps
        )
    };
    format!("<ul>{}</ul>", comparison.parted.iter().map(item).collect::<String>())
}

fn differences(comparison: &Comparison) -> String {
    if comparison.differences.is_empty() {
        return "<p>Recipe, network and data are the same.</p>".to_owned();
    }
    let heads: String = comparison
        .runs
        .iter()
        .map(|run| format!("<th scope=\"col\" class=\"words\">{}</th>", text(&run.name)))
        .collect();
    let row = |difference: &isogain_core::record::compare::Difference| {
        let cell = |value: &Option<String>| {
            let value = value.as_deref().unwrap_or(MISSING);
            let short: String = value.chars().take(SETTING_WIDTH).collect();
            let more = if short.len() < value.len() { "…" } else { "" };
            format!("<td class=\"words\">{}{more}</td>", text(&short))
        };
        format!(
            "<tr><th scope=\"row\" class=\"words\">{}</th>{}</tr>",
            text(&difference.name),
            difference.values.iter().map(cell).collect::<String>()
        )
    };
    // What was built follows from what was set, and is long.
    let (built, set): (Vec<_>, Vec<_>) =
        comparison.differences.iter().partition(|difference| difference.name.starts_with("network built."));
    let table = |listed: &[&isogain_core::record::compare::Difference]| {
        let rows: String = listed.iter().take(MOST_SETTINGS).map(|difference| row(difference)).collect();
        let more = listed.len().saturating_sub(MOST_SETTINGS);
        let more = if more > 0 { format!("<p>{more} more differences are left out.</p>") } else { String::new() };
        format!(
            "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">setting</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{more}"
        )
    };
    let mut found = if set.is_empty() { String::new() } else { table(&set) };
    if !built.is_empty() {
        let said = numbers::plural(built.len(), "difference");
        found +=
            &format!("<details><summary>In the network as it was built: {said}</summary>{}</details>", table(&built));
    }
    found
}
