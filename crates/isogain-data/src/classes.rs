//! Answers as class indices from 0.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Place, Result};
use crate::sheet::{Answers, Column};
use crate::table::Wanted;

/// More classes than this are taken for a regression target by mistake.
const MOST_CLASSES: usize = 1000;

/// Class indices of training and test part. Whole numbers from 0 are indices; any other text is a name, numbered in
/// sorted order.
pub(crate) fn number(answers: Vec<Answers>) -> Result<Vec<Wanted>> {
    if let Some(Answers::Numbers { outputs, column, .. }) =
        answers.iter().find(|one| matches!(one, Answers::Numbers { outputs, .. } if *outputs > 1))
    {
        let message = format!("{outputs} numbers for each sample; a class is one (or set data.task = \"regression\")");
        return Err(Error::whole(&column.path, message));
    }
    let columns: Option<Vec<Labels>> = answers.iter().map(Labels::of).collect();
    let Some(columns) = columns else { return Ok(answers.into_iter().map(known).collect()) };
    for labels in &columns {
        labels.refuse_missing()?;
    }
    let numbers: Option<Vec<Vec<f64>>> = columns.iter().map(Labels::numbers).collect();
    let (indices, classes) = match numbers {
        Some(numbers) => numbered(&columns, &numbers)?,
        None => named(&columns)?,
    };
    // One class cannot be told from another, and is refused later; a loss needs two.
    let classes = classes.max(2);
    Ok(indices.into_iter().map(|labels| Wanted::Labels { labels, classes, each: 1 }).collect())
}

fn known(answers: Answers) -> Wanted {
    match answers {
        Answers::Classes { labels, classes } => Wanted::Labels { labels, classes, each: 1 },
        _ => Wanted::Next,
    }
}

/// The labels of one file.
struct Labels<'a> {
    column: &'a Column,
    /// Of binary files.
    values: Option<&'a [f64]>,
}

impl<'a> Labels<'a> {
    fn of(answers: &'a Answers) -> Option<Self> {
        match answers {
            Answers::Texts(column) => Some(Self { column, values: None }),
            Answers::Numbers { column, values, .. } => Some(Self { column, values: Some(values) }),
            Answers::Classes { .. } | Answers::Next => None,
        }
    }

    fn error(&self, row: usize, message: String) -> Error {
        Error::file(&self.column.path, self.column.places.of(row), message)
    }

    fn shown(&self, row: usize) -> String {
        match self.values {
            Some(values) => values[row].to_string(),
            None => self.column.texts[row].clone(),
        }
    }

    fn refuse_missing(&self) -> Result<()> {
        let is_missing = |text: &String| text.is_empty() || text.eq_ignore_ascii_case("nan");
        let row = match self.values {
            Some(values) => values.iter().position(|value| value.is_nan()),
            None => self.column.texts.iter().position(is_missing),
        };
        row.map_or(Ok(()), |row| {
            Err(self.error(row, format!("{} = '{}': expected a class", self.column.name, self.shown(row))))
        })
    }

    fn numbers(&self) -> Option<Vec<f64>> {
        match self.values {
            Some(values) => Some(values.to_vec()),
            None => self.column.texts.iter().map(|text| text.parse().ok()).collect(),
        }
    }
}

type Indices = (Vec<Vec<u32>>, usize);

fn numbered(columns: &[Labels<'_>], numbers: &[Vec<f64>]) -> Result<Indices> {
    for (labels, numbers) in columns.iter().zip(numbers) {
        let wrong = numbers.iter().position(|n| n.fract() != 0.0 || *n < 0.0 || *n >= MOST_CLASSES as f64);
        if let Some(row) = wrong {
            let message = format!(
                "{} = {}: not a class; labels are whole numbers from 0 to {} (or names). For a number to predict, set \
                 data.task = \"regression\"",
                labels.column.name,
                labels.shown(row),
                MOST_CLASSES - 1
            );
            return Err(labels.error(row, message));
        }
    }
    let indices: Vec<Vec<u32>> = numbers.iter().map(|file| file.iter().map(|n| *n as u32).collect()).collect();
    let found: BTreeSet<u32> = indices.iter().flatten().copied().collect();
    // A label far out is nearly always a slip, and the network would get outputs that no sample asks for.
    if let Some(missing) = (0..found.len() as u32).find(|class| !found.contains(class)) {
        for (labels, indices) in columns.iter().zip(&indices) {
            let Some(row) = indices.iter().position(|label| *label > missing) else { continue };
            let message = format!(
                "{} = {}: no sample has class {missing}; the {} classes are numbered from 0 to {} without a gap (or \
                 named)",
                labels.column.name,
                indices[row],
                found.len(),
                found.len() - 1
            );
            return Err(labels.error(row, message));
        }
    }
    Ok((indices, found.len()))
}

fn named(columns: &[Labels<'_>]) -> Result<Indices> {
    let texts: Vec<Vec<String>> =
        columns.iter().map(|labels| (0..labels.len()).map(|row| labels.shown(row)).collect()).collect();
    let mut names: BTreeMap<&str, u32> = texts.iter().flatten().map(|name| (name.as_str(), 0)).collect();
    names.values_mut().zip(0..).for_each(|(class, index)| *class = index);
    if names.len() > MOST_CLASSES {
        let column = columns[0].column;
        let message = format!("{} has {} different values; more than {MOST_CLASSES} classes", column.name, names.len());
        return Err(Error::file(&column.path, Place::Whole, message));
    }
    let indices = texts.iter().map(|file| file.iter().map(|name| names[name.as_str()]).collect()).collect();
    Ok((indices, names.len()))
}

impl Labels<'_> {
    fn len(&self) -> usize {
        self.values.map_or(self.column.texts.len(), <[f64]>::len)
    }
}
