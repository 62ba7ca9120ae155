//! Loss by step, before and after treatment, every seed a line.

use isogain_core::render::numbers;
use isogain_core::summary::{CureReport, Curve};

use crate::chart::{Axis, Plot, Series, Strip};
use crate::markup::text;

/// Strips that the chart is read out by.
const STRIPS: usize = 80;

/// Rows of the table beside the chart.
const ROWS: usize = 11;

/// The chart; empty without curves.
pub(crate) fn figure(report: &CureReport) -> String {
    let curves = &report.curves;
    let all = || curves.before.iter().chain(&curves.after);
    let Some(last) = all().filter_map(|curve| curve.steps.last()).max() else { return String::new() };
    let end = report.recipe.run.steps.max(*last as usize);
    let finite = all().flat_map(|curve| curve.losses.iter().filter_map(|loss| *loss));
    let series: Vec<Series> = curves
        .before
        .iter()
        .map(|curve| series("before", curve))
        .chain(curves.after.iter().map(|curve| series("after", curve)))
        .collect();
    let baseline = &report.trial.baseline;
    let mut legend =
        vec![("before", format!("before: untreated, learning rate {}", numbers::setting(baseline.learning_rate)))];
    if let Some((cure, _)) = report.cure().filter(|_| !curves.after.is_empty()) {
        let rate = numbers::setting(cure.recipe.optimizer.learning_rate);
        legend.push(("after", format!("after: {}, learning rate {rate}", text(&cure.remedies.join(" + ")))));
    }
    let strips: Vec<Strip> = spaced(*last, STRIPS).into_iter().map(|step| strip(report, step)).collect();
    Plot {
        id: "loss",
        title: "Loss while training",
        summary: summary(report),
        axes: ["step", "loss on the batch (log scale)"],
        x: Axis::linear(0.0, end as f64),
        y: Axis::log(finite, 1.0),
        bands: &[],
        series: &series,
        legend: &legend,
        strips: &strips,
        table: table(report, *last),
        csv: csv(report),
    }
    .figure()
}

fn series(class: &'static str, curve: &Curve) -> Series {
    let points = curve.steps.iter().zip(&curve.losses);
    let points = points.map(|(step, loss)| (*step as f64, loss.unwrap_or(f64::NAN))).collect();
    Series { class, points, dots: false }
}

/// Steps from 0 to `last`, evenly spaced.
fn spaced(last: u64, most: usize) -> Vec<u64> {
    let gaps = (most as u64 - 1).min(last).max(1);
    (0..=gaps).map(|index| index * last / gaps).collect()
}

/// The losses of these curves at the last kept step up to `step`.
fn losses_at(curves: &[Curve], step: u64) -> Vec<String> {
    let loss = |curve: &Curve| {
        let index = curve.steps.partition_point(|kept| *kept <= step).checked_sub(1)?;
        curve.losses.get(index).copied()
    };
    curves.iter().filter_map(loss).map(numbers::loss).collect()
}

fn strip(report: &CureReport, step: u64) -> Strip {
    let curves = &report.curves;
    let mut reading = format!("step {step}: before {}", losses_at(&curves.before, step).join(", "));
    if !curves.after.is_empty() {
        reading += &format!(" · after {}", losses_at(&curves.after, step).join(", "));
    }
    Strip { x: step as f64, reading, layer: None }
}

fn summary(report: &CureReport) -> String {
    let ends = |curves: &[Curve]| losses_at(curves, u64::MAX).join(", ");
    let mut summary = format!("The untreated network ends at a loss of {}", ends(&report.curves.before));
    if !report.curves.after.is_empty() {
        summary += &format!("; the cured one at {}", ends(&report.curves.after));
    }
    summary + ", one number for each seed."
}

fn table(report: &CureReport, last: u64) -> String {
    let curves = &report.curves;
    let heads = |name: &str, curves: &[Curve]| -> String {
        curves.iter().map(|curve| format!("<th scope=\"col\">{name}, seed {}</th>", curve.seed)).collect()
    };
    let cells = |step: u64| -> String {
        let losses = losses_at(&curves.before, step).into_iter().chain(losses_at(&curves.after, step));
        losses.map(|loss| format!("<td>{loss}</td>")).collect()
    };
    let rows: String = spaced(last, ROWS)
        .into_iter()
        .map(|step| format!("<tr><th scope=\"row\">{step}</th>{}</tr>", cells(step)))
        .collect();
    format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">step</th>{}{}</tr></thead><tbody>{rows}</tbody></table></div>",
        heads("before", &curves.before),
        heads("after", &curves.after)
    )
}

fn csv(report: &CureReport) -> String {
    let curves = &report.curves;
    let mut csv = String::from("arm,seed,step,loss\n");
    for (arm, curves) in [("before", &curves.before), ("after", &curves.after)] {
        for curve in curves {
            for (step, loss) in curve.steps.iter().zip(&curve.losses) {
                csv += &format!("{arm},{},{step},{}\n", curve.seed, loss.unwrap_or(f64::NAN));
            }
        }
    }
    csv
}
