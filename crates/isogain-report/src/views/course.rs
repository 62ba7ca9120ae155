//! Loss by step of a recorded run.

use isogain_core::render::numbers;

use crate::chart::{Axis, Band, Plot, Series, Strip, spaced};
use crate::digest::{Digest, Point};

/// Strips that the chart is read out by.
const STRIPS: usize = 80;

/// Rows of the table beside the chart.
const ROWS: usize = 11;

/// The chart; `None` without a loss.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    let points = run.losses();
    let (first, last) = (points.first()?, points.last()?);
    let written = |loss: f64| numbers::loss(loss.is_finite().then_some(loss));
    let strips: Vec<Strip> = spaced(points.len(), STRIPS)
        .into_iter()
        .map(|index| points[index])
        .map(|point| Strip {
            x: point.step as f64,
            reading: format!("step {}: loss {}", point.step, written(point.loss)),
            layer: None,
        })
        .collect();
    let rows: String = spaced(points.len(), ROWS)
        .into_iter()
        .map(|index| points[index])
        .map(|point| format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", point.step, written(point.loss)))
        .collect();
    let edges = points.iter().filter(|point| point.low > 0.0 && point.high.is_finite());
    let edges: Vec<(f64, f64, f64)> = edges.map(|point| (point.step as f64, point.low, point.high)).collect();
    let bands = [Band { class: "alone", edges }];
    let joined = run.losses_are_joined();
    let line = points.iter().map(|point| (point.step as f64, point.loss)).collect();
    let repairs = repairs(run, &points);
    let mut legend = Vec::new();
    if joined || !repairs.is_empty() {
        legend.push(("alone", "loss".to_owned()));
    }
    if joined {
        legend.push(("band", "lowest and highest of the steps that share a point".to_owned()));
    }
    if !repairs.is_empty() {
        legend.push(("reference", "a repair".to_owned()));
    }
    let mut series = repairs;
    series.push(Series { class: "alone", points: line, dots: false, name: String::new() });
    let csv = points.iter().map(|point| format!("{},{},{},{}\n", point.step, point.loss, point.low, point.high));
    let figure = Plot {
        id: "loss",
        title: "Loss while training",
        summary: format!(
            "The loss goes from {} to {} in {} steps.",
            written(first.loss),
            written(last.loss),
            last.step
        ),
        axes: ["step", "loss on the batch (log scale)"],
        x: Axis::linear(0.0, last.step as f64),
        y: Axis::log(points.iter().flat_map(|point| [point.low, point.high]), 1.0),
        bands: if joined { &bands } else { &[] },
        series: &series,
        legend: &legend,
        strips: &strips,
        table: format!(
            "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">step</th><th scope=\"col\">loss</th></tr></thead>\
             <tbody>{rows}</tbody></table></div>"
        ),
        csv: "step,loss,lowest,highest\n".to_owned() + &csv.collect::<String>(),
    };
    Some(figure.figure())
}

/// A line from bottom to top at each step at which a repair was applied.
fn repairs(run: &Digest, points: &[Point]) -> Vec<Series> {
    let drawn = || points.iter().filter(|point| point.low > 0.0 && point.high.is_finite());
    let low = drawn().map(|point| point.low).fold(f64::INFINITY, f64::min);
    let high = drawn().map(|point| point.high).fold(low, f64::max);
    let applied = run.overview().healed.iter().filter_map(|healed| Some((healed.found as f64, healed.repair()?)));
    applied
        .map(|(step, repair)| Series {
            class: "reference",
            points: vec![(step, low), (step, high)],
            dots: false,
            name: format!("step {step}: {}", repair.name()),
        })
        .collect()
}
