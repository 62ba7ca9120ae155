//! A map of layers over steps as SVG: colour says by how many powers of ten a value lies below or above a reference.

use isogain_core::render::escape::shortened;

use super::at;
use crate::markup::text;

/// Width of the drawing, in its own units.
const WIDTH: f64 = 560.0;
/// Room for the names on the left.
const LEFT: f64 = 118.0;
/// Room at the right, for half a label of the axis.
const RIGHT: f64 = 14.0;
/// Height of all rows together, unless there are few.
const HEIGHT: f64 = 230.0;
/// Most a row is high.
const HIGHEST: f64 = 34.0;
/// Room for labels and title of the axis below.
const BOTTOM: f64 = 42.0;
/// Names and step numbers that are written out.
const LABELS: usize = 12;
/// See [`LABELS`].
const STEP_LABELS: usize = 6;
/// Characters of a name.
const NAME_WIDTH: usize = 17;
/// Colours on each side of the reference.
pub(crate) const SHADES: i32 = 6;
/// Powers of ten of one shade; the smallest that fits is taken.
const SHADE_DECADES: [f64; 9] = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0];

/// One value of the map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Powers of ten from the reference.
    Decades(f64),
    /// Exactly zero.
    Zero,
    /// NaN or infinite.
    Lost,
    /// Not recorded.
    Missing,
}

/// A map.
pub(crate) struct Heat<'a> {
    /// Unique in the page.
    pub(crate) id: &'static str,
    /// What it shows, a few words.
    pub(crate) title: &'static str,
    /// What is to be seen in it, one sentence: the text alternative.
    pub(crate) summary: String,
    /// What a neutral colour means.
    pub(crate) reference: &'static str,
    /// Names of the rows, the first at the top.
    pub(crate) rows: &'a [String],
    /// Step of each column.
    pub(crate) steps: &'a [u64],
    /// By row, then by column.
    pub(crate) cells: &'a [Vec<Cell>],
    /// What each column reads out.
    pub(crate) readings: &'a [String],
    /// A table with the same numbers, as markup.
    pub(crate) table: String,
}

impl Heat<'_> {
    /// The figure.
    pub(crate) fn figure(&self) -> String {
        // Whole tenths, as coordinates are written: neighbours then touch without a seam.
        let tenths = |size: f64| (10.0 * size).floor() / 10.0;
        let row = tenths(HEIGHT / self.rows.len().max(1) as f64).min(HIGHEST);
        let height = row * self.rows.len() as f64;
        let column = tenths((WIDTH - LEFT - RIGHT) / self.steps.len().max(1) as f64);
        let (id, title) = (self.id, self.title);
        format!(
            "<figure class=\"chart heat\">\n<figcaption><h3>{title}</h3>{legend}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {total}\" role=\"img\" tabindex=\"0\" aria-labelledby=\"{id}-title {id}-summary\">\
             <title id=\"{id}-title\">{title}</title><desc id=\"{id}-summary\">{summary}</desc>\n{cells}{labels}{strips}</svg>\n\
             <p class=\"reading\" aria-live=\"polite\"></p>\n\
             <details><summary>The numbers</summary>{table}</details>\n</figure>\n",
            legend = self.legend(),
            total = at(height + BOTTOM),
            summary = text(&self.summary),
            cells = self.shades(row, column),
            labels = self.labels(row, column, height),
            strips = self.strips(column, height),
            table = self.table,
        )
    }

    /// Powers of ten of one shade, so that the farthest value has the last one.
    fn decades(&self) -> f64 {
        let farthest = self.cells.iter().flatten().filter_map(|cell| match cell {
            Cell::Decades(decades) => Some(decades.abs()),
            _ => None,
        });
        let needed = farthest.fold(0.0, f64::max) / f64::from(SHADES);
        SHADE_DECADES.into_iter().find(|decades| *decades >= needed).unwrap_or(SHADE_DECADES[SHADE_DECADES.len() - 1])
    }

    fn class(cell: Cell, decades: f64) -> Option<String> {
        Some(match cell {
            Cell::Missing => return None,
            Cell::Zero => "zero".to_owned(),
            Cell::Lost => "lost".to_owned(),
            Cell::Decades(value) => match ((value / decades).round() as i32).clamp(-SHADES, SHADES) {
                0 => "even".to_owned(),
                shade if shade < 0 => format!("down s{}", -shade),
                shade => format!("up s{shade}"),
            },
        })
    }

    /// One path for each colour; neighbours of one colour in a row are one rectangle.
    fn shades(&self, row: f64, column: f64) -> String {
        let decades = self.decades();
        let mut paths: Vec<(String, String)> = Vec::new();
        for (index, cells) in self.cells.iter().enumerate() {
            let mut start = 0;
            while start < cells.len() {
                let class = Self::class(cells[start], decades);
                let same = cells[start..].iter().take_while(|cell| Self::class(**cell, decades) == class).count();
                if let Some(class) = class {
                    let (x, width) = (LEFT + column * start as f64, column * same as f64);
                    let piece =
                        format!("M{} {}h{}v{}h{}z", at(x), at(row * index as f64), at(width), at(row), at(-width));
                    match paths.iter_mut().find(|(known, _)| *known == class) {
                        Some((_, path)) => path.push_str(&piece),
                        None => paths.push((class, piece)),
                    }
                }
                start += same;
            }
        }
        paths.sort();
        let paths: String =
            paths.into_iter().map(|(class, path)| format!("<path class=\"{class}\" d=\"{path}\"/>")).collect();
        format!("<g class=\"shades\" shape-rendering=\"crispEdges\">{paths}</g>\n")
    }

    fn labels(&self, row: f64, column: f64, height: f64) -> String {
        let mut labels = String::from("<g class=\"grid\">");
        for index in spaced(self.rows.len(), LABELS) {
            labels += &format!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                at(LEFT - 8.0),
                at(row * (index as f64 + 0.5) + 4.0),
                text(&abbreviated(&self.rows[index]))
            );
        }
        for index in spaced(self.steps.len(), STEP_LABELS) {
            let place = at(LEFT + column * (index as f64 + 0.5));
            labels += &format!(
                "<path d=\"M{place} {}v5\"/><text x=\"{place}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                at(height),
                at(height + 18.0),
                self.steps[index]
            );
        }
        labels
            + &format!(
                "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">recorded step</text></g>\n",
                at(WIDTH - RIGHT),
                at(height + 36.0)
            )
    }

    fn strips(&self, column: f64, height: f64) -> String {
        let strip = |(index, reading): (usize, &String)| {
            format!(
                "<rect x=\"{}\" y=\"0\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                at(LEFT + column * index as f64),
                at(column),
                at(height),
                text(reading)
            )
        };
        format!("<g class=\"strips\">{}</g>", self.readings.iter().enumerate().map(strip).collect::<String>())
    }

    fn legend(&self) -> String {
        let decades = self.decades();
        let has = |wanted: Cell| self.cells.iter().flatten().any(|cell| *cell == wanted);
        let power = |shades: f64| {
            let power = shades * decades;
            format!("10<sup>{}</sup>", format!("{power}").replace('-', "−"))
        };
        let shades = f64::from(SHADES);
        let swatches: String = (-SHADES..=SHADES)
            .filter_map(|shade| Self::class(Cell::Decades(f64::from(shade) * decades), decades))
            .map(|class| format!("<i class=\"{class}\"></i>"))
            .collect();
        let mut legend = format!(
            "<p class=\"scale\"><span>×{} <span aria-hidden=\"true\">{swatches}</span> ×{}</span> <span class=\"soft\">of {}</span>",
            power(-shades),
            power(shades),
            self.reference
        );
        for (cell, class, name) in [(Cell::Zero, "zero", "exactly zero"), (Cell::Lost, "lost", "NaN or infinite")] {
            if has(cell) {
                legend += &format!(" <span><i class=\"{class}\"></i> {name}</span>");
            }
        }
        legend + "</p>"
    }
}

/// A long path with its inner words cut to their first letters: what tells layers apart are numbers and the last word.
fn abbreviated(name: &str) -> String {
    if name.chars().count() <= NAME_WIDTH {
        return name.to_owned();
    }
    let last = name.split('.').count() - 1;
    let cut = |(index, word): (usize, &str)| {
        let whole = index == last || word.chars().any(|c| c.is_ascii_digit());
        if whole { word.to_owned() } else { word.chars().take(1).collect() }
    };
    shortened(&name.split('.').enumerate().map(cut).collect::<Vec<_>>().join("."), NAME_WIDTH)
}

/// At most `most` of the numbers below `count`: first, last and evenly spaced ones between.
pub(crate) fn spaced(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let gaps = most - 1;
    (0..most).map(|index| (index * (count - 1) + gaps / 2) / gaps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_colour_are_one_rectangle() {
        let cells = [vec![Cell::Decades(-6.0), Cell::Decades(-6.0), Cell::Zero, Cell::Lost, Cell::Missing]];
        let heat = Heat {
            id: "x",
            title: "X",
            summary: String::new(),
            reference: "the head",
            rows: &["<b>".to_owned()],
            steps: &[0, 1, 2, 3, 4],
            cells: &cells,
            readings: &[],
            table: String::new(),
        };
        let figure = heat.figure();
        assert!(figure.contains("<path class=\"down s6\" d=\"M118 0h171.2v34h-171.2z\"/>"), "{figure}");
        assert_eq!(figure.matches("<path class").count(), 3, "a missing value is left open");
        assert!(figure.contains("&lt;b&gt;") && !figure.contains("<b>"));
        assert!(
            figure.contains("×10<sup>−6</sup>")
                && figure.contains("exactly zero")
                && figure.contains("NaN or infinite")
        );
    }

    #[test]
    fn long_names_keep_what_tells_them_apart() {
        assert_eq!(abbreviated("fc1.weight"), "fc1.weight");
        assert_eq!(abbreviated("encoder.layers.12.mlp.fc"), "e.l.12.m.fc");
        assert_eq!(abbreviated("a_name_without_any_dot"), "a_name_w…_any_dot");
    }

    #[test]
    fn shades_fit_the_farthest_value() {
        let class = |value, decades| Heat::class(Cell::Decades(value), decades).unwrap();
        assert_eq!(class(0.1, 1.0), "even");
        assert_eq!((class(-30.0, 1.0), class(2.4, 1.0)), ("down s6".to_owned(), "up s2".to_owned()));
    }
}
