//! A line chart with the layers below it, for the views that have one value for each.

use isogain_core::render::numbers;

use crate::chart::{Axis, Band, Plot, Series, Strip, field};
use crate::markup::{MISSING, text};

/// Layers that are read out; of more, evenly spaced ones.
const MOST_STRIPS: usize = 400;
/// Rows of the table.
const MOST_ROWS: usize = 200;

/// One quantity by layer.
pub(crate) struct Line {
    /// Class of the line.
    pub(crate) class: &'static str,
    /// What it is, as the legend says it; no markup.
    pub(crate) name: String,
    /// By layer; `None` where it was not measured, NaN where it was not finite.
    pub(crate) values: Vec<Option<f64>>,
}

/// The chart.
pub(crate) struct ByLayer<'a> {
    /// Unique in the page.
    pub(crate) id: &'static str,
    /// What it shows, a few words.
    pub(crate) title: &'static str,
    /// What is to be seen in it, one sentence.
    pub(crate) summary: String,
    /// The quantity on the left, with its unit.
    pub(crate) quantity: &'static str,
    /// Whether equal factors are equally far apart.
    pub(crate) is_log: bool,
    /// Names of the layers, from input to head.
    pub(crate) layers: &'a [String],
    /// The lines.
    pub(crate) lines: &'a [Line],
    /// A range, from layer 1 on.
    pub(crate) bands: &'a [Band],
}

impl ByLayer<'_> {
    pub(crate) fn figure(&self) -> String {
        let series: Vec<Series> = self.lines.iter().map(|line| self.series(line)).collect();
        let legend: Vec<(&str, String)> = self.lines.iter().map(|line| (line.class, text(&line.name))).collect();
        let strips: Vec<Strip> =
            crate::chart::spaced(self.layers.len(), MOST_STRIPS).into_iter().map(|index| self.strip(index)).collect();
        let all = self.lines.iter().flat_map(|line| line.values.iter().flatten().copied());
        let axis = if self.is_log {
            Axis::log(all, 2.0)
        } else {
            let finite: Vec<f64> = all.filter(|value| value.is_finite()).collect();
            let (low, high) =
                finite.iter().fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(*value), high.max(*value)));
            let margin = 0.05 * (high - low).max(0.02);
            Axis::linear(if low < 0.0 { low - margin } else { 0.0 }, high + margin)
        };
        Plot {
            id: self.id,
            title: self.title,
            summary: self.summary.clone(),
            axes: ["layer, from input to head", self.quantity],
            x: Axis::linear(1.0, self.layers.len() as f64),
            y: axis,
            bands: self.bands,
            series: &series,
            legend: &legend,
            strips: &strips,
            table: self.table(),
            csv: self.csv(),
        }
        .figure()
    }

    fn series(&self, line: &Line) -> Series {
        let points = line.values.iter().enumerate();
        let points = points.filter_map(|(index, value)| Some(((index + 1) as f64, (*value)?))).collect();
        Series {
            class: line.class,
            points,
            dots: self.layers.len() <= 80 && line.class != "reference",
            name: String::new(),
        }
    }

    fn written(&self, value: Option<f64>) -> String {
        let write = if self.is_log { numbers::scientific } else { numbers::number };
        value.map_or_else(|| MISSING.to_owned(), write)
    }

    fn strip(&self, index: usize) -> Strip {
        let value = |line: &Line| format!("{} {}", line.name, self.written(line.values.get(index).copied().flatten()));
        let told: Vec<String> = self.lines.iter().map(value).collect();
        let name = &self.layers[index];
        Strip { x: (index + 1) as f64, reading: format!("{name} · {}", told.join(" · ")), layer: Some(name.clone()) }
    }

    fn table(&self) -> String {
        let heads: String =
            self.lines.iter().map(|line| format!("<th scope=\"col\">{}</th>", text(&line.name))).collect();
        let row = |index: usize| {
            let cell = |line: &Line| format!("<td>{}</td>", self.written(line.values.get(index).copied().flatten()));
            let name = text(&self.layers[index]);
            let cells: String = self.lines.iter().map(cell).collect();
            format!("<tr data-layer=\"{name}\"><th scope=\"row\">{name}</th>{cells}</tr>")
        };
        let rows: String = crate::chart::spaced(self.layers.len(), MOST_ROWS).into_iter().map(row).collect();
        format!(
            "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">layer</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    }

    fn csv(&self) -> String {
        let mut csv = String::from("layer");
        self.lines.iter().for_each(|line| csv += &format!(",{}", field(&line.name)));
        csv.push('\n');
        for (index, name) in self.layers.iter().enumerate() {
            csv += &field(name);
            for line in self.lines {
                let value = line.values.get(index).copied().flatten();
                csv += &value.map_or_else(|| ",".to_owned(), |value| format!(",{value:e}"));
            }
            csv.push('\n');
        }
        csv
    }
}
