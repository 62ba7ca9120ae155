//! The course of one layer's orders of magnitude: a ridge for each step, the first at the top, so that a spread that drifts
//! or narrows is seen. The chosen layer is shown; without a script, the first.

use isogain_core::record::TensorKind;

use super::layers;
use crate::chart::{at, field};
use crate::digest::{Digest, Ridge};
use crate::markup::text;

/// Layers that can be shown ([`layers::drawn`]).
const MOST_LAYERS: usize = 24;
/// Size of the drawing, in its own units.
const WIDTH: f64 = 560.0;
/// See [`WIDTH`].
const LEFT: f64 = 84.0;
/// See [`WIDTH`].
const RIGHT: f64 = 14.0;
/// Height of all rows together.
const HEIGHT: f64 = 230.0;
/// Most a row is high.
const HIGHEST: f64 = 30.0;
/// Room for the axis.
const BOTTOM: f64 = 42.0;
/// How far a ridge may reach over the row above, in rows.
const REACH: f64 = 2.2;

/// Cotangents.
pub(crate) fn cotangent(run: &Digest) -> Option<String> {
    figure(run, TensorKind::Cotangent, "over-time-cotangent", "Orders of magnitude of dL/d(output) over time")
}

/// Outputs.
pub(crate) fn activation(run: &Digest) -> Option<String> {
    figure(run, TensorKind::Activation, "over-time-activation", "Orders of magnitude of the output over time")
}

fn figure(run: &Digest, kind: TensorKind, id: &'static str, title: &'static str) -> Option<String> {
    let steps = run.ridges().steps();
    if steps.len() < 2 {
        return None;
    }
    let of_kind = |ridges: &'_ [Ridge]| ridges.iter().filter(|ridge| ridge.kind == kind).cloned().collect::<Vec<_>>();
    let by_step: Vec<(u64, Vec<Ridge>)> = steps.iter().map(|(step, ridges)| (*step, of_kind(ridges))).collect();
    let mut names: Vec<&str> = Vec::new();
    for ridge in by_step.iter().flat_map(|(_, ridges)| ridges) {
        if !names.contains(&ridge.name.as_str()) {
            names.push(&ridge.name);
        }
    }
    let names = layers::drawn(run, names, MOST_LAYERS, |name| name);
    let shown = by_step.iter().flat_map(|(_, ridges)| ridges).filter(|ridge| names.contains(&ridge.name.as_str()));
    let (low, high) =
        shown.fold((i32::MAX, i32::MIN), |(low, high), ridge| (low.min(ridge.first), high.max(ridge.last())));
    if low > high {
        return None;
    }
    let frame = Frame::new(low - 1, (high + 1).max(low + 6), by_step.len());
    let mut layers = String::new();
    let mut rows = String::new();
    let mut csv = String::from("step,layer,exponent that half of the values are above\n");
    for (index, name) in names.iter().enumerate() {
        let escaped = text(name);
        let mut paths = String::new();
        for (row, (step, ridges)) in by_step.iter().enumerate() {
            let Some(ridge) = ridges.iter().find(|ridge| ridge.name == *name) else { continue };
            paths += &frame.ridge(row, ridge, *step);
            csv += &format!("{step},{},{}\n", field(name), middle(ridge));
        }
        let class = if index == 0 { "course shown" } else { "course" };
        layers += &format!("<g class=\"{class}\" data-of=\"{escaped}\"><title>{escaped}</title>{paths}</g>\n");
        let middles = by_step.iter().map(|(_, ridges)| {
            let middle = ridges.iter().find(|ridge| ridge.name == *name).map(middle);
            format!(
                "<td>{}</td>",
                middle.map_or_else(|| "–".to_owned(), |middle| format!("2<sup>{middle}</sup>").replace('-', "−"))
            )
        });
        rows += &format!(
            "<tr data-layer=\"{escaped}\"><th scope=\"row\">{escaped}</th>{}</tr>",
            middles.collect::<String>()
        );
    }
    let heads: String = by_step.iter().map(|(step, _)| format!("<th scope=\"col\">step {step}</th>")).collect();
    let labels: String = (0..by_step.len())
        .map(|row| {
            let base = frame.base(row);
            format!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">step {}</text>",
                at(LEFT - 8.0),
                at(base),
                by_step[row].0
            )
        })
        .collect();
    let summary = format!(
        "{title}, at {} steps from {} to {}, of one layer at a time.",
        by_step.len(),
        by_step[0].0,
        by_step[by_step.len() - 1].0
    );
    Some(format!(
        "<figure class=\"chart courses\" data-view=\"{id}\">\n<figcaption><h3>{title}</h3><p class=\"scale\">of <b class=\"of\">{first}</b> \
         <span class=\"soft\">choose a layer anywhere to see its course</span></p></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" tabindex=\"0\" aria-labelledby=\"{id}-title {id}-summary\"><title id=\"{id}-title\">{title}</title>\
         <desc id=\"{id}-summary\">{summary}</desc>\n{ticks}<g class=\"grid\">{labels}</g>{layers}</svg>\n\
         <details><summary>The numbers: where half of the values are above</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\">layer</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>\n{csv}</figure>\n",
        first = text(names[0]),
        height = at(frame.bottom + BOTTOM),
        summary = text(&summary),
        ticks = frame.ticks(),
        csv = crate::chart::csv(&csv),
    ))
}

/// The exponent above which half of what a ridge holds lies.
fn middle(ridge: &Ridge) -> i32 {
    let all: u32 = ridge.heights.iter().map(|height| u32::from(*height)).sum();
    let mut below = 0;
    let at = ridge.heights.iter().position(|height| {
        below += u32::from(*height);
        2 * below >= all
    });
    ridge.first + at.unwrap_or(0) as i32
}

/// Where things lie.
struct Frame {
    low: i32,
    high: i32,
    row: f64,
    bottom: f64,
}

impl Frame {
    fn new(low: i32, high: i32, rows: usize) -> Self {
        let row = (HEIGHT / (rows as f64 + REACH - 1.0)).min(HIGHEST);
        Self { low, high, row, bottom: row * (rows as f64 + REACH - 1.0) + 4.0 }
    }

    fn place(&self, exponent: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (exponent - f64::from(self.low)) / f64::from(self.high + 1 - self.low)
    }

    fn base(&self, row: usize) -> f64 {
        self.row * (row as f64 + REACH) + 2.0
    }

    fn ridge(&self, row: usize, ridge: &Ridge, step: u64) -> String {
        let base = self.base(row);
        let mut path = format!("M{} {}", at(self.place(f64::from(ridge.first) - 0.5)), at(base));
        for (exponent, height) in (ridge.first..).zip(&ridge.heights) {
            let top = base - self.row * REACH * f64::from(*height) / 255.0;
            path += &format!("L{} {}", at(self.place(f64::from(exponent) + 0.5)), at(top));
        }
        path += &format!("L{} {}z", at(self.place(f64::from(ridge.last()) + 1.5)), at(base));
        format!("<path d=\"{path}\"><title>step {step}</title></path>")
    }

    fn ticks(&self) -> String {
        let step = ((self.high - self.low) / 7).max(1);
        let mut ticks = String::from("<g class=\"grid\">");
        for exponent in (self.low..=self.high).filter(|exponent| exponent.rem_euclid(step) == 0) {
            let x = at(self.place(f64::from(exponent)));
            ticks += &format!(
                "<path d=\"M{x} 0V{}\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">2<tspan dy=\"-4.5\" class=\"raised\">{}</tspan></text>",
                at(self.bottom),
                at(self.bottom + 16.0),
                exponent.to_string().replace('-', "−")
            );
        }
        ticks
            + &format!(
                "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">magnitude</text></g>\n",
                at(WIDTH - RIGHT),
                at(self.bottom + 34.0)
            )
    }
}
