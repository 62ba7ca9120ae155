//! Through how many branches the gradient of a residual network comes, as a table of bars.

use isogain_core::flow::{Asked, Flow};
use isogain_core::render::numbers::percent;
use isogain_core::render::path_lengths::{longest, sentence};

use crate::chart::at;
use crate::markup::{capital, prose};

/// Size of a bar.
const BAR: [f64; 2] = [240.0, 22.0];

/// Rows of a table; longer ones are gathered in the last.
const MOST_ROWS: usize = 24;

/// The table with its sentence; empty where nobody asked or nothing branches.
pub(crate) fn table(flow: &Flow) -> String {
    let paths = match &flow.path_lengths {
        None => return String::new(),
        Some(Asked::LeftOut { left_out }) => {
            return format!("<p>The lengths of the gradient's paths are left out: {}.</p>\n", prose(left_out));
        }
        Some(Asked::Told(paths)) => paths,
    };
    let shown = (longest(paths) + 1).min(MOST_ROWS).min(paths.energy.len());
    let largest = paths.energy.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let mut rows: String = paths.energy[..shown]
        .iter()
        .enumerate()
        .map(|(length, share)| row(&length.to_string(), *share, largest))
        .collect();
    let rest: f64 = paths.energy[shown..].iter().sum();
    if shown < paths.energy.len() {
        rows += &row(&format!("{shown} and more"), rest, largest);
    }
    format!(
        "<p>{}.</p>\n<div class=\"scroll\"><table><caption>Energy of the gradient by the number of branches that it went \
         through</caption><thead><tr><th scope=\"col\">branches</th><th scope=\"col\">share</th><th scope=\"col\" class=\"words\"></th>\
         </tr></thead><tbody>{rows}</tbody></table></div>\n",
        prose(&capital(&sentence(paths)))
    )
}

fn row(length: &str, share: f64, largest: f64) -> String {
    let [width, height] = BAR;
    format!(
        "<tr><th scope=\"row\">{length}</th><td>{}</td><td class=\"words\"><svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" aria-hidden=\"true\"><rect class=\"bar\" x=\"0\" y=\"5\" width=\"{}\" height=\"{}\" rx=\"1.5\"/></svg></td></tr>",
        percent(share),
        at(width * (share / largest).min(1.0)),
        at(height - 10.0)
    )
}
