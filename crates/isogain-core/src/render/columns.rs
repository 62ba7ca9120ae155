//! Text in aligned columns.

/// Spaces between columns.
const GAP: usize = 3;

/// A table whose columns are as wide as their widest cell; the last one is not padded. Every line starts with `indent`.
pub(super) fn align(rows: &[Vec<String>], indent: &str) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}{:GAP$}", ""));
        format!("{indent}{}", cells.collect::<String>()).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
