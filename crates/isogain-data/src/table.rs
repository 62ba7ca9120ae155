//! All samples of one source, as the file has them.

use isogain_core::network::Shape;

use crate::error::{Error, Place, Result};
use crate::raw::Raw;

/// All samples of one source, before split and standardisation.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) shape: Shape,
    pub(crate) values: Values,
    pub(crate) wanted: Wanted,
    pub(crate) scaling: Scaling,
}

/// The inputs.
#[derive(Debug)]
pub(crate) enum Values {
    /// Row-major `[samples, values]`.
    Numbers(Vec<f64>),
    /// Row-major too; the first positions of a sample are padding, in `padding` so many numbers of each.
    Series { values: Vec<f64>, padding: Vec<usize> },
    /// As the file has them.
    Raw(Raw),
    /// Windows over the characters of a text, one after the other without overlap.
    Windows {
        tokens: Vec<u32>,
        length: usize,
        /// Different characters.
        vocabulary: usize,
    },
}

/// What is to be predicted.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// `each` labels for every sample.
    Labels { labels: Vec<u32>, classes: usize, each: usize },
    /// Row-major `[samples, outputs]`.
    Numbers { values: Vec<f64>, outputs: usize },
    /// The next character, at every position of a window.
    Next,
}

/// What shares one mean and one deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scaling {
    /// Each number of a sample has its own: columns, and the pixels of the digits.
    Value,
    /// Each channel has its own, over all positions.
    Feature,
    /// The numbers stay as they are.
    Never,
}

impl Table {
    /// Number of samples.
    pub(crate) fn rows(&self) -> usize {
        match &self.values {
            Values::Numbers(values) | Values::Series { values, .. } => values.len() / self.shape.values().max(1),
            Values::Raw(raw) => raw.rows(),
            Values::Windows { tokens, length, .. } => tokens.len().saturating_sub(1) / length,
        }
    }

    /// Appends the inputs of a row, as the file has them.
    pub(crate) fn read(&self, row: usize, out: &mut Vec<f64>) -> Result<()> {
        match &self.values {
            Values::Numbers(values) | Values::Series { values, .. } => {
                let count = self.shape.values();
                out.extend_from_slice(&values[row * count..][..count]);
            }
            Values::Raw(raw) => raw.read(row, out)?,
            Values::Windows { tokens, length, .. } => {
                out.extend(tokens[row * length..][..*length].iter().map(|&token| f64::from(token)));
            }
        }
        Ok(())
    }

    /// How many numbers at the start of a row are padding.
    pub(crate) fn padding(&self, row: usize) -> usize {
        match &self.values {
            Values::Series { padding, .. } => padding[row],
            _ => 0,
        }
    }

    /// Different input symbols, where the inputs are symbols.
    pub(crate) fn vocabulary(&self) -> Option<usize> {
        match &self.values {
            Values::Windows { vocabulary, .. } => Some(*vocabulary),
            _ => None,
        }
    }

    /// Classes; none for numbers.
    pub(crate) fn classes(&self) -> Option<usize> {
        match &self.wanted {
            Wanted::Labels { classes, .. } => Some(*classes),
            Wanted::Numbers { .. } => None,
            Wanted::Next => self.vocabulary(),
        }
    }

    /// Appends the labels of a row; nothing for numbers.
    pub(crate) fn labels(&self, row: usize, out: &mut Vec<usize>) {
        match (&self.wanted, &self.values) {
            (Wanted::Labels { labels, each, .. }, _) => {
                out.extend(labels[row * each..][..*each].iter().map(|&label| label as usize));
            }
            (Wanted::Next, Values::Windows { tokens, length, .. }) => {
                out.extend(tokens[row * length + 1..][..*length].iter().map(|&token| token as usize));
            }
            _ => {}
        }
    }

    /// Refuses numbers of a binary file that no network can hold.
    pub(crate) fn check(&self, path: &std::path::Path) -> Result<()> {
        let Values::Raw(raw) = &self.values else { return Ok(()) };
        if !raw.number.is_float() {
            return Ok(());
        }
        let mut values = Vec::with_capacity(raw.values);
        for row in 0..raw.rows() {
            values.clear();
            raw.read(row, &mut values)?;
            if let Some(index) = values.iter().position(|value| !is_usable(*value)) {
                let message = format!("{}: expected a number (at most 3.4e38 in size)", values[index]);
                return Err(Error::file(path, Place::Value(row, index), message));
            }
        }
        Ok(())
    }
}

/// Whether a network can hold the number, even in 32 bits.
pub(crate) fn is_usable(value: f64) -> bool {
    value.abs() <= f64::from(f32::MAX)
}
