//! The whole gradient's change, taken apart into the factors of the chain rule: each bar starts where the one above it
//! ends.

use std::f64::consts::LN_10;

use isogain_core::flow::profile::causes;
use isogain_core::flow::{Cause, Flow};
use isogain_core::record::Snapshot;
use isogain_core::render::numbers::percent;
use isogain_core::render::words;
use isogain_core::rules::CauseShare;

use crate::chart::{Axis, at};
use crate::markup::{factor, signed, spoken_factor, text};

/// Size of the drawing, in its own units.
const WIDTH: f64 = 560.0;
/// Where the bars begin; labels stand before.
const LEFT: f64 = 122.0;
/// Where the bars end; values stand behind.
const RIGHT: f64 = 430.0;
/// Height of a row.
const ROW: f64 = 30.0;
/// Room for the axis below.
const BOTTOM: f64 = 40.0;

/// The charts, side by side on one scale; `after` is the cured network.
pub(crate) fn figures(before: &Flow, after: Option<&Flow>) -> String {
    let first = if after.is_some() { "Before" } else { "From head to input" };
    side_by_side(before, after, [first, "After"])
}

fn side_by_side(before: &Flow, after: Option<&Flow>, [title, later]: [&str; 2]) -> String {
    let before = causes(&before.joints);
    let after = after.map(|after| causes(&after.joints));
    if before.is_empty() {
        return "<p>The network has no layer before its head, or its gradient is zero or not finite.</p>".to_owned();
    }
    let mut order: Vec<Cause> = before.iter().map(|share| share.cause).collect();
    for share in after.iter().flatten() {
        if !order.contains(&share.cause) {
            order.push(share.cause);
        }
    }
    let ends = cumulated(&before).into_iter().chain(after.iter().flat_map(|after| cumulated(after)));
    let (low, high) = ends.fold((0.0_f64, 0.0_f64), |(low, high), end| (low.min(end), high.max(end)));
    let margin = 0.03 * (high - low).max(0.1);
    let axis = Axis::linear(low - margin, high + margin).drawn(LEFT, RIGHT);
    let class = if after.is_some() { "before" } else { "alone" };
    let mut figures = figure(("waterfall-before", class, title), &before, &order, &axis);
    if let Some(after) = &after {
        figures += &figure(("waterfall-after", "after", later), after, &order, &axis);
    }
    figures
}

/// The charts of a recorded run; `None` where the snapshot has no chain.
pub(crate) fn recorded(first: &Snapshot, last: &Snapshot) -> Option<String> {
    if causes(&first.flow.joints).is_empty() {
        return None;
    }
    let titles = [first, last].map(|snapshot| format!("From head to input at step {}", snapshot.step));
    let after = (last.step > first.step).then_some(&last.flow);
    Some(side_by_side(&first.flow, after, titles.each_ref().map(String::as_str)))
}

/// Where each bar ends, in decades.
fn cumulated(shares: &[CauseShare]) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |share: &CauseShare| {
        sum += share.log_gain / LN_10;
        sum
    };
    shares.iter().map(add).collect()
}

fn figure((id, class, title): (&str, &str, &str), shares: &[CauseShare], order: &[Cause], axis: &Axis) -> String {
    let total: f64 = shares.iter().map(|share| share.log_gain).sum();
    let mut bars = String::new();
    let mut rows = String::new();
    let mut csv = String::from("cause,nepers\n");
    let mut from = 0.0;
    // Where the factors cancel, shares of what little is left would only mislead.
    let is_shared = total.abs() > LN_10;
    for (index, cause) in order.iter().enumerate() {
        let share = shares.iter().find(|share| share.cause == *cause);
        let log_gain = share.map_or(0.0, |share| share.log_gain);
        let to = from + log_gain / LN_10;
        let kind = if log_gain < 0.0 { "shrinks" } else { "grows" };
        bars +=
            &row(index, words::cause(*cause), kind, [from, to], &value(log_gain, share.filter(|_| is_shared)), axis);
        if index + 1 < order.len() {
            bars += &link(index, to, axis);
        }
        rows += &table_row(*cause, share.filter(|_| is_shared), log_gain);
        csv += &format!("{},{log_gain}\n", words::cause(*cause));
        from = to;
    }
    let count = order.len();
    bars += &format!("<path class=\"axis\" d=\"M{} {}H{}\"/>", at(0.0), at(ROW * count as f64 + 2.0), at(WIDTH));
    bars += &row(count, "all together", "total", [0.0, total / LN_10], &value(total, None), axis);
    let height = ROW * (count + 1) as f64 + 6.0;
    let told: Vec<String> =
        shares.iter().map(|share| format!("{} {}", words::cause(share.cause), spoken_factor(share.log_gain))).collect();
    let summary = format!("From head to input the gradient changes by {}: {}.", spoken_factor(total), told.join(", "));
    format!(
        "<figure class=\"chart {class}\" data-view=\"{id}\">\n<figcaption><h3>{title}: {}</h3></figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-labelledby=\"{id}-title {id}-summary\">\
         <title id=\"{id}-title\">{title}: causes</title><desc id=\"{id}-summary\">{}</desc>\n{}{bars}</svg>\n\
         <details><summary>The numbers</summary><div class=\"scroll\"><table><thead><tr><th scope=\"col\">factor of the chain rule</th>\
         <th scope=\"col\">what it is</th><th scope=\"col\">factor</th><th scope=\"col\">share</th></tr></thead>\
         <tbody>{rows}</tbody></table></div></details>\n{csv}</figure>\n",
        factor(total),
        at(height + BOTTOM),
        text(&summary),
        ticks(axis, height),
        csv = crate::chart::csv(&csv),
    )
}

fn ticks(axis: &Axis, height: f64) -> String {
    let mut grid = String::from("<g class=\"grid\">");
    for (value, label) in axis.ticks() {
        let Some(place) = axis.place(value) else { continue };
        let class = if value == 0.0 { " class=\"zero\"" } else { "" };
        grid += &format!(
            "<path{class} d=\"M{} 2V{}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            at(place),
            at(height),
            at(place),
            at(height + 15.0)
        );
    }
    grid + &format!(
        "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">powers of ten</text></g>\n",
        at(0.5 * (LEFT + RIGHT)),
        at(height + 33.0)
    )
}

fn row(index: usize, name: &str, class: &str, [from, to]: [f64; 2], value: &str, axis: &Axis) -> String {
    let top = ROW * index as f64 + 6.0;
    let (Some(from), Some(to)) = (axis.place(from), axis.place(to)) else { return String::new() };
    let (left, right) = (from.min(to), from.max(to));
    // A bar of no length would not be seen.
    let width = (right - left).max(1.5);
    format!(
        "<text class=\"label\" x=\"0\" y=\"{y}\">{name}</text>\
         <rect class=\"bar {class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"1.5\"/>\
         {value}",
        at(left),
        at(top),
        at(width),
        at(ROW - 10.0),
        y = at(top + 14.5),
        value = value.replace("{y}", &at(top + 14.5)),
    )
}

/// Smaller shares are not written.
const SMALLEST_SHARE: f64 = 0.005;

/// Where the factors end.
const FACTORS: f64 = 508.0;

/// Factor and share as the text of a drawing, in two columns, at the height `{y}`.
fn value(log_gain: f64, share: Option<&CauseShare>) -> String {
    let share =
        share.filter(|share| share.share >= SMALLEST_SHARE).map_or_else(String::new, |share| percent(share.share));
    format!(
        "<text class=\"value\" x=\"{FACTORS}\" y=\"{{y}}\" text-anchor=\"end\">{}</text>\
         <text x=\"{WIDTH}\" y=\"{{y}}\" text-anchor=\"end\">{share}</text>",
        label(log_gain)
    )
}

/// A factor as the text of a drawing, the exponent raised.
fn label(log_gain: f64) -> String {
    let decades = log_gain / LN_10;
    if decades.abs() < 3.0 {
        return spoken_factor(log_gain);
    }
    format!("×10<tspan dy=\"-4.5\" class=\"raised\">{}</tspan>", signed(decades))
}

/// The thin line from the end of one bar to the start of the next.
fn link(index: usize, to: f64, axis: &Axis) -> String {
    let Some(place) = axis.place(to) else { return String::new() };
    let top = ROW * index as f64 + ROW - 4.0;
    format!("<path class=\"link\" d=\"M{} {}v10\"/>", at(place), at(top))
}

fn table_row(cause: Cause, share: Option<&CauseShare>, log_gain: f64) -> String {
    let share = share.filter(|share| share.share > 0.0).map_or_else(String::new, |share| percent(share.share));
    format!(
        "<tr><th scope=\"row\">{}</th><td class=\"words\">{}</td><td>{}</td><td>{share}</td></tr>",
        words::cause(cause),
        words::cause_meaning(cause),
        factor(log_gain)
    )
}
