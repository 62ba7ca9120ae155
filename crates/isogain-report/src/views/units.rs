//! Units that no sample moves: dead ones, whose output is always zero, and saturated ones, whose slope is nearly zero.

use super::by_layer::{ByLayer, Line};
use crate::digest::Digest;

/// The chart: counted units where a snapshot has them, else the share of outputs that are exactly zero.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    counted(run).or_else(|| zeros(run))
}

fn counted(run: &Digest) -> Option<String> {
    let snapshot = run.last_snapshot().filter(|snapshot| !snapshot.units.is_empty())?;
    let units = &snapshot.units;
    let names: Vec<String> = units.iter().map(|unit| unit.name.clone()).collect();
    let share = |count: usize, of: usize| Some(count as f64 / of.max(1) as f64);
    let lines = [
        Line {
            class: "c1",
            name: "dead units".to_owned(),
            values: units.iter().map(|unit| share(unit.dead, unit.units)).collect(),
        },
        Line {
            class: "c2",
            name: "saturated values".to_owned(),
            values: units.iter().map(|unit| Some(unit.saturated_fraction)).collect(),
        },
        Line {
            class: "c3",
            name: "repeated units".to_owned(),
            values: units.iter().map(|unit| share(unit.duplicates, unit.units)).collect(),
        },
    ];
    let dead: usize = units.iter().map(|unit| unit.dead).sum();
    let all: usize = units.iter().map(|unit| unit.units).sum();
    let summary = format!("At step {} {dead} of {all} units are zero on every sample.", snapshot.step);
    let chart = ByLayer {
        id: "units",
        title: "Dead and saturated units",
        summary,
        quantity: "share",
        is_log: false,
        layers: &names,
        lines: &lines,
        bands: &[],
    };
    Some(chart.figure())
}

fn zeros(run: &Digest) -> Option<String> {
    let (first, last) = (run.columns().first()?, run.columns().last()?);
    // Where no output is ever zero there is nothing to tell.
    let rows: Vec<usize> = (0..run.joints().len())
        .filter(|&row| run.columns().iter().any(|column| zero(&column.zeros, row).is_some_and(|share| share > 0.0)))
        .collect();
    if rows.is_empty() {
        return None;
    }
    let names: Vec<String> = rows.iter().map(|&row| run.joints()[row].clone()).collect();
    let values = |zeros: &[f32]| rows.iter().map(|&row| zero(zeros, row)).collect();
    let mut lines = vec![Line { class: "before", name: format!("step {}", first.step), values: values(&first.zeros) }];
    if last.step > first.step {
        lines.push(Line { class: "after", name: format!("step {}", last.step), values: values(&last.zeros) });
    }
    let chart = ByLayer {
        id: "units",
        title: "Outputs that are exactly zero",
        summary: format!(
            "Share of the outputs that are exactly zero at {} operations, at step {} and step {}. Half of them are zero behind a \
             ReLU that works; all of them behind one whose units are dead.",
            rows.len(),
            first.step,
            last.step
        ),
        quantity: "share of the outputs",
        is_log: false,
        layers: &names,
        lines: &lines,
        bands: &[],
    };
    Some(chart.figure())
}

fn zero(zeros: &[f32], row: usize) -> Option<f64> {
    zeros.get(row).filter(|share| !share.is_nan()).map(|share| f64::from(*share))
}
