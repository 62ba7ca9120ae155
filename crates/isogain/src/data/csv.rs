//! Comma-separated files: a header line, one sample a line, every column a number except a classification target.

use std::collections::BTreeMap;
use std::path::Path;

use isogain_core::names::nearest;
use isogain_core::recipe::{Data as DataRecipe, Task};

use super::{Table, Targets};
use crate::Error;

pub(super) fn load(path: &Path, recipe: &DataRecipe) -> Result<Table, Error> {
    let problem = |line: usize, message: String| Error::Data { path: path.to_path_buf(), line, message };
    let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let header = reader.headers().map_err(|error| problem(1, error.to_string()))?.clone();
    if header.len() < 2 {
        let found = if header.is_empty() { "the file is empty".into() } else { format!("{} column", header.len()) };
        return Err(problem(1, format!("{found}; expected a header line with at least one input and a target column")));
    }
    let target = match recipe.target.as_str() {
        "" => header.len() - 1,
        name => header.iter().position(|column| column == name).ok_or_else(|| {
            let hint = nearest(name, header.iter()).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            problem(1, format!("no column '{name}' (data.target){hint}"))
        })?,
    };
    let (mut inputs, mut labels, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, |position| position.line() as usize);
            problem(line, error.to_string())
        })?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        for (column, field) in record.iter().enumerate().filter(|(column, _)| *column != target) {
            inputs.push(number(field).ok_or_else(|| {
                problem(line, format!("column '{}' = '{field}': expected a finite number", &header[column]))
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
    let targets = match recipe.task {
        Task::Regression => {
            let values = labels.iter().zip(&lines).map(|(field, &line)| {
                number(field).ok_or_else(|| {
                    problem(line, format!("target '{}' = '{field}': expected a finite number", &header[target]))
                })
            });
            Targets::Values(values.collect::<Result<_, _>>()?)
        }
        Task::Classification => {
            classes(&labels, &lines, &header[target]).map_err(|(line, text)| problem(line, text))?
        }
    };
    Ok(Table { features: header.len() - 1, inputs, targets })
}

fn number(field: &str) -> Option<f64> {
    field.parse::<f64>().ok().filter(|value| value.is_finite())
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
        let classes = numbers.iter().map(|n| *n as usize).max().unwrap_or(0) + 1;
        return Ok(Targets::Classes(numbers.iter().map(|n| *n as usize).collect(), classes.max(2)));
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
