//! Which of five kinds of illness a gradient has, and how layers let directions through, as tables.

use isogain_core::flow::{Asked, Flow, Jacobian};
use isogain_core::render::differential::{heading, meaning, name, reason, word};
use isogain_core::render::numbers::{factor, number};
use isogain_core::rules::differential::Told;

use crate::markup::{capital, prose, text};

/// Rows of the table of layers; of more, those with the largest spread.
const MOST_ROWS: usize = 24;

/// The kinds, then the layers; empty where nobody asked.
pub(crate) fn table(told: &[Told], flow: &Flow) -> String {
    if told.is_empty() {
        return String::new();
    }
    let row = |told: &Told| {
        format!(
            "<tr><th scope=\"row\" class=\"words\">{}</th><td class=\"words\">{}</td><td class=\"words\">{}</td>\
             <td class=\"words\">{}</td><td class=\"words\">{}</td></tr>",
            name(told.kind),
            word(told.verdict),
            meaning(told.kind),
            prose(&reason(told)),
            text(&told.remedies.join(", "))
        )
    };
    let rows: String = told.iter().map(row).collect();
    format!(
        "<div class=\"scroll\"><table><caption>{}</caption><thead><tr><th scope=\"col\" class=\"words\">kind</th>\
         <th scope=\"col\" class=\"words\">has it</th><th scope=\"col\" class=\"words\">what it is</th>\
         <th scope=\"col\" class=\"words\">measured</th><th scope=\"col\" class=\"words\">remedies for it</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>\n{}",
        prose(&capital(&heading(told))),
        layers(flow)
    )
}

fn layers(flow: &Flow) -> String {
    let jacobian = match &flow.jacobian {
        Some(Asked::Told(jacobian)) => jacobian,
        // The row of the kind says why.
        Some(Asked::LeftOut { .. }) | None => return String::new(),
    };
    let mut chosen: Vec<usize> = (0..jacobian.layers.len()).collect();
    let count = chosen.len();
    chosen.sort_by(|&a, &b| jacobian.layers[b].spread.total_cmp(&jacobian.layers[a].spread));
    chosen.truncate(MOST_ROWS);
    chosen.sort_unstable();
    let row = |what: &str, log_gain: f64, spread: f64| {
        format!(
            "<tr><th scope=\"row\" class=\"words\">{what}</th><td>{}</td><td>{}</td></tr>",
            prose(&format!(" {}", factor(log_gain))),
            prose(&number(spread))
        )
    };
    let layer = |&index: &usize| {
        let layer = &jacobian.layers[index];
        row(&text(&layer.name), layer.log_gain, layer.spread)
    };
    let mut rows: String = chosen.iter().map(layer).collect();
    rows += &row("all of them", jacobian.log_gain, jacobian.spread);
    let rest = if count > MOST_ROWS {
        format!("<p>Of {count} layers the {MOST_ROWS} of the largest spread.</p>")
    } else {
        String::new()
    };
    format!(
        "<p>{}</p>\n<details><summary>Gain of a gradient of any direction, layer by layer</summary>{rest}\
         <div class=\"scroll\"><table><thead><tr><th scope=\"col\" class=\"words\">layer</th><th scope=\"col\">RMS gain</th>\
         <th scope=\"col\">spread</th></tr></thead><tbody>{rows}</tbody></table></div></details>\n",
        prose(&sentence(jacobian))
    )
}

fn sentence(jacobian: &Jacobian) -> String {
    format!(
        "The spread is 1 where all directions get the same gain. Measured with {} random probes through {} samples: {} with a \
         standard error of {}; {} if the layers lay to one another as by chance.",
        jacobian.probes,
        jacobian.samples,
        number(jacobian.spread),
        number(jacobian.spread_error),
        number(jacobian.independent_spread)
    )
}
