//! The network in one strip: a cell for each layer, coloured by what is wrong there. It stays in sight and chooses the
//! layer that every view shows.

use isogain_core::flow::Flow;
use isogain_core::flow::profile::Profile;
use isogain_core::recipe::Level as Severity;
use isogain_core::rules::Finding;

use super::layers;
use crate::chart::at;
use crate::digest::{Column, Digest};
use crate::markup::text;

/// Width and height of the drawing, in its own units.
const WIDTH: f64 = 1000.0;
/// See [`WIDTH`].
const HEIGHT: f64 = 22.0;

/// The strip; empty where no layer was recorded.
pub(crate) fn strip(run: &Digest) -> String {
    let rows = layers::rows(run);
    let names: Vec<&str> = rows.iter().map(|&row| run.joints()[row].as_str()).collect();
    let is_lost = |index: usize| {
        run.columns().last().is_some_and(|last| {
            [&last.activation, &last.cotangent].iter().any(|levels| Column::level(levels, rows[index]).is_lost())
        })
    };
    drawn(&names, &run.overview().findings, is_lost)
}

/// The strip of one batch before training: the layers that the gradient comes back through.
pub(crate) fn of_flow(flow: &Flow, findings: &[Finding]) -> String {
    let profile = Profile::of(flow);
    let names: Vec<&str> = profile.layers.iter().map(|layer| layer.name.as_str()).collect();
    drawn(&names, findings, |index| !profile.layers[index].cotangent_rms.is_finite())
}

fn drawn(names: &[&str], findings: &[Finding], is_lost: impl Fn(usize) -> bool) -> String {
    if names.is_empty() {
        return String::new();
    }
    let mut health: Vec<(u8, Vec<&str>)> = vec![(0, Vec::new()); names.len()];
    findings.iter().for_each(|finding| mark(finding, names, &mut health));
    for (index, health) in health.iter_mut().enumerate() {
        if is_lost(index) {
            *health = (3, vec!["not finite"]);
        }
    }
    let width = WIDTH / names.len() as f64;
    // Between many layers a gap would be wider than a layer.
    let gap = if names.len() <= 120 { 0.12 * width } else { 0.0 };
    let cell = |(index, (name, (health, why))): (usize, (&&str, &(u8, Vec<&str>)))| {
        let class = ["fine", "warned", "ill", "lost"][usize::from(*health)];
        let why = if why.is_empty() { "nothing found".to_owned() } else { why.join(", ") };
        format!(
            "<rect class=\"{class}\" data-layer=\"{name}\" x=\"{}\" y=\"0\" width=\"{}\" height=\"{HEIGHT}\"><title>{name}: {}</title></rect>",
            at(width * index as f64),
            (100.0 * (width - gap)).round() / 100.0,
            text(&why),
            name = text(name),
        )
    };
    let cells: String = names.iter().zip(&health).enumerate().map(cell).collect();
    let count = |wanted: u8| health.iter().filter(|(health, _)| *health == wanted).count();
    format!(
        "<nav class=\"network\" data-view=\"network\" aria-label=\"Layers\">\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" tabindex=\"0\" aria-label=\"{} layers from input to head: \
         {} without a finding, {} with a warning, {} ill, {} not finite. Arrow keys choose one.\">{cells}</svg>\n\
         <p class=\"chosen soft\" aria-live=\"polite\">{} layers, input on the left, head on the right</p></nav>\n",
        names.len(),
        count(0),
        count(1),
        count(2),
        count(3),
        names.len()
    )
}

/// Marks the layers from the finding's first to its last.
fn mark<'a>(finding: &'a Finding, names: &[&str], health: &mut [(u8, Vec<&'a str>)]) {
    let place = |name: &str| {
        names
            .iter()
            .position(|known| *known == name || name.strip_prefix(known).is_some_and(|rest| rest.starts_with('.')))
    };
    let [first, last] = finding.layers.each_ref().map(|name| place(name));
    let severity = match finding.level {
        Severity::Deny => 2,
        Severity::Warn => 1,
        Severity::Note | Severity::Allow => return,
    };
    if let (Some(first), Some(last)) = (first.or(last), last.or(first)) {
        for (found, why) in &mut health[first.min(last)..=first.max(last)] {
            *found = (*found).max(severity);
            if !why.contains(&finding.rule.as_str()) {
                why.push(&finding.rule);
            }
        }
    }
    finding.consequences.iter().for_each(|finding| mark(finding, names, health));
}
