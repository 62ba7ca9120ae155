//! Remedies, predicted against measured: across, what one batch said of the gradient per layer or time step; up, the loss
//! that each seed ended at. Where the prediction holds, what stands near equal gain stands low.

use isogain_core::flow::profile::Profile;
use isogain_core::render::numbers::{loss, number};
use isogain_core::summary::CureReport;
use isogain_core::trial::SeedScore;

use crate::chart::{Axis, Plot, Series, Strip, field};
use crate::markup::{MISSING, text};

/// Factors nearer to each other than this are read out together.
const TOGETHER: f64 = 0.01;

/// One arm of the trial.
struct Arm<'a> {
    name: String,
    class: &'static str,
    factor: f64,
    seeds: &'a [SeedScore],
}

/// The chart; empty where nothing was both predicted and trained to the end.
pub(crate) fn figure(report: &CureReport) -> String {
    let cure = report.cure().map(|(_, result)| result);
    let mut arms: Vec<Arm<'_>> = report
        .finished()
        .into_iter()
        .filter_map(|tried| {
            let factor = tried.predicted.as_ref()?.factor()?;
            let is_cure = cure.is_some_and(|cure| std::ptr::eq(cure, tried));
            let class = if is_cure { "after" } else { "other" };
            let name = match tried.parameters.as_str() {
                "" => tried.remedy.clone(),
                parameters => format!("{} ({parameters})", tried.remedy),
            };
            Some(Arm { name, class, factor, seeds: &tried.seeds })
        })
        .filter(|arm| arm.factor > 0.0 && arm.factor.is_finite())
        .collect();
    if arms.is_empty() {
        return String::new();
    }
    let through_time = report.check.flow.log_gain_per_time_step();
    let step = if through_time.is_some() { "time step" } else { "layer" };
    if let Some(slope) = through_time.or_else(|| Profile::of(&report.check.flow).slope()) {
        let (_, seeds) = report.trial.before();
        arms.push(Arm { name: "untreated".to_owned(), class: "before", factor: slope.exp(), seeds });
    }
    arms.sort_by(|a, b| a.factor.total_cmp(&b.factor));
    let losses = || arms.iter().flat_map(|arm| arm.seeds.iter().filter_map(|run| run.score.loss));
    let y = Axis::log(losses(), 1.0);
    let low = losses().filter(|loss| *loss > 0.0).fold(f64::INFINITY, f64::min);
    let high = losses().fold(low, f64::max);
    let mut series = vec![Series {
        class: "reference",
        points: vec![(1.0, low), (1.0, high)],
        dots: false,
        name: "equal gain".to_owned(),
    }];
    for arm in &arms {
        let points = arm.seeds.iter().map(|run| (arm.factor, run.score.loss.unwrap_or(f64::NAN))).collect();
        series.push(Series { class: arm.class, points, dots: true, name: told(arm, step) });
    }
    let mut legend = vec![("before", "untreated, measured before training".to_owned())];
    if let Some(cure) = cure {
        legend.push(("after", format!("the cure: {}", text(&cure.remedy))));
    }
    legend.push(("other", "other remedies, each seed a dot".to_owned()));
    legend.push(("reference", "equal gain".to_owned()));
    let csv = arms.iter().flat_map(|arm| {
        arm.seeds.iter().map(|run| {
            format!("{},{},{},{}\n", field(&arm.name), arm.factor, run.seed, run.score.loss.unwrap_or(f64::NAN))
        })
    });
    Plot {
        id: "predicted",
        title: "Predicted against measured",
        summary: format!("{}.", arms.iter().map(|arm| told(arm, step)).collect::<Vec<_>>().join("; ")),
        axes: [&format!("gradient per {step} that one batch predicts (log scale)"), "loss at the end (log scale)"],
        x: Axis::log(arms.iter().map(|arm| arm.factor).chain([1.0]), 0.3),
        y,
        bands: &[],
        series: &series,
        legend: &legend,
        strips: &strips(&arms, step),
        table: table(&arms, step),
        csv: format!("remedy,predicted factor per {step},seed,loss\n") + &csv.collect::<String>(),
    }
    .figure()
}

fn losses(arm: &Arm<'_>) -> String {
    arm.seeds.iter().map(|run| loss(run.score.loss)).collect::<Vec<_>>().join(", ")
}

fn told(arm: &Arm<'_>, step: &str) -> String {
    format!("{}: predicted ×{} per {step}, loss {}", arm.name, number(arm.factor), losses(arm))
}

/// A strip for each place at which something stands.
fn strips(arms: &[Arm<'_>], step: &str) -> Vec<Strip> {
    let mut strips: Vec<Strip> = Vec::new();
    for arm in arms {
        match strips.last_mut() {
            Some(last) if (arm.factor / last.x).ln() < TOGETHER => last.reading += &format!(" · {}", told(arm, step)),
            _ => strips.push(Strip { x: arm.factor, reading: told(arm, step), layer: None }),
        }
    }
    strips
}

fn table(arms: &[Arm<'_>], step: &str) -> String {
    let row = |arm: &Arm<'_>| {
        let told = if arm.seeds.is_empty() { MISSING.to_owned() } else { losses(arm) };
        format!(
            "<tr><th scope=\"row\" class=\"words\">{}</th><td>×{}</td><td>{told}</td></tr>",
            text(&arm.name),
            number(arm.factor)
        )
    };
    format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\" class=\"words\">remedy</th><th scope=\"col\">predicted per {step}</th>\
         <th scope=\"col\">loss of each seed</th></tr></thead><tbody>{}</tbody></table></div>",
        arms.iter().map(row).collect::<String>()
    )
}
