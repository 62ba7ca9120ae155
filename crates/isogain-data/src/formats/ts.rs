//! Time series in the text format of the UCR and UEA archive: lines that begin with `@` say what follows, then each line
//! is a sample, dimensions separated by colons, steps by commas, the class last. Shorter series are padded with zeros at
//! their front, so that what they end with stays next to the answer; the zeros are not standardised.

use isogain_core::network::Shape;
use isogain_core::recipe::Task;

use super::{Request, open};
use crate::error::{Error, Place, Result};
use crate::sheet::{Answers, Column, Places, Sheet};
use crate::table::{Values, is_usable};

pub(crate) fn read(requests: &[Request<'_>]) -> Result<Vec<Sheet>> {
    let files = requests.iter().map(File::read).collect::<Result<Vec<_>>>()?;
    let longest = files.iter().flat_map(|file| &file.series).map(|series| series.len() / file_dimensions(&files)).max();
    let longest = longest.unwrap_or(0);
    if let Some(other) = files.iter().find(|file| file.dimensions != files[0].dimensions) {
        let message =
            format!("series of {} dimensions; those for training have {}", other.dimensions, files[0].dimensions);
        return Err(Error::whole(&other.column.path, message));
    }
    files.into_iter().map(|file| file.sheet(longest)).collect()
}

fn file_dimensions(files: &[File]) -> usize {
    files[0].dimensions.max(1)
}

struct File {
    dimensions: usize,
    /// Each `[steps, dimensions]`.
    series: Vec<Vec<f64>>,
    column: Column,
    task: Task,
}

impl File {
    fn read(request: &Request<'_>) -> Result<Self> {
        let path = &request.path;
        let bytes = open(path, request.key, &path.display().to_string())?.all()?;
        let wrong = |line: usize, message: String| Error::file(path, Place::Line(line), message);
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            wrong(line, "not UTF-8 text".into())
        })?;
        let mut file = Self {
            dimensions: 0,
            series: Vec::new(),
            column: Column {
                path: path.clone(),
                name: "class".into(),
                texts: Vec::new(),
                places: Places::Lines(Vec::new()),
            },
            task: request.recipe.task,
        };
        let (mut lines, mut is_data) = (Vec::new(), false);
        let known = text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        for (line, number) in known {
            if is_data {
                file.sample(line).map_err(|message| wrong(number, message))?;
                lines.push(number);
                continue;
            }
            let lower = line.to_lowercase();
            let mut words = lower.split_whitespace();
            match (words.next(), words.next()) {
                (Some("@data"), _) => is_data = true,
                (Some("@timestamps"), Some("true")) => {
                    return Err(wrong(
                        number,
                        "series with time stamps are not read; only values, step by step".into(),
                    ));
                }
                (Some("@classlabel" | "@targetlabel"), Some("false")) => {
                    return Err(wrong(number, "series without an answer (@classLabel false); one is needed".into()));
                }
                (Some(word), _) if word.starts_with('@') => {}
                _ => return Err(wrong(number, "expected a line that begins with @, or @data before this one".into())),
            }
        }
        if file.series.len() < 2 {
            let message = format!("{} series after @data; at least 2 are needed", file.series.len());
            return Err(Error::whole(path, message));
        }
        file.column.places = Places::Lines(lines);
        Ok(file)
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let mut parts: Vec<&str> = line.split(':').collect();
        let Some(answer) = parts.pop().filter(|_| !parts.is_empty()) else {
            return Err("no answer; expected steps separated by commas, dimensions and the class by colons".into());
        };
        let parse = |(part, dimension): (&&str, usize)| {
            let value = |(field, step): (&str, usize)| {
                field.trim().parse::<f64>().ok().filter(|value| is_usable(*value)).ok_or_else(|| {
                    format!("dimension {dimension}, step {step} = '{}': expected a number", field.trim())
                })
            };
            part.split(',').zip(1..).map(value).collect::<Result<Vec<f64>, String>>()
        };
        let columns = parts.iter().zip(1..).map(parse).collect::<Result<Vec<_>, _>>()?;
        if self.series.is_empty() {
            self.dimensions = columns.len();
        }
        if columns.len() != self.dimensions {
            return Err(format!("{} dimensions; the first series has {}", columns.len(), self.dimensions));
        }
        let steps = columns[0].len();
        if let Some((other, dimension)) = columns.iter().zip(1..).find(|(column, _)| column.len() != steps) {
            return Err(format!("dimension {dimension} has {} steps; the first one has {steps}", other.len()));
        }
        self.series.push((0..steps).flat_map(|step| columns.iter().map(move |column| column[step])).collect());
        self.column.texts.push(answer.trim().to_owned());
        Ok(())
    }

    fn sheet(self, longest: usize) -> Result<Sheet> {
        let shape = Shape::sequence(longest, self.dimensions);
        let padding: Vec<usize> = self.series.iter().map(|series| shape.values() - series.len()).collect();
        let mut values = Vec::with_capacity(self.series.len() * shape.values());
        for (series, padding) in self.series.iter().zip(&padding) {
            values.extend(std::iter::repeat_n(0.0, *padding));
            values.extend_from_slice(series);
        }
        let path = self.column.path.clone();
        // UCR numbers its classes from 1, and not always without a gap: they are names.
        let mut column = self.column;
        if self.task == Task::Classification && column.texts.iter().all(|text| !text.is_empty()) {
            column.texts.iter_mut().for_each(|text| *text = format!("class {text}"));
        }
        Ok(Sheet { path, shape, values: Values::Series { values, padding }, answers: Answers::Texts(column) })
    }
}
