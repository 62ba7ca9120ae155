//! Loss by step of a recorded run.

use isogain_core::record::Run;
use isogain_core::render::numbers;
use isogain_core::summary::Curve;

use crate::chart::{Axis, Plot, Series, Strip, spaced};

/// Strips that the chart is read out by.
const STRIPS: usize = 80;

/// Rows of the table beside the chart.
const ROWS: usize = 11;

/// The chart; empty without a loss.
pub(crate) fn figure(run: &Run) -> String {
    let points = points(run);
    let Some(&(last, last_loss)) = points.last() else { return String::new() };
    let written = |loss: f64| numbers::loss(loss.is_finite().then_some(loss));
    let strips: Vec<Strip> = spaced(points.len(), STRIPS)
        .into_iter()
        .map(|index| {
            let (step, loss) = points[index];
            Strip { x: step, reading: format!("step {step:.0}: loss {}", written(loss)) }
        })
        .collect();
    let rows: String = spaced(points.len(), ROWS)
        .into_iter()
        .map(|index| points[index])
        .map(|(step, loss)| format!("<tr><th scope=\"row\">{step:.0}</th><td>{}</td></tr>", written(loss)))
        .collect();
    let series = [Series { class: "alone", points: points.clone(), dots: false }];
    Plot {
        id: "loss",
        title: "Loss while training",
        summary: format!("The loss goes from {} to {} in {last:.0} steps.", written(points[0].1), written(last_loss)),
        axes: ["step", "loss on the batch (log scale)"],
        x: Axis::linear(0.0, last),
        y: Axis::log(points.iter().map(|(_, loss)| *loss), 1.0),
        series: &series,
        legend: &[],
        strips: &strips,
        table: format!(
            "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">step</th><th scope=\"col\">loss</th></tr></thead>\
             <tbody>{rows}</tbody></table></div>"
        ),
    }
    .figure()
}

/// Step and loss, as many as a chart can show; NaN where it was not finite.
fn points(run: &Run) -> Vec<(f64, f64)> {
    match &run.outcome {
        Some(outcome) if !outcome.losses.is_empty() => {
            let curve = Curve::thinned(run.header.seed, &outcome.losses);
            let losses = curve.losses.into_iter().map(|loss| loss.unwrap_or(f64::NAN));
            curve.steps.into_iter().map(|step| step as f64).zip(losses).collect()
        }
        _ => run.steps.iter().map(|step| (step.step as f64, step.loss)).collect(),
    }
}
