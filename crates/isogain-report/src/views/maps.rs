//! Gradient, signal and update by layer over the steps of a recorded run.

use isogain_core::network::OpKind;
use isogain_core::record::{Run, StepRecord};
use isogain_core::render::numbers;
use isogain_core::statistics::Moments;

use crate::chart::{Cell, Heat, spaced};
use crate::markup::{MISSING, text};

/// Most rows of a map; of a deeper network, evenly spaced layers.
const MOST_ROWS: usize = 60;

/// Most columns; of more recorded steps, evenly spaced ones.
const MOST_COLUMNS: usize = 120;

/// Columns of the table beside a map.
const TABLE_COLUMNS: usize = 8;

/// Rows that a column reads out.
const READ_ROWS: usize = 5;

/// |update| / |weight| at which a step is neither timid nor bold: a rule of thumb, not a law.
const USUAL_UPDATE: f64 = 1e-3;

/// One value by row and step.
struct Map {
    rows: Vec<String>,
    steps: Vec<u64>,
    /// By row, then by column; `None` where it was not recorded, NaN where it was not finite.
    values: Vec<Vec<Option<f64>>>,
}

/// What a value is compared with.
enum Reference {
    /// The last row with a value in the same column.
    LastRow,
    /// The first row with a value in the same column.
    FirstRow,
    /// A number.
    Number(f64),
}

/// The maps that the run has numbers for.
pub(crate) fn figures(run: &Run) -> Vec<String> {
    let steps: Vec<&StepRecord> =
        spaced(run.steps.len(), MOST_COLUMNS).into_iter().map(|index| &run.steps[index]).collect();
    let layers = layers(run, &steps);
    let joint = |step: &StepRecord, name: &str, tell: fn(&isogain_core::record::JointRecord) -> Moments| {
        let measured = step.joints.iter().find(|joint| joint.name == name).map(tell)?;
        // A watcher that takes less of some steps leaves what it did not take empty.
        (measured.count > 0).then(|| rms(&measured))
    };
    let weights = weights(&steps);
    let ratio = |step: &StepRecord, name: &str| {
        let parameter = step.parameters.iter().find(|parameter| parameter.name == name)?;
        let (update, weight) = (rms(&parameter.update), rms(&parameter.weight));
        (parameter.update.count > 0 && weight != 0.0).then(|| update / weight)
    };
    let maps = [
        (
            [
                "gradient-map",
                "Gradient by layer, rms of dL/d(output)",
                "the last layer's, at the same step",
                "rms of dL/d(output)",
            ],
            Reference::LastRow,
            Map::of(&layers, &steps, |step, name| joint(step, name, |joint| joint.cotangent)),
        ),
        (
            ["signal-map", "Signal by layer, rms of the output", "the first layer's, at the same step", "output rms"],
            Reference::FirstRow,
            Map::of(&layers, &steps, |step, name| joint(step, name, |joint| joint.activation)),
        ),
        (
            [
                "update-map",
                "Update over weight, rms",
                "10<sup>−3</sup> of the weight, a rule of thumb",
                "rms of update over weight",
            ],
            Reference::Number(USUAL_UPDATE),
            Map::of(&weights, &steps, ratio),
        ),
    ];
    maps.into_iter().filter_map(|(words, reference, map)| map.figure(words, &reference)).collect()
}

/// RMS; NaN of values among which one is not finite.
fn rms(moments: &Moments) -> f64 {
    if moments.non_finite > 0 { f64::NAN } else { moments.rms().unwrap_or(f64::NAN) }
}

/// Operations that people call layers, in forward order; all recorded ones where the network names none of them.
fn layers(run: &Run, steps: &[&StepRecord]) -> Vec<String> {
    let is_layer = |kind: &OpKind| match kind {
        OpKind::Linear(_) | OpKind::Convolution(_) | OpKind::Residual(_) => true,
        OpKind::Recurrent(_) | OpKind::Embedding(_) => true,
        OpKind::Other(other) => other.weighted,
        _ => false,
    };
    let recorded = || steps.first().map_or(&[][..], |step| &step.joints[..]).iter().map(|joint| joint.name.clone());
    let named: Vec<&str> =
        run.header.network.ops.iter().filter(|op| is_layer(&op.kind)).map(|op| op.name.as_str()).collect();
    let found: Vec<String> = recorded().filter(|name| named.contains(&name.as_str())).collect();
    if found.is_empty() { recorded().collect() } else { found }
}

/// Weights; all parameters where none is called so.
fn weights(steps: &[&StepRecord]) -> Vec<String> {
    let recorded = || steps.first().map_or(&[][..], |step| &step.parameters[..]).iter().map(|found| found.name.clone());
    let found: Vec<String> = recorded().filter(|name| name.ends_with("weight")).collect();
    if found.is_empty() { recorded().collect() } else { found }
}

impl Map {
    fn of(names: &[String], steps: &[&StepRecord], value: impl Fn(&StepRecord, &str) -> Option<f64>) -> Self {
        let rows: Vec<String> = spaced(names.len(), MOST_ROWS).into_iter().map(|index| names[index].clone()).collect();
        let values = rows.iter().map(|name| steps.iter().map(|step| value(step, name)).collect()).collect();
        Self { rows, steps: steps.iter().map(|step| step.step).collect(), values }
    }

    /// `None` of a map without any value.
    fn figure(self, [id, title, reference, quantity]: [&'static str; 4], to: &Reference) -> Option<String> {
        if self.values.iter().flatten().all(Option::is_none) {
            return None;
        }
        let cells = self.cells(to);
        let readings: Vec<String> = (0..self.steps.len()).map(|column| self.reading(column)).collect();
        let heat = Heat {
            id,
            title,
            summary: self.summary(quantity),
            reference,
            rows: &self.rows,
            steps: &self.steps,
            cells: &cells,
            readings: &readings,
            table: self.table(),
        };
        Some(heat.figure())
    }

    fn cells(&self, to: &Reference) -> Vec<Vec<Cell>> {
        let known = |value: &f64| *value > 0.0 && value.is_finite();
        let reference = |column: usize| {
            let mut values = self.values.iter().filter_map(|row| row[column]).filter(known);
            match to {
                Reference::Number(number) => Some(*number),
                Reference::FirstRow => values.next(),
                Reference::LastRow => values.next_back(),
            }
        };
        let references: Vec<Option<f64>> = (0..self.steps.len()).map(reference).collect();
        let cell = |(value, reference): (&Option<f64>, &Option<f64>)| match (value, reference) {
            (None, _) => Cell::Missing,
            (Some(value), _) if !value.is_finite() => Cell::Lost,
            (Some(0.0), _) => Cell::Zero,
            (Some(_), None) => Cell::Missing,
            (Some(value), Some(reference)) => Cell::Decades((value / reference).log10()),
        };
        self.values.iter().map(|row| row.iter().zip(&references).map(cell).collect()).collect()
    }

    fn written(value: Option<f64>) -> String {
        value.map_or_else(|| MISSING.to_owned(), numbers::scientific)
    }

    fn reading(&self, column: usize) -> String {
        let rows = spaced(self.rows.len(), READ_ROWS).into_iter();
        let told = rows.map(|row| format!("{}: {}", self.rows[row], Self::written(self.values[row][column])));
        format!("step {} · {}", self.steps[column], told.collect::<Vec<_>>().join(" · "))
    }

    fn summary(&self, quantity: &str) -> String {
        let ends = |column: usize| {
            let value = |row: usize| Self::written(self.values[row][column]);
            format!(
                "{} at {} and {} at {}",
                value(0),
                self.rows[0],
                value(self.rows.len() - 1),
                self.rows[self.rows.len() - 1]
            )
        };
        let last = self.steps.len() - 1;
        format!("{quantity}: at step {} {}; at step {} {}.", self.steps[0], ends(0), self.steps[last], ends(last))
    }

    fn table(&self) -> String {
        let columns = spaced(self.steps.len(), TABLE_COLUMNS);
        let heads: String =
            columns.iter().map(|&column| format!("<th scope=\"col\">step {}</th>", self.steps[column])).collect();
        let row = |(name, values): (&String, &Vec<Option<f64>>)| {
            let cells: String =
                columns.iter().map(|&column| format!("<td>{}</td>", Self::written(values[column]))).collect();
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", text(name))
        };
        let rows: String = self.rows.iter().zip(&self.values).map(row).collect();
        format!(
            "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">layer</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    }
}
