//! How attention spreads over the positions, by step: an entropy near 0 looks at one position, near 1 at all alike.

use isogain_core::render::numbers::number;

use super::by_step::{ByStep, Line};
use crate::chart::{Axis, spaced};
use crate::digest::Digest;

/// Layers that are drawn; of more, evenly spaced ones.
const MOST_LAYERS: usize = 6;

/// Classes of lines, in order.
const CLASSES: [&str; MOST_LAYERS] = ["c1", "c2", "c3", "c4", "c5", "alone"];

/// The chart; `None` where no attention was recorded.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    let columns: Vec<_> = run.columns().iter().filter(|column| !column.attention.is_empty()).collect();
    let mut rows: Vec<usize> = columns.iter().flat_map(|column| column.attention.iter().map(|(row, _)| *row)).collect();
    rows.sort_unstable();
    rows.dedup();
    let rows: Vec<usize> = spaced(rows.len(), MOST_LAYERS).into_iter().map(|index| rows[index]).collect();
    let last = columns.last()?;
    let steps: Vec<u64> = columns.iter().map(|column| column.step).collect();
    let found = |column: &crate::digest::Column, row: usize| {
        column.attention.iter().find(|(of, _)| *of == row).map(|(_, attention)| *attention)
    };
    let lines: Vec<Line> = rows
        .iter()
        .zip(CLASSES)
        .map(|(&row, class)| Line {
            class,
            name: run.joints()[row].clone(),
            values: columns.iter().map(|column| found(column, row).map(|attention| attention.entropy)).collect(),
        })
        .collect();
    let told: Vec<String> = rows
        .iter()
        .filter_map(|&row| {
            let attention = found(last, row)?;
            Some(format!(
                "{} entropy {}, largest logit {}",
                run.joints()[row],
                number(attention.entropy),
                number(attention.largest_logit)
            ))
        })
        .collect();
    let chart = ByStep {
        id: "attention",
        title: "How attention spreads",
        summary: format!("At step {}: {}.", last.step, told.join("; ")),
        below: "recorded step",
        quantity: "entropy over its largest value",
        y: Axis::linear(0.0, 1.0),
        steps: &steps,
        lines: &lines,
        dots: steps.len() <= 80,
    };
    Some(chart.figure())
}
