//! Comma-separated files: a header line, one sample a line, every column a number except a classification target.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use isogain_core::names::nearest;
use isogain_core::recipe::{Data as DataRecipe, Task};

use super::{Table, Targets};
use crate::Error;

pub(super) fn load(path: &Path, recipe: &DataRecipe) -> Result<Table, Error> {
    let problem = |line: usize, message: String| Error::Data { path: path.to_path_buf(), line, message };
    let opened = std::fs::File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(std::io::Error::from(std::io::ErrorKind::IsADirectory)),
        false => Ok(file),
    });
    let file = opened.map_err(|error| {
        let expected = format!("cannot read {}: {error}; must be \"digits\" or the path of a CSV file", path.display());
        Error::value("data.source", format!("\"{}\"", recipe.source), expected)
    })?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let header = reader.headers().map_err(|error| problem(1, reason(&error)))?.clone();
    if header.len() < 2 {
        let found: String =
            if header.is_empty() { "the file is empty".into() } else { format!("{} column", header.len()) };
        let other = header.iter().flat_map(str::chars).find(|letter| [';', '\t'].contains(letter));
        let hint = other.map(|letter| format!(" (not by {letter:?})")).unwrap_or_default();
        let expected = "expected a header line with at least one input and a target column, separated by commas";
        return Err(problem(1, format!("{found}; {expected}{hint}")));
    }
    let target = match recipe.target.as_str() {
        "" => header.len() - 1,
        name => header.iter().position(|column| column == name).ok_or_else(|| {
            let hint = match nearest(name, header.iter()) {
                Some(near) => format!("; did you mean '{near}'?"),
                None => format!("; the last one is '{}'", &header[header.len() - 1]),
            };
            problem(1, format!("no column '{name}' (data.target){hint}"))
        })?,
    };
    let (mut inputs, mut labels, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, |position| position.line() as usize);
            problem(line, reason(&error))
        })?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        for (column, field) in record.iter().enumerate().filter(|(column, _)| *column != target) {
            inputs.push(number(field).ok_or_else(|| {
                problem(
                    line,
                    format!("column '{}' = '{field}': expected a number (at most 3.4e38 in size)", &header[column]),
                )
            })?);
        }
        labels.push(record[target].to_string());
        lines.push(line);
    }
    if labels.len() < 2 {
        return Err(problem(
            0,
            format!("{} samples; at least 2 are needed, one to train and one to test", labels.len()),
        ));
    }
    let features = header.len() - 1;
    if inputs.chunks_exact(features).all(|row| row == &inputs[..features]) {
        return Err(problem(0, "all samples have the same inputs; there is nothing to tell them apart by".into()));
    }
    // By value: `1` and `1.0` are one class.
    let same = |label: &String| *label == labels[0] || number(label).is_some_and(|one| Some(one) == number(&labels[0]));
    if labels.iter().all(same) {
        let column = &header[target];
        return Err(problem(
            0,
            format!("target '{column}' is {} on every sample; there is nothing to learn", labels[0]),
        ));
    }
    let targets = match recipe.task {
        Task::Regression => {
            let values = labels.iter().zip(&lines).map(|(field, &line)| {
                number(field).ok_or_else(|| {
                    problem(
                        line,
                        format!("target '{}' = '{field}': expected a number (at most 3.4e38 in size)", &header[target]),
                    )
                })
            });
            Targets::Values(values.collect::<Result<_, _>>()?)
        }
        Task::Classification => {
            classes(&labels, &lines, &header[target]).map_err(|(line, text)| problem(line, text))?
        }
    };
    Ok(Table { features, inputs, targets })
}

/// What is wrong with a line, without its place, which is told anyway.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields; the header line has {expected_len}")
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("field {}: not UTF-8 text", err.field() + 1),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A number that the network can hold, even in 32 bits.
fn number(field: &str) -> Option<f64> {
    field.parse::<f64>().ok().filter(|value| value.abs() <= f64::from(f32::MAX))
}

/// More classes than this are taken for a regression target by mistake.
const MOST_CLASSES: usize = 1000;

/// Whole numbers from 0 are class indices; any other text is a class name, numbered in sorted order.
fn classes(labels: &[String], lines: &[usize], column: &str) -> Result<Targets, (usize, String)> {
    if let Some(row) = labels.iter().position(|label| label.is_empty() || label.eq_ignore_ascii_case("nan")) {
        return Err((lines[row], format!("target '{column}' = '{}': expected a class", labels[row])));
    }
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| label.parse::<f64>().ok()).collect();
    if let Some(numbers) = numbers {
        if let Some(row) = numbers.iter().position(|n| n.fract() != 0.0 || *n < 0.0 || *n >= MOST_CLASSES as f64) {
            return Err((
                lines[row],
                format!(
                    "target '{column}' = {}: not a class; labels are whole numbers from 0 to {} \
                     (or names). For a number to predict, set data.task = \"regression\"",
                    labels[row],
                    MOST_CLASSES - 1
                ),
            ));
        }
        let labels: Vec<usize> = numbers.iter().map(|n| *n as usize).collect();
        let found: BTreeSet<usize> = labels.iter().copied().collect();
        // A label far out is nearly always a slip, and the network would get outputs that no sample asks for.
        if let Some(missing) = (0..found.len()).find(|class| !found.contains(class)) {
            let row = labels.iter().position(|label| *label > missing).unwrap_or(0);
            let message = format!(
                "target '{column}' = {}: no sample has class {missing}; the {} classes are numbered from 0 to {} \
                 without a gap (or named)",
                labels[row],
                found.len(),
                found.len() - 1
            );
            return Err((lines[row], message));
        }
        return Ok(Targets::Classes(labels, found.len().max(2)));
    }
    let mut names: BTreeMap<&str, usize> = labels.iter().map(|label| (label.as_str(), 0)).collect();
    names.values_mut().enumerate().for_each(|(index, class)| *class = index);
    if names.len() > MOST_CLASSES {
        return Err((
            0,
            format!("target '{column}' has {} different values; more than {MOST_CLASSES} classes", names.len()),
        ));
    }
    let indices = labels.iter().map(|label| names[label.as_str()]).collect();
    Ok(Targets::Classes(indices, names.len().max(2)))
}
