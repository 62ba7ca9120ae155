//! The recorded steps around the first value that was not finite: what grew, and where it broke.

use isogain_core::render::numbers;

use super::layers;
use crate::chart::{field, spaced};
use crate::digest::{Column, Digest, Flight, Level};
use crate::markup::{MISSING, text};

/// Layers that are shown; of more, evenly spaced ones and the broken one.
const MOST_LAYERS: usize = 12;

/// The table; `None` of a run in which everything was finite.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    let flight = run.flight()?;
    let heads: String = flight.columns.iter().enumerate().map(|(index, column)| head(flight, index, column)).collect();
    let losses: String = flight
        .columns
        .iter()
        .map(|column| format!("<td>{}</td>", numbers::loss(column.loss.is_finite().then_some(column.loss))))
        .collect();
    let all = layers::rows(run);
    let mut rows: Vec<usize> = spaced(all.len(), MOST_LAYERS).into_iter().map(|index| all[index]).collect();
    rows.extend(run.joint_row(&flight.name));
    rows.sort_unstable();
    rows.dedup();
    let part = |word: &str, tell: fn(&Column) -> &[Level]| -> String {
        rows.iter().map(|&row| line(run, flight, word, row, tell)).collect()
    };
    let body = format!(
        "<tr><th scope=\"row\">loss</th>{losses}</tr>{}{}",
        part("output", |column| &column.activation),
        part("cotangent", |column| &column.cotangent)
    );
    let name = text(&flight.name);
    let step = flight.step();
    Some(format!(
        "<figure class=\"chart flight\" data-view=\"flight\">\n<figcaption><h3>The first value that was not finite</h3>\
         <p class=\"scale\">step {step}: {} of <b>{name}</b></p></figcaption>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Recorded steps around step {step}\"><table><thead><tr><th scope=\"col\">rms</th>{heads}</tr></thead>\
         <tbody>{body}</tbody></table></div>\n{}</figure>\n",
        flight.what,
        crate::chart::csv(&csv(run, flight, &rows))
    ))
}

fn head(flight: &Flight, index: usize, column: &Column) -> String {
    let class = if index == flight.broken { " class=\"broken\"" } else { "" };
    format!("<th scope=\"col\"{class}>step {}</th>", column.step)
}

fn line(run: &Digest, flight: &Flight, word: &str, row: usize, tell: fn(&Column) -> &[Level]) -> String {
    let name = text(&run.joints()[row]);
    let cell = |column: &std::sync::Arc<Column>| {
        let level = Column::level(tell(column), row);
        let class = if level.is_lost() { " class=\"broken\"" } else { "" };
        let value = if level.is_lost() {
            "NaN or infinite".to_owned()
        } else {
            level.value().map_or_else(|| MISSING.to_owned(), numbers::scientific)
        };
        format!("<td{class}>{value}</td>")
    };
    let cells: String = flight.columns.iter().map(cell).collect();
    format!("<tr data-layer=\"{name}\"><th scope=\"row\">{name} <span class=\"soft\">{word}</span></th>{cells}</tr>")
}

fn csv(run: &Digest, flight: &Flight, rows: &[usize]) -> String {
    let mut csv = String::from("step,name,kind,rms\n");
    for column in &flight.columns {
        for (word, levels) in [("output", &column.activation), ("cotangent", &column.cotangent)] {
            for &row in rows {
                let value = Column::level(levels, row).value();
                let value = value.map_or_else(String::new, |value| format!("{value:e}"));
                csv += &format!("{},{},{word},{value}\n", column.step, field(&run.joints()[row]));
            }
        }
    }
    csv
}
