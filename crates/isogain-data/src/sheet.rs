//! What a format hands on: inputs, and answers as they were written. Training and test part become tables together, so
//! that one class has one number in both.

use std::path::{Path, PathBuf};

use isogain_core::network::Shape;
use isogain_core::recipe::Task;

use crate::classes;
use crate::error::{Error, Place, Result};
use crate::table::{Scaling, Table, Values, Wanted, is_usable};

/// One source as a format has read it.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// The file of the inputs.
    pub(crate) path: PathBuf,
    pub(crate) shape: Shape,
    pub(crate) values: Values,
    pub(crate) answers: Answers,
}

/// The targets as they were written.
#[derive(Debug)]
pub(crate) enum Answers {
    /// One text for each sample.
    Texts(Column),
    /// `[samples, outputs]` numbers.
    Numbers { column: Column, values: Vec<f64>, outputs: usize },
    /// Classes whose number the format knows.
    Classes { labels: Vec<u32>, classes: usize },
    /// The next character.
    Next,
}

/// Where answers stand, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// The file.
    pub(crate) path: PathBuf,
    /// What the message calls it: `target 'kind'`, `label`.
    pub(crate) name: String,
    /// Each as written; none for binary numbers.
    pub(crate) texts: Vec<String>,
    pub(crate) places: Places,
}

/// The place of each answer.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    Lines(Vec<usize>),
    /// Numbered from 0.
    Rows,
    /// From the first byte, so many bytes each; so many answers a sample.
    Bytes(u64, u64),
}

impl Places {
    pub(crate) fn of(&self, row: usize) -> Place {
        match self {
            Self::Lines(lines) => Place::Line(lines[row]),
            Self::Rows => Place::Row(row),
            Self::Bytes(first, each) => Place::Byte(first + row as u64 * each),
        }
    }
}

impl Answers {
    /// How many; none where they come from the inputs themselves.
    fn count(&self) -> Option<usize> {
        match self {
            Self::Texts(column) => Some(column.texts.len()),
            Self::Numbers { values, outputs, .. } => Some(values.len() / outputs),
            Self::Classes { labels, .. } => Some(labels.len()),
            Self::Next => None,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Texts(column) | Self::Numbers { column, .. } => Some(&column.path),
            Self::Classes { .. } | Self::Next => None,
        }
    }
}

/// One table for each sheet; the first is for training.
pub(crate) fn tables(sheets: Vec<Sheet>, task: Task) -> Result<Vec<Table>> {
    if let Some(other) = sheets.iter().find(|sheet| sheet.shape != sheets[0].shape) {
        let message = format!("samples of {}; those for training are {}", shown(&other.shape), shown(&sheets[0].shape));
        return Err(Error::whole(&other.path, message));
    }
    let mut answers = Vec::new();
    let mut unfinished = Vec::new();
    for sheet in sheets {
        answers.push(sheet.answers);
        unfinished.push((sheet.path, sheet.shape, sheet.values));
    }
    let mut counts = Vec::new();
    for ((path, shape, values), answers) in unfinished.iter_mut().zip(&answers) {
        let taken = std::mem::replace(values, Values::Numbers(Vec::new()));
        let table = Table { shape: shape.clone(), values: taken, wanted: Wanted::Next, scaling: Scaling::Never };
        let rows = table.rows();
        *values = table.values;
        if let Some(count) = answers.count().filter(|count| *count != rows) {
            let message = format!("{count} labels; {} has {rows} samples", path.display());
            return Err(Error::whole(answers.path().unwrap_or(path), message));
        }
        counts.push(rows);
    }
    let wanted = wanted(answers, task)?;
    let scaling = |shape: &Shape, values: &Values| match values {
        Values::Windows { .. } => Scaling::Never,
        _ if shape.grid.is_empty() => Scaling::Value,
        _ => Scaling::Feature,
    };
    let table = |((path, shape, values), wanted): ((PathBuf, Shape, Values), Wanted)| {
        let scaling = scaling(&shape, &values);
        let table = Table { shape, values, wanted, scaling };
        table.check(&path)?;
        Ok(table)
    };
    unfinished.into_iter().zip(wanted).map(table).collect()
}

fn wanted(answers: Vec<Answers>, task: Task) -> Result<Vec<Wanted>> {
    match task {
        Task::Regression => answers.into_iter().map(regression).collect(),
        Task::Classification => classes::number(answers),
    }
}

fn regression(answers: Answers) -> Result<Wanted> {
    match answers {
        Answers::Numbers { column, values, outputs } => {
            if let Some(index) = values.iter().position(|value| !is_usable(*value)) {
                let message =
                    format!("{} = {}: expected a number (at most 3.4e38 in size)", column.name, values[index]);
                return Err(Error::file(&column.path, column.places.of(index / outputs), message));
            }
            Ok(Wanted::Numbers { values, outputs })
        }
        Answers::Texts(column) => {
            let number = |(row, text): (usize, &String)| {
                text.parse::<f64>().ok().filter(|value| is_usable(*value)).ok_or_else(|| {
                    let message = format!("{} = '{text}': expected a number (at most 3.4e38 in size)", column.name);
                    Error::file(&column.path, column.places.of(row), message)
                })
            };
            let values = column.texts.iter().enumerate().map(number).collect::<Result<_>>()?;
            Ok(Wanted::Numbers { values, outputs: 1 })
        }
        Answers::Classes { .. } | Answers::Next => {
            let expected = "this data has classes: must be \"classification\"";
            Err(Error::value("data.task", "\"regression\"", expected))
        }
    }
}

/// A shape as text: `28 x 28 positions of 1`, `30 numbers`.
pub(crate) fn shown(shape: &Shape) -> String {
    if shape.grid.is_empty() {
        return format!("{} numbers", shape.features);
    }
    let grid = shape.grid.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    format!("{grid} positions of {}", shape.features)
}
