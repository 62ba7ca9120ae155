//! The gradient's size at every layer, at the first and at the last recorded step, with what theory says of the first.

use std::sync::Arc;

use isogain_core::forecast;
use isogain_core::network::{Network, OpKind};
use isogain_core::recipe;
use isogain_core::theory::finite_width;

use super::by_layer::{ByLayer, Line};
use super::layers;
use crate::chart::Band;
use crate::digest::{Column, Digest};
use crate::markup::spoken_factor;

/// Standard deviations of theory's band to each side.
const DEVIATIONS: f64 = 2.0;

/// The chart; `None` without a recorded gradient.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    let rows = layers::rows(run);
    let has = |column: &&Arc<Column>| rows.iter().any(|&row| !Column::level(&column.cotangent, row).is_missing());
    let first = run.columns().iter().find(has)?;
    let last = run.columns().iter().rev().find(has)?;
    let names: Vec<String> = rows.iter().map(|&row| run.joints()[row].clone()).collect();
    let values = |column: &Column| -> Vec<Option<f64>> {
        rows.iter().map(|&row| Column::level(&column.cotangent, row).value()).collect()
    };
    let early = values(first);
    let mut lines = Vec::new();
    let mut bands = Vec::new();
    if let Some((expected, band)) = expected(run, &early) {
        lines.push(Line { class: "reference", name: "theory, before training".to_owned(), values: expected });
        bands.push(Band { class: "theory", edges: band });
    }
    let summary = format!(
        "From the last to the first layer the gradient changes by {} at step {} and by {} at step {}.",
        change(&early),
        first.step,
        change(&values(last)),
        last.step
    );
    let is_one = first.step == last.step;
    let class = if is_one { "alone" } else { "before" };
    lines.push(Line { class, name: format!("step {}", first.step), values: early });
    if !is_one {
        lines.push(Line { class: "after", name: format!("step {}", last.step), values: values(last) });
    }
    let chart = ByLayer {
        id: "depth",
        title: "Gradient by depth",
        summary,
        quantity: "rms of dL/d(output) (log scale)",
        is_log: true,
        layers: &names,
        lines: &lines,
        bands: &bands,
    };
    Some(chart.figure())
}

fn change(values: &[Option<f64>]) -> String {
    let mut ends = values.iter().flatten().filter(|value| **value > 0.0);
    match (ends.next(), ends.next_back()) {
        (Some(first), Some(last)) => spoken_factor((first / last).ln()),
        _ => "an unknown factor".to_owned(),
    }
}

type Expected = (Vec<Option<f64>>, Vec<(f64, f64, f64)>);

/// What theory expects from the last layer of the body back, and where 95 % of random networks of this width lie.
fn expected(run: &Digest, measured: &[Option<f64>]) -> Option<Expected> {
    let header = &run.overview().header;
    // Of networks that theory has a factor for: one linear layer after the other.
    let plain = |network: &Network| {
        network.ops.iter().all(|op| matches!(op.kind, OpKind::Linear(_) | OpKind::Activation { .. } | OpKind::Norm(_)))
    };
    if !plain(&header.network) || measured.len() < 3 {
        return None;
    }
    let recipe = recipe::parse(&header.recipe, "recipe").unwrap_or_default();
    let start = run.start()?;
    let factor = forecast::limits(&header.network, &recipe, start).gradient_rms_per_layer?;
    // The head's own cotangent is the loss's, not the chain's.
    let from = measured.len() - 2;
    let base = measured[from].filter(|rms| *rms > 0.0)?;
    let linear = header.network.ops.iter().find_map(|op| match &op.kind {
        OpKind::Linear(linear) => Some(linear),
        _ => None,
    })?;
    let q = start.joints.iter().find_map(|joint| joint.activation.mean_square()).unwrap_or(1.0);
    let law = finite_width::layer(linear.activation, q, linear.fan_out);
    let is_normed = header.network.ops.iter().any(|op| matches!(op.kind, OpKind::Norm(_)));
    let mut line = vec![None; measured.len()];
    let mut band = Vec::new();
    for layer in (0..=from).rev() {
        let layers = (from - layer) as f64;
        let middle = base * (layers * (factor.ln() + 0.5 * law.mean)).exp();
        let deviation = DEVIATIONS * 0.5 * (layers * law.variance).sqrt();
        line[layer] = Some(middle);
        band.push(((layer + 1) as f64, middle * (-deviation).exp(), middle * deviation.exp()));
    }
    band.reverse();
    // How networks with norms scatter has no such law.
    Some((line, if is_normed { Vec::new() } else { band }))
}
