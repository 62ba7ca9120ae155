//! What every chart is made of: axes with ticks, lines with gaps, maps, and strips that read the chart out.

mod axis;
mod heat;
mod plot;

pub(crate) use axis::Axis;
pub(crate) use heat::{Heat, Reference, shade_of, spaced};
pub(crate) use plot::{Band, Plot, Series, Strip};

use crate::markup::text;

/// Numbers of a chart for the script, which writes them to a file.
pub(crate) fn csv(csv: &str) -> String {
    if csv.is_empty() { String::new() } else { format!("<template class=\"csv\">{}</template>\n", lines(csv)) }
}

/// Escaped line by line: a name's own line break stays visible, the ones between rows stay what they are.
fn lines(csv: &str) -> String {
    csv.lines().map(|line| text(line) + "\n").collect()
}

/// One field of a row: in quotes, and no formula to a spreadsheet.
pub(crate) fn field(name: &str) -> String {
    let name = name.replace(['\n', '\r'], " ");
    let guard = if name.starts_with(['=', '+', '-', '@', '\t']) { "'" } else { "" };
    format!("\"{guard}{}\"", name.replace('"', "\"\""))
}

/// The attribute that ties a mark to a layer.
pub(crate) fn layer(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" data-layer=\"{}\"", text(name)))
}

/// A coordinate with one decimal: a tenth of a pixel is enough, and the page stays small.
pub(crate) fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}
