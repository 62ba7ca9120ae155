//! A map of layers over steps: colour says by how many powers of ten a value lies below or above a reference.
//!
//! The drawing is SVG with as many cells as can be told apart. The figure carries all values beside it, and with them the
//! script zooms, reads out single cells and writes them as CSV.

use isogain_core::render::escape::{printable, shortened};

use super::at;
use crate::digest::Level;
use crate::markup::text;
use crate::policy::base64;

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
/// Most rows that are drawn; of a deeper network, evenly spaced ones.
const MOST_ROWS: usize = 60;
/// Most columns that are drawn.
const MOST_COLUMNS: usize = 120;
/// Most values that the figure carries.
const MOST_VALUES: usize = 160_000;
/// Steps of a carried value in a power of ten: half a percent apart, and 65 powers of ten either way.
const FINENESS: f64 = 500.0;
/// Names and step numbers that are written out.
const LABELS: usize = 12;
/// See [`LABELS`].
const STEP_LABELS: usize = 6;
/// Characters of a name.
const NAME_WIDTH: usize = 17;
/// Colours on each side of the reference.
const SHADES: i32 = 6;
/// Powers of ten of one shade; the smallest that fits is taken.
const SHADE_DECADES: [f64; 9] = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0];

/// One value of the map.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    /// Powers of ten from the reference.
    Decades(f64),
    /// Exactly zero.
    Zero,
    /// NaN or infinite.
    Lost,
    /// Not recorded.
    Missing,
}

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reference {
    /// The last row with a value in the same column.
    LastRow,
    /// The first row with a value in the same column.
    FirstRow,
    /// A number.
    Number(f64),
}

impl Reference {
    /// As the script reads it.
    fn attribute(self) -> String {
        match self {
            Self::LastRow => "last".to_owned(),
            Self::FirstRow => "first".to_owned(),
            Self::Number(number) => format!("{}", number.log10()),
        }
    }
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
    pub(crate) to: Reference,
    /// Powers of ten of one shade at least; the values decide where that is too little.
    pub(crate) shade: f64,
    /// The same in words, as markup.
    pub(crate) reference: &'static str,
    /// Names of the rows, the first at the top.
    pub(crate) rows: &'a [String],
    /// Step of each column.
    pub(crate) steps: &'a [u64],
    /// By row, then by column.
    pub(crate) values: &'a [Vec<Level>],
    /// A table with the same numbers, as markup.
    pub(crate) table: String,
}

impl Heat<'_> {
    /// The figure.
    pub(crate) fn figure(&self) -> String {
        let rows = spaced(self.rows.len(), MOST_ROWS);
        let columns = spaced(self.steps.len(), MOST_COLUMNS);
        let cells = self.cells();
        let decades = decades(&cells).max(self.shade);
        let drawn: Vec<Vec<Cell>> =
            rows.iter().map(|&row| columns.iter().map(|&column| cells[row][column]).collect()).collect();
        // Whole tenths, as coordinates are written: neighbours then touch without a seam.
        let tenths = |size: f64| (10.0 * size).floor() / 10.0;
        let row = tenths(HEIGHT / rows.len().max(1) as f64).min(HIGHEST);
        let height = row * rows.len() as f64;
        let column = tenths((WIDTH - LEFT - RIGHT) / columns.len().max(1) as f64);
        let (id, title) = (self.id, self.title);
        format!(
            "<figure class=\"chart heat\" data-view=\"{id}\">\n<figcaption><h3>{title}</h3>{legend}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {total}\" role=\"img\" tabindex=\"0\" aria-labelledby=\"{id}-title {id}-summary\">\
             <title id=\"{id}-title\">{title}</title><desc id=\"{id}-summary\">{summary}</desc>\n{cells}{labels}</svg>\n\
             <p class=\"reading\" aria-live=\"polite\"></p>\n\
             <details><summary>The numbers</summary>{table}</details>\n{data}</figure>\n",
            legend = legend(&cells, decades, self.reference),
            total = at(height + BOTTOM),
            summary = text(&self.summary),
            cells = shades(&drawn, decades, row, column),
            labels = self.labels(&rows, &columns, row, column),
            table = self.table,
            data = self.data(decades, [row, column], [rows.len(), columns.len()]),
        )
    }

    fn cells(&self) -> Vec<Vec<Cell>> {
        cells(self.values, self.to)
    }

    fn labels(&self, rows: &[usize], columns: &[usize], row: f64, column: f64) -> String {
        let height = row * rows.len() as f64;
        let mut labels = String::from("<g class=\"grid\"><g class=\"names\">");
        // Evenly, since every row has the same height.
        for index in (0..rows.len()).step_by(rows.len().div_ceil(LABELS).max(1)) {
            labels += &format!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                at(LEFT - 8.0),
                at(row * (index as f64 + 0.5) + 4.0),
                text(&abbreviated(&self.rows[rows[index]]))
            );
        }
        labels += "</g><g class=\"steps\">";
        for index in spaced(columns.len(), STEP_LABELS) {
            let place = at(LEFT + column * (index as f64 + 0.5));
            labels += &format!(
                "<path d=\"M{place} {}v5\"/><text x=\"{place}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                at(height),
                at(height + 18.0),
                self.steps[columns[index]]
            );
        }
        labels
            + &format!(
                "</g><text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">recorded step</text></g>\n",
                at(WIDTH - RIGHT),
                at(height + 36.0)
            )
    }

    /// All values for the script, 16 bits each, and where the cells lie in the drawing.
    fn data(&self, decades: f64, [row, column]: [f64; 2], [rows, columns]: [usize; 2]) -> String {
        let kept = spaced(self.steps.len(), (MOST_VALUES / self.rows.len().max(1)).max(1));
        let mut bytes = Vec::with_capacity(2 * kept.len() * self.rows.len());
        for level in self.values.iter().flat_map(|values| kept.iter().map(|&column| values[column])) {
            bytes.extend(coded(level).to_le_bytes());
        }
        // As every other mark of a layer has them.
        let names: Vec<String> = self.rows.iter().map(|name| printable(name)).collect();
        let steps: Vec<u64> = kept.iter().map(|&column| self.steps[column]).collect();
        format!(
            "<template class=\"map\" data-names=\"{names}\" data-steps=\"{steps}\" data-to=\"{to}\" data-shade=\"{decades}\" \
             data-box=\"{left} 0 {width} {height}\" data-size=\"{WIDTH} {total}\">{values}</template>\n",
            names = text(&serde_json::to_string(&names).unwrap_or_default()),
            steps = steps.iter().map(u64::to_string).collect::<Vec<_>>().join(" "),
            to = self.to.attribute(),
            left = at(LEFT),
            width = at(column * columns as f64),
            height = at(row * rows as f64),
            total = at(row * rows as f64 + BOTTOM),
            values = base64(&bytes),
        )
    }
}

/// Powers of ten of one shade of a map of these values.
pub(crate) fn shade_of(values: &[Vec<Level>], to: Reference) -> f64 {
    decades(&cells(values, to))
}

fn cells(values: &[Vec<Level>], to: Reference) -> Vec<Vec<Cell>> {
    let columns = values.first().map_or(0, Vec::len);
    let reference = |column: usize| {
        let mut found = values.iter().filter_map(|row| row[column].decades());
        match to {
            Reference::Number(number) => Some(number.log10()),
            Reference::FirstRow => found.next(),
            Reference::LastRow => found.next_back(),
        }
    };
    let references: Vec<Option<f64>> = (0..columns).map(reference).collect();
    let cell = |(level, reference): (&Level, &Option<f64>)| match (level, level.decades().zip(*reference)) {
        (_, Some((decades, reference))) => Cell::Decades(decades - reference),
        (level, None) if level.is_lost() => Cell::Lost,
        (level, None) if level.is_zero() => Cell::Zero,
        _ => Cell::Missing,
    };
    values.iter().map(|row| row.iter().zip(&references).map(cell).collect()).collect()
}

/// A value as the script reads it.
fn coded(level: Level) -> i16 {
    match level.decades() {
        Some(decades) => (decades * FINENESS).round().clamp(-32_766.0, 32_766.0) as i16,
        None if level.is_zero() => -32_767,
        None if level.is_lost() => i16::MAX,
        None => i16::MIN,
    }
}

/// Powers of ten of one shade, so that the farthest value has the last one.
fn decades(cells: &[Vec<Cell>]) -> f64 {
    let farthest = cells.iter().flatten().filter_map(|cell| match cell {
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
fn shades(drawn: &[Vec<Cell>], decades: f64, row: f64, column: f64) -> String {
    let mut paths: Vec<(String, String)> = Vec::new();
    for (index, cells) in drawn.iter().enumerate() {
        let mut start = 0;
        while start < cells.len() {
            let colour = class(cells[start], decades);
            let same = cells[start..].iter().take_while(|cell| class(**cell, decades) == colour).count();
            if let Some(colour) = colour {
                let (x, width) = (LEFT + column * start as f64, column * same as f64);
                let piece = format!("M{} {}h{}v{}h{}z", at(x), at(row * index as f64), at(width), at(row), at(-width));
                match paths.iter_mut().find(|(known, _)| *known == colour) {
                    Some((_, path)) => path.push_str(&piece),
                    None => paths.push((colour, piece)),
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

fn legend(cells: &[Vec<Cell>], decades: f64, reference: &str) -> String {
    let has = |wanted: Cell| cells.iter().flatten().any(|cell| *cell == wanted);
    let power = |shades: f64| {
        let power = shades * decades;
        format!("10<sup>{}</sup>", format!("{power}").replace('-', "−"))
    };
    let shades = f64::from(SHADES);
    let swatches: String = (-SHADES..=SHADES)
        .filter_map(|shade| class(Cell::Decades(f64::from(shade) * decades), decades))
        .map(|class| format!("<i class=\"{class}\"></i>"))
        .collect();
    let mut legend = format!(
        "<p class=\"scale\"><span>×{} <span aria-hidden=\"true\">{swatches}</span> ×{}</span> <span class=\"soft\">of {reference}</span>",
        power(-shades),
        power(shades),
    );
    for (cell, class, name) in [(Cell::Zero, "zero", "exactly zero"), (Cell::Lost, "lost", "NaN or infinite")] {
        if has(cell) {
            legend += &format!(" <span><i class=\"{class}\"></i> {name}</span>");
        }
    }
    legend + "</p>"
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

    fn heat<'a>(rows: &'a [String], values: &'a [Vec<Level>]) -> Heat<'a> {
        Heat {
            id: "x",
            title: "X",
            summary: String::new(),
            to: Reference::Number(1.0),
            shade: 0.0,
            reference: "the head",
            rows,
            steps: &[0, 1, 2, 3, 4],
            values,
            table: String::new(),
        }
    }

    #[test]
    fn neighbours_of_one_colour_are_one_rectangle() {
        let values = [vec![Level::of(1e-6), Level::of(1e-6), Level::of(0.0), Level::of(f64::NAN), Level::MISSING]];
        let figure = heat(&["<b>".to_owned()], &values).figure();
        assert!(figure.contains("<path class=\"down s6\" d=\"M118 0h171.2v34h-171.2z\"/>"), "{figure}");
        assert_eq!(figure.matches("<path class").count(), 3, "a missing value is left open");
        assert!(figure.contains("[&quot;&lt;b&gt;&quot;]") && !figure.contains("<b>"));
        assert!(
            figure.contains("×10<sup>−6</sup>")
                && figure.contains("exactly zero")
                && figure.contains("NaN or infinite")
        );
    }

    #[test]
    fn values_for_the_script() {
        let levels = [1e-6, 1.0, 0.0, f64::INFINITY, 1e-300].map(Level::of);
        assert_eq!(levels.map(coded), [-3000, 0, -32_767, i16::MAX, -32_766]);
        assert_eq!(coded(Level::MISSING), i16::MIN);
    }

    #[test]
    fn long_names_keep_what_tells_them_apart() {
        assert_eq!(abbreviated("fc1.weight"), "fc1.weight");
        assert_eq!(abbreviated("encoder.layers.12.mlp.fc"), "e.l.12.m.fc");
        assert_eq!(abbreviated("a_name_without_any_dot"), "a_name_w…_any_dot");
    }

    #[test]
    fn shades_fit_the_farthest_value() {
        let class = |value, decades| class(Cell::Decades(value), decades).unwrap();
        assert_eq!(class(0.1, 1.0), "even");
        assert_eq!((class(-30.0, 1.0), class(2.4, 1.0)), ("down s6".to_owned(), "up s2".to_owned()));
    }
}
