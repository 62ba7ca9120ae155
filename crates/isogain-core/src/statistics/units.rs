//! Statistics of single units: which are dead, how each one varies over the batch, which ones do the same.

use std::collections::HashMap;

use super::error::StatisticsError;
use super::moments::fraction;
use super::real::Real;

/// What each of a layer's units did over a batch. All vectors have one entry per unit.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitStatistics {
    /// Number of samples seen.
    pub batch: usize,
    /// Mean over the samples with a finite value; `None` if there is none.
    pub mean: Vec<Option<f64>>,
    /// Population variance (divisor n) over the samples with a finite value; `None` if there is none.
    pub variance: Vec<Option<f64>>,
    /// Whether the unit is zero for every sample. A batch of no samples has no dead unit.
    pub dead: Vec<bool>,
    /// Whether an earlier unit has exactly the same value for every sample. Dead units are not compared: they say
    /// nothing about symmetry.
    pub duplicate: Vec<bool>,
    /// Number of values that are NaN or infinite, over all units.
    pub non_finite: u64,
}

impl UnitStatistics {
    /// Number of units.
    pub fn units(&self) -> usize {
        self.dead.len()
    }

    /// Number of dead units.
    pub fn dead_count(&self) -> u64 {
        count(&self.dead)
    }

    /// Share of the units that are dead, in [0, 1].
    pub fn dead_fraction(&self) -> f64 {
        fraction(self.dead_count(), self.units() as u64)
    }

    /// Number of live units that repeat an earlier one: live units minus distinct live units.
    pub fn duplicate_count(&self) -> u64 {
        count(&self.duplicate)
    }

    /// Share of the live units that repeat an earlier one, in [0, 1].
    pub fn duplicate_fraction(&self) -> f64 {
        fraction(self.duplicate_count(), self.units() as u64 - self.dead_count())
    }
}

fn count(flags: &[bool]) -> u64 {
    flags.iter().filter(|flag| **flag).count() as u64
}

/// Statistics per unit of `values`, a row-major buffer of shape `[batch, units]`.
///
/// # Errors
/// [`StatisticsError::ShapeMismatch`] if the buffer does not have `batch * units` values.
pub fn unit_statistics<T: Real>(values: &[T], batch: usize, units: usize) -> Result<UnitStatistics, StatisticsError> {
    if batch.checked_mul(units) != Some(values.len()) {
        return Err(StatisticsError::ShapeMismatch { len: values.len(), batch, units });
    }
    let mut columns = vec![Column::default(); units];
    if units > 0 {
        for row in values.chunks_exact(units) {
            for (column, value) in columns.iter_mut().zip(row) {
                column.take((*value).into());
            }
        }
    }
    let dead: Vec<bool> = columns.iter().map(|column| batch > 0 && !column.any_nonzero).collect();
    Ok(UnitStatistics {
        batch,
        mean: columns.iter().map(Column::mean).collect(),
        variance: columns.iter().map(Column::variance).collect(),
        duplicate: duplicates(values, units, &columns, &dead),
        dead,
        non_finite: columns.iter().map(|column| batch as u64 - column.finite).sum(),
    })
}

/// The running sums of one unit.
#[derive(Clone, Default)]
struct Column {
    finite: u64,
    /// The first finite value. Sums are of distances from it, so that a small spread around a large mean is kept.
    origin: f64,
    sum: f64,
    sum_of_squares: f64,
    any_nonzero: bool,
    hash: u64,
}

impl Column {
    fn take(&mut self, x: f64) {
        // Multiplier of the 64-bit linear congruential generator in Knuth, TAOCP vol. 2, 3.3.4.
        self.hash = (self.hash.rotate_left(29) ^ comparable_bits(x)).wrapping_mul(6_364_136_223_846_793_005);
        self.any_nonzero |= x != 0.0;
        if x.is_finite() {
            if self.finite == 0 {
                self.origin = x;
            }
            self.finite += 1;
            let distance = x - self.origin;
            self.sum += distance;
            self.sum_of_squares += distance * distance;
        }
    }

    fn mean(&self) -> Option<f64> {
        (self.finite > 0).then(|| self.origin + self.sum / self.finite as f64)
    }

    fn variance(&self) -> Option<f64> {
        let n = self.finite as f64;
        (self.finite > 0).then(|| ((self.sum_of_squares - self.sum * self.sum / n) / n).max(0.0))
    }
}

/// Bits that are equal when the values are: both zeros are one value, and so are all NaN.
fn comparable_bits(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() }
}

fn duplicates<T: Real>(values: &[T], units: usize, columns: &[Column], dead: &[bool]) -> Vec<bool> {
    let bits = |sample: usize, unit: usize| comparable_bits(values[sample * units + unit].into());
    let batch = values.len().checked_div(units).unwrap_or(0);
    // A batch of no samples cannot show two units to be alike.
    if batch == 0 {
        return vec![false; units];
    }
    let mut distinct: HashMap<u64, Vec<usize>> = HashMap::new();
    (0..units)
        .map(|unit| {
            if dead[unit] {
                return false;
            }
            let alike = distinct.entry(columns[unit].hash).or_default();
            let repeats = alike.iter().any(|&other| (0..batch).all(|sample| bits(sample, unit) == bits(sample, other)));
            if !repeats {
                alike.push(unit);
            }
            repeats
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_batch_by_hand() {
        #[rustfmt::skip]
        let values = [
            0.0, 1.0,  1.0, 5.0, -0.0, 2.0,
            0.0, 3.0,  3.0, 5.0,  0.0, f32::NAN,
        ];
        let s = unit_statistics(&values, 2, 6).unwrap();
        assert_eq!(s.dead, [true, false, false, false, true, false]);
        assert_eq!((s.dead_count(), s.dead_fraction()), (2, 1.0 / 3.0));
        assert_eq!(s.mean, [0.0, 2.0, 2.0, 5.0, 0.0, 2.0].map(Some));
        assert_eq!(s.variance, [0.0, 1.0, 1.0, 0.0, 0.0, 0.0].map(Some));
        assert_eq!(s.duplicate, [false, false, true, false, false, false]);
        assert_eq!((s.duplicate_count(), s.duplicate_fraction()), (1, 0.25));
        assert_eq!(s.non_finite, 1);
    }

    #[test]
    fn symmetric_units_are_all_but_one_duplicates() {
        let values: Vec<f64> = (0..10).flat_map(|sample| vec![f64::from(sample).sin(); 8]).collect();
        assert_eq!(unit_statistics(&values, 10, 8).unwrap().duplicate_count(), 7);
    }

    #[test]
    fn a_unit_without_a_finite_value_is_not_dead() {
        let s = unit_statistics(&[f64::NAN, f64::INFINITY], 2, 1).unwrap();
        assert_eq!((s.dead_count(), s.mean[0], s.variance[0], s.non_finite), (0, None, None, 2));
    }

    #[test]
    fn empty_shapes() {
        let s = unit_statistics::<f32>(&[], 0, 3).unwrap();
        assert_eq!((s.units(), s.dead_count(), s.duplicate_count(), s.mean[0]), (3, 0, 0, None));
        let s = unit_statistics::<f32>(&[], 4, 0).unwrap();
        assert_eq!((s.units(), s.dead_fraction(), s.duplicate_fraction()), (0, 0.0, 0.0));
    }

    #[test]
    fn a_wrong_shape_is_refused() {
        let error = StatisticsError::ShapeMismatch { len: 3, batch: 2, units: 2 };
        assert_eq!(unit_statistics(&[1.0f32; 3], 2, 2), Err(error));
        assert!(unit_statistics(&[1.0f32; 2], usize::MAX, 2).is_err());
    }

    #[test]
    fn a_small_spread_around_a_large_mean_is_kept() {
        let values: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i % 2) * 1e-3).collect();
        let variance = unit_statistics(&values, 1000, 1).unwrap().variance[0].unwrap();
        assert!((variance / 0.25e-6 - 1.0).abs() < 1e-3, "{variance}");
    }

    proptest! {
        #[test]
        fn every_unit_is_what_two_passes_over_its_column_say(
            (batch, units, values) in (1usize..20, 1usize..20).prop_flat_map(|(batch, units)| {
                let value = prop_oneof![3 => Just(0.0f32), 1 => Just(1.0f32), 1 => -10.0f32..10.0];
                (Just(batch), Just(units), prop::collection::vec(value, batch * units))
            })
        ) {
            let s = unit_statistics(&values, batch, units).unwrap();
            let column = |unit: usize| -> Vec<f32> { (0..batch).map(|b| values[b * units + unit]).collect() };
            for unit in 0..units {
                let xs = column(unit);
                let mean = xs.iter().map(|x| f64::from(*x)).sum::<f64>() / batch as f64;
                let variance = xs.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / batch as f64;
                prop_assert!((s.mean[unit].unwrap() - mean).abs() < 1e-12);
                prop_assert!((s.variance[unit].unwrap() - variance).abs() < 1e-10);
                let dead = xs.iter().all(|x| *x == 0.0);
                prop_assert_eq!(s.dead[unit], dead);
                prop_assert_eq!(s.duplicate[unit], !dead && (0..unit).any(|earlier| column(earlier) == xs));
            }
        }
    }
}
