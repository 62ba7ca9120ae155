//! Loss by step of all arms that were trained to the end: before and after treatment every seed a line in the band that
//! they span, of each other remedy the band and its median.

use isogain_core::render::numbers;
use isogain_core::statistics::median;
use isogain_core::summary::{CureReport, Curve, TriedCurves};

use crate::chart::{Axis, Band, Plot, Series, Strip, field};
use crate::markup::text;

/// Strips that the chart is read out by.
const STRIPS: usize = 80;

/// Rows of the table beside the chart.
const ROWS: usize = 11;

/// The chart; empty without curves.
pub(crate) fn figure(report: &CureReport) -> String {
    let curves = &report.curves;
    let all = || curves.before.iter().chain(&curves.after).chain(curves.tried.iter().flat_map(|tried| &tried.curves));
    let Some(last) = all().filter_map(|curve| curve.steps.last()).max() else { return String::new() };
    let end = report.recipe.run.steps.max(*last as usize);
    let finite = all().flat_map(|curve| curve.losses.iter().filter_map(|loss| *loss));
    let name = |tried: &TriedCurves| {
        report.trial.prescriptions.get(tried.prescription).map_or("another remedy", |result| result.remedy.as_str())
    };
    let others = || curves.tried.iter().map(|tried| (name(tried), Spread::of(&tried.curves)));
    let series: Vec<Series> = others()
        .map(|(name, spread)| Series { class: "other", points: spread.median, dots: false, name: name.to_owned() })
        .chain(curves.before.iter().map(|curve| series("before", curve)))
        .chain(curves.after.iter().map(|curve| series("after", curve)))
        .collect();
    let bands: Vec<Band> = others()
        .map(|(_, spread)| Band { class: "other", edges: spread.edges })
        .chain([("before", &curves.before), ("after", &curves.after)].map(|(class, curves)| {
            let edges = Spread::of(curves).edges;
            Band { class, edges }
        }))
        .collect();
    let (rate, _) = report.trial.before();
    let mut legend = vec![("before", format!("before: untreated, learning rate {}", numbers::setting(rate)))];
    if let Some((cure, _)) = report.cure().filter(|_| !curves.after.is_empty()) {
        let rate = numbers::setting(cure.recipe.optimizer.learning_rate);
        legend.push(("after", format!("after: {}, learning rate {rate}", text(&cure.remedies.join(" + ")))));
    }
    if !curves.tried.is_empty() {
        let said = numbers::plural(curves.tried.len(), "other remedy").replace("remedys", "remedies");
        legend.push(("other", format!("{said}: median of the seeds, and the range of all")));
    }
    let strips: Vec<Strip> = spaced(*last, STRIPS).into_iter().map(|step| strip(report, step)).collect();
    Plot {
        id: "loss",
        title: "Loss while training",
        summary: summary(report),
        axes: ["step", "loss on the batch (log scale)"],
        x: Axis::linear(0.0, end as f64),
        y: Axis::log(finite, 1.0),
        bands: &bands,
        series: &series,
        legend: &legend,
        strips: &strips,
        table: table(report, *last),
        csv: csv(report),
    }
    .figure()
}

/// What the seeds of one arm span.
struct Spread {
    median: Vec<(f64, f64)>,
    /// Step, lowest and highest loss.
    edges: Vec<(f64, f64, f64)>,
}

impl Spread {
    /// Curves of one length and thinning, as the seeds of an arm have.
    fn of(curves: &[Curve]) -> Self {
        let steps = curves.first().map_or(&[][..], |curve| &curve.steps);
        let at = |index: usize| curves.iter().filter_map(move |curve| curve.losses.get(index).copied().flatten());
        let steps = || steps.iter().enumerate().map(|(index, step)| (index, *step as f64));
        Self {
            median: steps().map(|(index, step)| (step, median(at(index)).unwrap_or(f64::NAN))).collect(),
            edges: steps()
                .filter_map(|(index, step)| {
                    let (low, high) =
                        at(index).fold((f64::INFINITY, 0.0_f64), |(low, high), loss| (low.min(loss), high.max(loss)));
                    (low > 0.0 && low.is_finite()).then_some((step, low, high))
                })
                .collect(),
        }
    }
}

fn series(class: &'static str, curve: &Curve) -> Series {
    let points = curve.steps.iter().zip(&curve.losses);
    let points = points.map(|(step, loss)| (*step as f64, loss.unwrap_or(f64::NAN))).collect();
    Series { class, points, dots: false, name: String::new() }
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
    for tried in &curves.tried {
        let name = report.trial.prescriptions.get(tried.prescription).map_or("", |result| result.remedy.as_str());
        for curve in &tried.curves {
            for (step, loss) in curve.steps.iter().zip(&curve.losses) {
                csv += &format!("{},{},{step},{}\n", field(name), curve.seed, loss.unwrap_or(f64::NAN));
            }
        }
    }
    csv
}
