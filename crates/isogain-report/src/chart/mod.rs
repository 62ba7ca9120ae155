//! What every chart is made of: axes with ticks, lines with gaps, maps, and strips that read the chart out.

mod axis;
mod heat;
mod plot;

pub(crate) use axis::Axis;
pub(crate) use heat::{Cell, Heat, spaced};
pub(crate) use plot::{Plot, Series, Strip};

/// A coordinate with one decimal: a tenth of a pixel is enough, and the page stays small.
pub(crate) fn at(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}
