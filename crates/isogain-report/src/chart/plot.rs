//! A line chart as SVG, with a legend above it and, for every strip of it, the values as text.

use super::{Axis, at};
use crate::markup::text;

/// Size of the drawing, in its own units.
const WIDTH: f64 = 560.0;
/// See [`WIDTH`].
const HEIGHT: f64 = 300.0;
/// Room for the labels of the axis on the left.
const LEFT: f64 = 66.0;
/// Room at the other sides.
const RIGHT: f64 = 14.0;
/// See [`RIGHT`].
const TOP: f64 = 12.0;
/// Room for labels and title of the axis below.
const BOTTOM: f64 = 46.0;

/// A line.
pub(crate) struct Series {
    /// Its class: `before`, `after` or `reference`.
    pub(crate) class: &'static str,
    /// Its points in order; one that cannot be drawn is a gap.
    pub(crate) points: Vec<(f64, f64)>,
    /// Whether each point gets a dot.
    pub(crate) dots: bool,
    /// What it is, where the legend does not say it; no markup.
    pub(crate) name: String,
}

/// A vertical strip of the chart around one value of x, and what it reads out.
pub(crate) struct Strip {
    /// Its middle.
    pub(crate) x: f64,
    /// The values there, as text.
    pub(crate) reading: String,
    /// The layer that it stands for; choosing it chooses the layer in every view.
    pub(crate) layer: Option<String>,
}

/// A range around a line.
pub(crate) struct Band {
    /// Its class.
    pub(crate) class: &'static str,
    /// x, lowest and highest y.
    pub(crate) edges: Vec<(f64, f64, f64)>,
}

/// A line chart.
pub(crate) struct Plot<'a> {
    /// Unique in the page; markup, as all of these.
    pub(crate) id: &'a str,
    /// What the chart shows, a few words.
    pub(crate) title: &'a str,
    /// What is to be seen in it, one sentence: the text alternative.
    pub(crate) summary: String,
    /// Names of the axes, with units.
    pub(crate) axes: [&'a str; 2],
    /// The axis below.
    pub(crate) x: Axis,
    /// The axis on the left.
    pub(crate) y: Axis,
    /// Ranges below the lines.
    pub(crate) bands: &'a [Band],
    /// The lines, the lowest first.
    pub(crate) series: &'a [Series],
    /// Class and label of each entry of the legend; labels are markup.
    pub(crate) legend: &'a [(&'static str, String)],
    /// The strips, by x.
    pub(crate) strips: &'a [Strip],
    /// A table with the same numbers, as markup.
    pub(crate) table: String,
    /// All of the numbers, as CSV.
    pub(crate) csv: String,
}

impl Plot<'_> {
    /// The figure.
    pub(crate) fn figure(&self) -> String {
        let x = self.x.drawn(LEFT, WIDTH - RIGHT);
        let y = self.y.drawn(HEIGHT - BOTTOM, TOP);
        let legend = self.legend.iter().map(|(class, label)| format!("<li class=\"{class}\">{label}</li>"));
        let bands: String = self.bands.iter().map(|band| area(band, &x, &y)).collect();
        let lines: String = self.series.iter().map(|series| line(series, &x, &y)).collect();
        let (id, title) = (self.id, self.title);
        format!(
            "<figure class=\"chart plot\" data-view=\"{id}\">\n<figcaption><h3>{title}</h3><ul class=\"legend\">{legend}</ul></figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" tabindex=\"0\" aria-labelledby=\"{id}-title {id}-summary\">\
             <title id=\"{id}-title\">{title}</title><desc id=\"{id}-summary\">{summary}</desc>\n{grid}{bands}{lines}{strips}</svg>\n\
             <p class=\"reading\" aria-live=\"polite\"></p>\n\
             <details><summary>The numbers</summary>{table}</details>\n{csv}</figure>\n",
            csv = super::csv(&self.csv),
            legend = legend.collect::<String>(),
            summary = text(&self.summary),
            grid = self.grid(&x, &y),
            strips = self.strips(&x),
            table = self.table,
        )
    }

    fn grid(&self, x: &Axis, y: &Axis) -> String {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let mut grid = String::from("<g class=\"grid\">");
        for (value, label) in y.ticks() {
            let Some(place) = y.place(value) else { continue };
            grid += &format!(
                "<path d=\"M{} {}H{}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>",
                at(LEFT),
                at(place),
                at(right),
                at(LEFT - 8.0),
                at(place + 4.0)
            );
        }
        for (value, label) in x.ticks() {
            let Some(place) = x.place(value) else { continue };
            grid += &format!(
                "<path d=\"M{} {}v5\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                at(place),
                at(bottom),
                at(place),
                at(bottom + 19.0)
            );
        }
        let [below, beside] = self.axes;
        grid + &format!(
            "<path class=\"axis\" d=\"M{} {}H{}\"/>\
             <text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{below}</text>\
             <text class=\"name\" transform=\"translate(12 {}) rotate(-90)\" text-anchor=\"end\">{beside}</text></g>\n",
            at(LEFT),
            at(bottom),
            at(right),
            at(right),
            at(HEIGHT - 6.0),
            at(TOP),
        )
    }

    /// Invisible strips that light up under the pointer; the browser shows their titles without any script.
    fn strips(&self, x: &Axis) -> String {
        let places: Vec<f64> = self.strips.iter().filter_map(|strip| x.place(strip.x)).collect();
        let mut strips = String::from("<g class=\"strips\">");
        for (index, (strip, place)) in self.strips.iter().zip(&places).enumerate() {
            let before = index.checked_sub(1).and_then(|index| places.get(index));
            let after = places.get(index + 1);
            let left = before.map_or(LEFT, |before| 0.5 * (before + place));
            let right = after.map_or(WIDTH - RIGHT, |after| 0.5 * (after + place));
            strips += &format!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{}><title>{}</title></rect>",
                at(left),
                at(TOP),
                at((right - left).max(0.0)),
                at(HEIGHT - BOTTOM - TOP),
                super::layer(strip.layer.as_deref()),
                text(&strip.reading)
            );
        }
        strips + "</g>"
    }
}

/// The range between the lowest and the highest values.
fn area(band: &Band, x: &Axis, y: &Axis) -> String {
    let corner = |at_x: f64, at_y: f64| Some(format!("{} {}", at(x.place(at_x)?), at(y.place(at_y)?)));
    let above = band.edges.iter().filter_map(|&(x, _, high)| corner(x, high));
    let below = band.edges.iter().rev().filter_map(|&(x, low, _)| corner(x, low));
    let corners: Vec<String> = above.chain(below).collect();
    if corners.is_empty() {
        corners.concat()
    } else {
        format!("<path class=\"band {}\" d=\"M{}z\"/>\n", band.class, corners.join("L"))
    }
}

/// A path, broken where a point cannot be drawn; there a cross at the foot says so.
fn line(series: &Series, x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    let mut marks = String::new();
    let mut is_down = false;
    for (at_x, at_y) in &series.points {
        let Some(left) = x.place(*at_x) else { continue };
        match y.place(*at_y) {
            Some(top) => {
                path += &format!("{}{} {}", if is_down { "L" } else { "M" }, at(left), at(top));
                is_down = true;
                if series.dots {
                    marks += &format!("<circle cx=\"{}\" cy=\"{}\" r=\"2.6\"/>", at(left), at(top));
                }
            }
            None => {
                // Of a line without dots, the place where it ends says enough.
                let is_marked = series.dots || is_down;
                is_down = false;
                if !is_marked {
                    continue;
                }
                marks += &format!(
                    "<path class=\"missing\" d=\"M{} {}l6 6m0 -6l-6 6\"/>",
                    at(left - 3.0),
                    at(HEIGHT - BOTTOM - 9.0)
                );
            }
        }
    }
    let title = if series.name.is_empty() { String::new() } else { format!("<title>{}</title>", text(&series.name)) };
    format!("<g class=\"line {}\">{title}<path d=\"{path}\"/>{marks}</g>\n", series.class)
}
