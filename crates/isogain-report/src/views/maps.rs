//! Gradient, signal and update by layer over the steps of a recorded run.

use isogain_core::render::numbers;

use super::layers;
use crate::chart::{Heat, Reference, shade_of, spaced};
use crate::digest::{Column, Digest, Level};
use crate::markup::{MISSING, text};

/// Most rows of a map; of a deeper network, evenly spaced layers.
const MOST_ROWS: usize = 1024;

/// Columns of the table beside a map.
const TABLE_COLUMNS: usize = 8;

/// Rows of it.
const TABLE_ROWS: usize = 60;

/// |update| / |weight| at which a step is neither timid nor bold: a rule of thumb, not a law.
const USUAL_UPDATE: f64 = 1e-3;

/// dL/d(output) by layer and step.
pub(crate) fn gradient(run: &Digest) -> Option<String> {
    gradient_of(run, "gradient-map", 0.0)
}

/// The same under another name, with shades of at least so many powers of ten: maps side by side have the same ones.
pub(crate) fn gradient_of(run: &Digest, id: &'static str, shade: f64) -> Option<String> {
    gradients(run).figure(
        [id, "Gradient by layer, rms of dL/d(output)", "the last layer's, at the same step"],
        "rms of dL/d(output)",
        (Reference::LastRow, shade),
    )
}

/// Powers of ten of one shade of its map; `None` without one.
pub(crate) fn gradient_shade(run: &Digest) -> Option<f64> {
    let map = gradients(run);
    (!map.steps.is_empty()).then(|| shade_of(&map.values, Reference::LastRow))
}

fn gradients(run: &Digest) -> Map {
    Map::of(run, run.joints(), layers::rows(run), |column, row| Column::level(&column.cotangent, row))
}

/// The output's size by layer and step.
pub(crate) fn signal(run: &Digest) -> Option<String> {
    let map = Map::of(run, run.joints(), layers::rows(run), |column, row| Column::level(&column.activation, row));
    map.figure(
        ["signal-map", "Signal by layer, rms of the output", "the first layer's, at the same step"],
        "output rms",
        (Reference::FirstRow, 0.0),
    )
}

/// What one step does to each weight.
pub(crate) fn update(run: &Digest) -> Option<String> {
    let ratio =
        |column: &Column, row: usize| Column::level(&column.update, row).over(Column::level(&column.weight, row));
    Map::of(run, run.parameters(), layers::weights(run), ratio).figure(
        ["update-map", "Update over weight, rms", "10<sup>−3</sup> of the weight, a rule of thumb"],
        "rms of update over weight",
        (Reference::Number(USUAL_UPDATE), 0.0),
    )
}

/// One value by row and step.
struct Map {
    rows: Vec<String>,
    steps: Vec<u64>,
    /// By row, then by column.
    values: Vec<Vec<Level>>,
}

impl Map {
    fn of(run: &Digest, names: &[String], rows: Vec<usize>, value: impl Fn(&Column, usize) -> Level) -> Self {
        let rows: Vec<usize> = spaced(rows.len(), MOST_ROWS).into_iter().map(|index| rows[index]).collect();
        let values: Vec<Vec<Level>> =
            rows.iter().map(|&row| run.columns().iter().map(|column| value(column, row)).collect()).collect();
        // A watcher that takes less of some steps leaves what it did not take empty: such steps have no column here.
        let taken: Vec<usize> = (0..run.columns().len())
            .filter(|&column| values.iter().any(|row: &Vec<Level>| !row[column].is_missing()))
            .collect();
        Self {
            rows: rows.iter().map(|&row| names[row].clone()).collect(),
            steps: taken.iter().map(|&column| run.columns()[column].step).collect(),
            values: values.iter().map(|row| taken.iter().map(|&column| row[column]).collect()).collect(),
        }
    }

    /// `None` of a map without any value.
    fn figure(
        self,
        [id, title, reference]: [&'static str; 3],
        quantity: &str,
        (to, shade): (Reference, f64),
    ) -> Option<String> {
        if self.steps.is_empty() {
            return None;
        }
        let heat = Heat {
            id,
            title,
            summary: self.summary(quantity),
            to,
            shade,
            reference,
            rows: &self.rows,
            steps: &self.steps,
            values: &self.values,
            table: self.table(),
        };
        Some(heat.figure())
    }

    fn written(level: Level) -> String {
        level.value().map_or_else(|| MISSING.to_owned(), numbers::scientific)
    }

    fn summary(&self, quantity: &str) -> String {
        let ends = |column: usize| {
            let value = |row: usize| Self::written(self.values[row][column]);
            let last = self.rows.len() - 1;
            format!("{} at {} and {} at {}", value(0), self.rows[0], value(last), self.rows[last])
        };
        let last = self.steps.len() - 1;
        format!("{quantity}: at step {} {}; at step {} {}.", self.steps[0], ends(0), self.steps[last], ends(last))
    }

    fn table(&self) -> String {
        let columns = spaced(self.steps.len(), TABLE_COLUMNS);
        let heads: String =
            columns.iter().map(|&column| format!("<th scope=\"col\">step {}</th>", self.steps[column])).collect();
        let row = |index: usize| {
            let name = text(&self.rows[index]);
            let values = &self.values[index];
            let cells: String =
                columns.iter().map(|&column| format!("<td>{}</td>", Self::written(values[column]))).collect();
            format!("<tr data-layer=\"{name}\"><th scope=\"row\">{name}</th>{cells}</tr>")
        };
        let rows: String = spaced(self.rows.len(), TABLE_ROWS).into_iter().map(row).collect();
        format!(
            "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">layer</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    }
}
