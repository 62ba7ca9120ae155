//! Comma-separated files: a header line, one sample a line, every column a number except a classification target.

use isogain_core::names::nearest;
use isogain_core::network::Shape;
use isogain_core::recipe::Task;

use super::{Request, open};
use crate::error::{Error, Place, Result};
use crate::sheet::{Answers, Column, Places, Sheet};
use crate::table::{Values, is_usable};

pub(crate) fn read(request: &Request<'_>) -> Result<Sheet> {
    let (path, recipe) = (&request.path, request.recipe);
    let problem = |line: usize, message: String| {
        Error::file(path, if line == 0 { Place::Whole } else { Place::Line(line) }, message)
    };
    let written = if request.key == "data.source" { &recipe.source } else { &recipe.test_source };
    let bytes = open(path, request.key, written)?.all()?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes.as_slice());
    let header = reader.headers().map_err(|error| problem(1, reason(&error)))?.clone();
    if header.len() < 2 {
        let found: String =
            if header.is_empty() { "the file is empty".into() } else { format!("{} column", header.len()) };
        let other = header.iter().flat_map(str::chars).find(|letter| [';', '\t'].contains(letter));
        let hint = other.map(|letter| format!(" (not by {letter:?})")).unwrap_or_default();
        let expected = "expected a header line with at least one input and a target column, separated by commas";
        return Err(problem(1, format!("{found}; {expected}{hint}")));
    }
    let names: Vec<&str> = header.iter().collect();
    let targets = target_columns(&names, &recipe.target).map_err(|message| problem(1, message))?;
    let (mut inputs, mut answers, mut lines) = (Vec::new(), vec![Vec::new(); targets.len()], Vec::new());
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(0, |position| position.line() as usize);
            problem(line, reason(&error))
        })?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        for (column, field) in record.iter().enumerate() {
            if let Some(target) = targets.iter().position(|target| *target == column) {
                answers[target].push(field.to_string());
                continue;
            }
            inputs.push(number(field).ok_or_else(|| {
                problem(
                    line,
                    format!("column '{}' = '{field}': expected a number (at most 3.4e38 in size)", &header[column]),
                )
            })?);
        }
        lines.push(line);
    }
    if lines.len() < 2 {
        return Err(problem(
            0,
            format!("{} samples; at least 2 are needed, one to train and one to test", lines.len()),
        ));
    }
    let features = header.len() - targets.len();
    if inputs.chunks_exact(features).all(|row| row == &inputs[..features]) {
        return Err(problem(0, "all samples have the same inputs; there is nothing to tell them apart by".into()));
    }
    for (target, answers) in targets.iter().zip(&answers) {
        refuse_constant(&header[*target], answers).map_err(|message| problem(0, message))?;
    }
    let column = |index: usize, texts| Column {
        path: path.clone(),
        name: format!("target '{}'", &header[targets[index]]),
        texts,
        places: Places::Lines(lines.clone()),
    };
    let answers = match recipe.task {
        Task::Classification => Answers::Texts(column(0, answers.swap_remove(0))),
        Task::Regression => {
            let mut values = Vec::with_capacity(lines.len() * targets.len());
            for (row, line) in lines.iter().enumerate() {
                for (target, answers) in targets.iter().zip(&answers) {
                    let (name, field) = (&header[*target], &answers[row]);
                    let expected = "expected a number (at most 3.4e38 in size)";
                    let message = || format!("target '{name}' = '{field}': {expected}");
                    values.push(number(field).ok_or_else(|| problem(*line, message()))?);
                }
            }
            Answers::Numbers { column: column(0, Vec::new()), values, outputs: targets.len() }
        }
    };
    Ok(Sheet { path: path.clone(), shape: Shape::vector(features), values: Values::Numbers(inputs), answers })
}

/// Positions of the target columns: those named, or the last one.
pub(crate) fn target_columns(header: &[&str], wished: &[String]) -> Result<Vec<usize>, String> {
    let last = header.len() - 1;
    let place = |name: &String| {
        // An empty name stands for the last column, as no name does.
        if name.is_empty() {
            return Ok(last);
        }
        header.iter().position(|column| column == name).ok_or_else(|| {
            let hint = match nearest(name, header.iter().copied()) {
                Some(near) => format!("; did you mean '{near}'?"),
                None => format!("; the last one is '{}'", header[last]),
            };
            format!("no column '{name}' (data.target){hint}")
        })
    };
    let columns: Vec<usize> = wished.iter().map(place).collect::<Result<_, _>>()?;
    match columns.len() {
        0 => Ok(vec![last]),
        count if count >= header.len() => Err("every column is a target (data.target); none is left as input".into()),
        _ => Ok(columns),
    }
}

/// Refuses a target that says the same of every sample. By value: `1` and `1.0` are one class.
pub(crate) fn refuse_constant(column: &str, answers: &[String]) -> Result<(), String> {
    let Some(first) = answers.first() else { return Ok(()) };
    let same = |label: &String| label == first || number(label).is_some_and(|one| Some(one) == number(first));
    if answers.iter().all(same) {
        return Err(format!("target '{column}' is {first} on every sample; there is nothing to learn"));
    }
    Ok(())
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
    field.parse::<f64>().ok().filter(|value| is_usable(*value))
}
