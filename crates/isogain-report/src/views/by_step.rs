//! A line chart with the recorded steps below it.

use isogain_core::render::numbers;

use crate::chart::{Axis, Plot, Series, Strip, field, spaced};
use crate::markup::{MISSING, text};

/// Strips that the chart is read out by.
const STRIPS: usize = 80;
/// Rows of the table.
const ROWS: usize = 24;

/// One quantity by step.
pub(crate) struct Line {
    /// Class of the line.
    pub(crate) class: &'static str,
    /// What it is; no markup.
    pub(crate) name: String,
    /// By step; NaN where it was not finite, `None` where it was not recorded.
    pub(crate) values: Vec<Option<f64>>,
}

/// The chart.
pub(crate) struct ByStep<'a> {
    /// Unique in the page.
    pub(crate) id: &'static str,
    /// What it shows, a few words.
    pub(crate) title: &'static str,
    /// What is to be seen in it.
    pub(crate) summary: String,
    /// What stands below, `recorded step` as a rule.
    pub(crate) below: &'static str,
    /// The quantity on the left, with its unit.
    pub(crate) quantity: &'static str,
    /// The axis on the left.
    pub(crate) y: Axis,
    /// The steps.
    pub(crate) steps: &'a [u64],
    /// The lines.
    pub(crate) lines: &'a [Line],
    /// Whether the points are marked.
    pub(crate) dots: bool,
}

impl ByStep<'_> {
    pub(crate) fn figure(&self) -> String {
        let series = |line: &Line| Series {
            class: line.class,
            points: self
                .steps
                .iter()
                .zip(&line.values)
                .filter_map(|(step, value)| Some((*step as f64, (*value)?)))
                .collect(),
            dots: self.dots,
            name: String::new(),
        };
        let series: Vec<Series> = self.lines.iter().map(series).collect();
        let legend: Vec<(&str, String)> = self.lines.iter().map(|line| (line.class, text(&line.name))).collect();
        let written = |line: &Line, index: usize| {
            line.values.get(index).copied().flatten().map_or_else(|| MISSING.to_owned(), numbers::number)
        };
        let strip = |index: usize| {
            let told: Vec<String> =
                self.lines.iter().map(|line| format!("{} {}", line.name, written(line, index))).collect();
            let step = self.steps[index];
            Strip { x: step as f64, reading: format!("{} {step} · {}", self.below, told.join(" · ")), layer: None }
        };
        let strips: Vec<Strip> = spaced(self.steps.len(), STRIPS).into_iter().map(strip).collect();
        let heads: String =
            self.lines.iter().map(|line| format!("<th scope=\"col\">{}</th>", text(&line.name))).collect();
        let row = |index: usize| {
            let cells: String = self.lines.iter().map(|line| format!("<td>{}</td>", written(line, index))).collect();
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", self.steps[index])
        };
        let rows: String = spaced(self.steps.len(), ROWS).into_iter().map(row).collect();
        let mut csv = String::from("step");
        self.lines.iter().for_each(|line| csv += &format!(",{}", field(&line.name)));
        csv.push('\n');
        for (index, step) in self.steps.iter().enumerate() {
            csv += &step.to_string();
            for line in self.lines {
                let value = line.values.get(index).copied().flatten();
                csv += &value.map_or_else(|| ",".to_owned(), |value| format!(",{value:e}"));
            }
            csv.push('\n');
        }
        let ends = [self.steps.first(), self.steps.last()].map(|step| step.copied().unwrap_or(0) as f64);
        Plot {
            id: self.id,
            title: self.title,
            summary: self.summary.clone(),
            axes: [self.below, self.quantity],
            x: Axis::linear(ends[0], ends[1]),
            y: self.y,
            bands: &[],
            series: &series,
            legend: &legend,
            strips: &strips,
            table: format!(
                "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">{}</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>",
                self.below
            ),
            csv,
        }
        .figure()
    }
}
