//! The affine map from a file's numbers to what the network sees, measured on the training part.

use isogain_core::statistics::Moments;
use isogain_core::statistics::kernel::moments_f64;

use crate::error::Result;
use crate::table::{Scaling, Table, Wanted};

/// `(value - mean) / divisor * factor`, and the same for targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scale {
    /// For each column; none where the numbers stay as they are.
    columns: Vec<(f64, f64)>,
    factor: f64,
    /// For each output; none where the targets stay as they are.
    targets: Vec<(f64, f64)>,
}

/// Smallest deviation that a feature is divided by, as a part of its largest value (at most of 1), so that a pixel that
/// is nearly always empty is not blown up.
const DEVIATION_FLOOR: f64 = 0.1;

impl Scale {
    /// Measures the rows of the training part, one after the other.
    pub(crate) fn measure(
        table: &Table,
        rows: &[usize],
        standardize: bool,
        standardize_target: bool,
        factor: f64,
    ) -> Result<Self> {
        let columns = if standardize && table.scaling != Scaling::Never { columns(table, rows)? } else { Vec::new() };
        let targets = match &table.wanted {
            Wanted::Numbers { values, outputs } if standardize_target && table.scaling != Scaling::Never => {
                let scale = |output: usize| {
                    let mut measure = Measure::default();
                    rows.iter().for_each(|row| measure.push(&[values[row * outputs + output]]));
                    let moments = measure.moments();
                    let deviation = moments.variance().unwrap_or(0.0).sqrt();
                    (moments.mean().unwrap_or(0.0), if deviation > 0.0 { deviation } else { 1.0 })
                };
                (0..*outputs).map(scale).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self { columns, factor, targets })
    }

    /// Scales the numbers of one or more samples that begin at a whole position.
    pub(crate) fn inputs(&self, values: &mut [f64]) {
        if !self.columns.is_empty() {
            for position in values.chunks_exact_mut(self.columns.len()) {
                for (value, (mean, divisor)) in position.iter_mut().zip(&self.columns) {
                    *value = (*value - mean) / divisor;
                }
            }
        }
        if self.factor != 1.0 {
            values.iter_mut().for_each(|value| *value *= self.factor);
        }
    }

    /// Scales targets `[samples, outputs]`.
    pub(crate) fn targets(&self, values: &mut [f64]) {
        if !self.targets.is_empty() {
            for sample in values.chunks_exact_mut(self.targets.len()) {
                for (value, (mean, divisor)) in sample.iter_mut().zip(&self.targets) {
                    *value = (*value - mean) / divisor;
                }
            }
        }
    }
}

/// Numbers that have a statistic of their own.
pub(crate) fn column_count(table: &Table) -> usize {
    if table.scaling == Scaling::Value { table.shape.values() } else { table.shape.features }
}

/// Mean and divisor of each column, in two passes.
fn columns(table: &Table, rows: &[usize]) -> Result<Vec<(f64, f64)>> {
    let columns = column_count(table);
    let positions = table.shape.values() / columns.max(1);
    let padded: usize = rows.iter().map(|&row| table.padding(row)).sum();
    let count = (rows.len() * positions - padded / columns.max(1)).max(1) as f64;
    let (mut mean, mut square, mut largest) = (vec![0.0; columns], vec![0.0; columns], vec![0.0_f64; columns]);
    let mut first: Vec<Option<f64>> = vec![None; columns];
    let mut constant = vec![true; columns];
    let each = |work: &mut dyn FnMut(&[f64])| -> Result<()> {
        let mut values = Vec::with_capacity(table.shape.values());
        for &row in rows {
            values.clear();
            table.read(row, &mut values)?;
            values[table.padding(row)..].chunks_exact(columns).for_each(&mut *work);
        }
        Ok(())
    };
    each(&mut |position| {
        for (column, value) in position.iter().enumerate() {
            mean[column] += value / count;
            largest[column] = largest[column].max(value.abs());
            constant[column] &= *first[column].get_or_insert(*value) == *value;
        }
    })?;
    // The rounded mean of a column of equal values is not that value; divided by a small deviation, the difference would
    // look like a signal.
    for ((mean, first), _) in mean.iter_mut().zip(&first).zip(&constant).filter(|(_, constant)| **constant) {
        *mean = first.unwrap_or(*mean);
    }
    each(&mut |position| {
        for ((sum, value), mean) in square.iter_mut().zip(position).zip(&mean) {
            *sum += (value - mean).powi(2) / count;
        }
    })?;
    let divisors = square.iter().zip(&largest).map(|(square, largest)| {
        let divisor = square.sqrt().max(DEVIATION_FLOOR * largest.min(1.0));
        if divisor > 0.0 { divisor } else { 1.0 }
    });
    Ok(mean.iter().copied().zip(divisors).collect())
}

/// Moments of numbers that come in pieces: the same bits as those of all at once.
#[derive(Default)]
pub(crate) struct Measure {
    total: Moments,
    waiting: Vec<f64>,
}

/// What the kernel takes at once.
const BLOCK: usize = 16 * 1024;

impl Measure {
    pub(crate) fn push(&mut self, values: &[f64]) {
        self.waiting.extend_from_slice(values);
        let whole = self.waiting.len() / BLOCK * BLOCK;
        if whole > 0 {
            self.waiting[..whole].chunks(BLOCK).for_each(|block| self.total.merge(&moments_f64(block)));
            self.waiting.drain(..whole);
        }
    }

    pub(crate) fn moments(mut self) -> Moments {
        if !self.waiting.is_empty() {
            self.total.merge(&moments_f64(&self.waiting));
        }
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_pieces_are_moments_of_the_whole() {
        let values: Vec<f64> = (0..50_000).map(|index| f64::from(index).sin() * 3.0).collect();
        for piece in [1, 100, 16_384, 20_000, 50_000] {
            let mut measure = Measure::default();
            values.chunks(piece).for_each(|piece| measure.push(piece));
            assert_eq!(measure.moments(), moments_f64(&values), "pieces of {piece}");
        }
    }
}
