//! Training or test part: rows of a table, scaled when they are asked for.

use std::sync::{Arc, OnceLock};

use isogain_core::network::Shape;

use crate::error::{Error, Result};
use crate::samples::{Samples, Targets};
use crate::scale::Scale;
use crate::table::{Table, Wanted};

/// Samples that are kept as the file has them.
#[derive(Clone, Debug)]
pub struct Part {
    pub(crate) table: Arc<Table>,
    /// Rows of the table.
    pub(crate) rows: Arc<Vec<usize>>,
    pub(crate) scale: Arc<Scale>,
    damage: Arc<OnceLock<Error>>,
}

impl Part {
    pub(crate) fn new(table: Arc<Table>, rows: Vec<usize>, scale: Arc<Scale>) -> Self {
        Self { table, rows: Arc::new(rows), scale, damage: Arc::default() }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Shape of one sample.
    pub fn shape(&self) -> &Shape {
        &self.table.shape
    }

    /// The samples of these rows of the part, in this order, as the network sees them.
    ///
    /// A file too large for memory is read here. Where that fails, the sample becomes NaN, which ends a training, and
    /// [`Part::intact`] says why.
    ///
    /// # Panics
    /// When a row is not below [`Part::len`].
    pub fn select(&self, rows: &[usize]) -> Samples {
        let count = self.table.shape.values();
        let mut inputs = Vec::with_capacity(rows.len() * count);
        for &row in rows {
            let (row, from) = (self.rows[row], inputs.len());
            if let Err(error) = self.table.read(row, &mut inputs) {
                inputs.resize(from + count, f64::NAN);
                self.damage.get_or_init(|| error);
            }
            self.scale.inputs(&mut inputs[from + self.table.padding(row)..]);
        }
        Samples { shape: self.table.shape.clone(), inputs, targets: self.targets(rows) }
    }

    /// The targets of these rows alone.
    pub(crate) fn targets(&self, rows: &[usize]) -> Targets {
        if let Wanted::Numbers { values, outputs } = &self.table.wanted {
            let of = |&row: &usize| &values[self.rows[row] * outputs..][..*outputs];
            let mut values: Vec<f64> = rows.iter().flat_map(of).copied().collect();
            self.scale.targets(&mut values);
            return Targets::Values { values, outputs: *outputs };
        }
        let mut labels = Vec::with_capacity(rows.len());
        rows.iter().for_each(|&row| self.table.labels(self.rows[row], &mut labels));
        Targets::Classes { labels, classes: self.table.classes().unwrap_or(0) }
    }

    /// Every sample at once.
    pub fn all(&self) -> Samples {
        self.select(&(0..self.len()).collect::<Vec<_>>())
    }

    /// Every sample in order, at most so many at once.
    pub fn pieces(&self, most: usize) -> impl Iterator<Item = Samples> + '_ {
        let most = most.max(1);
        (0..self.len()).step_by(most).map(move |start| {
            let rows: Vec<usize> = (start..(start + most).min(self.len())).collect();
            self.select(&rows)
        })
    }

    /// Whether everything that was asked for so far could be read.
    ///
    /// # Errors
    /// The first thing that could not: a file on disk was cut short or taken away during training.
    pub fn intact(&self) -> Result<()> {
        self.damage.get().map_or(Ok(()), |error| Err(error.again()))
    }

    /// Whether every sample has the same target.
    pub(crate) fn is_constant(&self) -> bool {
        let mut rows = (0..self.len()).map(|row| self.targets(&[row]));
        let first = rows.next();
        match &first {
            Some(Targets::Classes { labels, .. }) if labels.windows(2).any(|pair| pair[0] != pair[1]) => false,
            _ => rows.all(|targets| Some(targets) == first),
        }
    }
}
