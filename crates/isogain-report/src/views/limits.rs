//! How deep such a network can be by theory: five ceilings, of which the lowest binds.

use isogain_core::flow::profile::Profile;
use isogain_core::render::words;
use isogain_core::summary::CheckReport;
use isogain_core::theory::limits::{Ceiling, CeilingEstimate};

use crate::chart::{Axis, at};
use crate::markup::prose;

/// Size of a ceiling's bar.
const BAR: [f64; 2] = [240.0, 22.0];

/// Ceilings beyond this many times the network's depth need not be told apart.
const FAR: f64 = 100.0;

/// The ceilings as a table of bars, the network's depth a line through them.
pub(crate) fn table(report: &CheckReport) -> String {
    let depth = Profile::of(&report.flow).layers.len() as f64;
    let ceilings = &report.limits.ceilings;
    let depths = ceilings.iter().filter_map(|ceiling| ceiling.depth).map(|depth| depth.max(1.0));
    let far = FAR * depth.max(1.0);
    let axis =
        Axis::log(depths.filter(|depth| *depth <= far).chain([1.0, depth.max(2.0)]), 1.0).drawn(2.0, BAR[0] - 6.0);
    let rows: String = ceilings.iter().map(|ceiling| row(ceiling, report, depth, &axis)).collect();
    format!(
        "<p>{}</p>\n<div class=\"scroll\"><table class=\"limits\"><thead><tr><th scope=\"col\" class=\"words\">ceiling</th>\
         <th scope=\"col\" class=\"words\">depth it allows, log scale; the line is this network</th><th scope=\"col\">layers</th>\
         <th scope=\"col\" class=\"words\">why</th></tr></thead><tbody>{rows}</tbody></table></div>\n",
        prose(&sentence(report, depth))
    )
}

fn sentence(report: &CheckReport, depth: f64) -> String {
    if let (Some(Ceiling::Memory), Some(memory)) = (report.limits.binding, words::trainable_depth(report)) {
        return format!("By theory such a network {memory}.");
    }
    match report.limits.trainable_depth {
        None => format!("Theory sets no limit to the depth of such a network; this one has {depth:.0} layers."),
        Some(limit) => {
            let binding = report.limits.binding.map_or("", words::ceiling);
            let limit_text = words::depth_number(limit);
            let compared = if depth > limit { "deeper than" } else { "within" };
            format!(
                "Theory lets such a network train to about {limit_text} layers, limited by {binding}; \
                 with {depth:.0} layers this one is {compared} that."
            )
        }
    }
}

fn row(ceiling: &CeilingEstimate, report: &CheckReport, depth: f64, axis: &Axis) -> String {
    let is_binding = report.limits.binding == Some(ceiling.ceiling);
    let (class, mark) =
        if is_binding { (" class=\"chosen\"", " <span class=\"badge warn\">binds</span>") } else { ("", "") };
    let allowed = ceiling.depth.map_or_else(|| "no limit".to_owned(), words::depth_number);
    format!(
        "<tr{class}><th scope=\"row\" class=\"words\">{}{mark} <small>{}</small></th><td class=\"words\">{}</td><td>{allowed}</td>\
         <td class=\"words\">{}</td></tr>\n",
        words::ceiling(ceiling.ceiling),
        ceiling.ceiling.beyond(),
        bar(ceiling, is_binding, depth, axis),
        prose(&ceiling.why)
    )
}

fn bar(ceiling: &CeilingEstimate, is_binding: bool, depth: f64, axis: &Axis) -> String {
    let [width, height] = BAR;
    let end = ceiling.depth.map_or(width, |depth| axis.place(depth.max(1.0)).unwrap_or(width));
    let class = match (is_binding, ceiling.depth) {
        (true, _) => "bar binding",
        (false, Some(_)) => "bar",
        (false, None) => "bar open",
    };
    let start = axis.place(1.0).unwrap_or(0.0);
    let line = axis.place(depth.max(1.0)).unwrap_or(0.0);
    let length = (end.min(width) - start).max(2.0);
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" aria-hidden=\"true\">\
         <rect class=\"{class}\" x=\"{}\" y=\"5\" width=\"{}\" height=\"{}\" rx=\"1.5\"/><path class=\"mark\" d=\"M{} 0V{height}\"/></svg>",
        at(start),
        at(length),
        at(height - 10.0),
        at(line)
    )
}
