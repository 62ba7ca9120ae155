//! An array of a binary file: `[samples, ...]` numbers, as inputs or as answers.

use std::path::PathBuf;

use isogain_core::names::nearest;
use isogain_core::network::Shape;

use crate::error::{Error, Place, Result};
use crate::number::Number;
use crate::raw::{Bytes, Raw, Segment};
use crate::sheet::{Answers, Column, Places, Sheet};
use crate::table::Values;

/// Numbers with their dimensions.
#[derive(Debug)]
pub(crate) struct Array {
    pub(crate) path: PathBuf,
    /// Its key in the file; empty where it is alone.
    pub(crate) key: String,
    pub(crate) number: Number,
    pub(crate) is_big_endian: bool,
    /// As long as the bytes are.
    pub(crate) dims: Vec<usize>,
    pub(crate) bytes: Bytes,
}

impl Array {
    fn error(&self, message: impl Into<String>) -> Error {
        let place = if self.key.is_empty() { Place::Whole } else { Place::Key(self.key.clone()) };
        Error::file(&self.path, place, message)
    }

    /// Shape of a sample, and in how many planes its channels are stored.
    fn sample(&self) -> Result<(Shape, usize)> {
        let dims = self.dims.get(1..).unwrap_or_default();
        let found = match *dims {
            [] => (Shape::vector(1), 1),
            [features] => (Shape::vector(features), 1),
            // Bytes are pixels; other numbers are series.
            [height, width] if self.number == Number::U8 => (Shape::image(height, width, 1), 1),
            [steps, features] => (Shape::sequence(steps, features), 1),
            [channels @ (1 | 3), height, width] if ![1, 3, 4].contains(&width) => {
                (Shape::image(height, width, channels), channels)
            }
            [height, width, channels] => (Shape::image(height, width, channels), 1),
            _ => {
                let message =
                    format!("{} dimensions; samples, height, width and channels are at most 4", dims.len() + 1);
                return Err(self.error(message));
            }
        };
        Ok(found)
    }

    fn raw(self, values: usize, planes: usize) -> Raw {
        let segments = vec![Segment { rows: self.dims.first().copied().unwrap_or(0), bytes: self.bytes }];
        Raw { number: self.number, is_big_endian: self.is_big_endian, skip: 0, values, planes, segments }
    }

    /// The inputs with their answers.
    pub(crate) fn sheet(self, answers: Answers) -> Result<Sheet> {
        let (shape, planes) = self.sample()?;
        let rows = self.dims.first().copied().unwrap_or(0);
        if rows < 2 || shape.values() == 0 {
            let message = format!("{rows} samples of {} numbers; at least 2 samples of 1 are needed", shape.values());
            return Err(self.error(message));
        }
        let path = self.path.clone();
        let values = Values::Raw(self.raw(shape.values(), planes));
        Ok(Sheet { path, shape, values, answers })
    }

    /// One number, or several, for each sample.
    pub(crate) fn answers(self) -> Result<Answers> {
        let outputs = match *self.dims.as_slice() {
            [_] => 1,
            [_, outputs] if outputs > 0 => outputs,
            _ => return Err(self.error(format!("{} dimensions; targets have 1 or 2", self.dims.len()))),
        };
        let name = if self.key.is_empty() { "label".to_owned() } else { format!("target '{}'", self.key) };
        let column = Column { path: self.path.clone(), name, texts: Vec::new(), places: Places::Rows };
        let rows = self.dims[0];
        let raw = self.raw(outputs, 1);
        let mut values = Vec::with_capacity(rows * outputs);
        for row in 0..rows {
            raw.read(row, &mut values)?;
        }
        Ok(Answers::Numbers { column, values, outputs })
    }
}

/// Which keys hold the inputs and which the answers; a second pair is the test part.
pub(crate) fn pairs(keys: &[String], target: &[String], path: &std::path::Path) -> Result<Vec<[String; 2]>> {
    let has = |key: &str| keys.iter().any(|known| known == key);
    let list = || keys.join(", ");
    if target.len() > 1 {
        return Err(Error::missing("data.target", "must be one key: its array may have several numbers a sample"));
    }
    if let Some(target) = target.first() {
        if !has(target) {
            let near = nearest(target, keys.iter().map(String::as_str));
            let hint = near.map_or_else(|| format!("; it has {}", list()), |near| format!("; did you mean '{near}'?"));
            return Err(Error::whole(path, format!("no '{target}' (data.target){hint}")));
        }
        let others: Vec<&String> = keys.iter().filter(|key| *key != target).collect();
        let [inputs] = others.as_slice() else {
            let message =
                format!("{} arrays beside '{target}' ({}); exactly one, the inputs, is needed", others.len(), list());
            return Err(Error::whole(path, message));
        };
        return Ok(vec![[(*inputs).clone(), target.clone()]]);
    }
    let pair = |inputs: &str, answers: &str| [inputs.to_owned(), answers.to_owned()];
    if has("x_train") && has("y_train") {
        let mut found = vec![pair("x_train", "y_train")];
        if has("x_test") && has("y_test") {
            found.push(pair("x_test", "y_test"));
        }
        return Ok(found);
    }
    let known = [("x", "y"), ("X", "y"), ("inputs", "targets"), ("images", "labels"), ("data", "target")];
    if let Some((inputs, answers)) = known.into_iter().find(|(inputs, answers)| has(inputs) && has(answers)) {
        return Ok(vec![pair(inputs, answers)]);
    }
    let message = format!("which array holds the targets? Set data.target to one of {}", list());
    Err(Error::whole(path, message))
}
