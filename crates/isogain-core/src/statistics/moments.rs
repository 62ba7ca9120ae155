//! The moments of a tensor: what one pass over its values leaves behind.
//!
//! Non-finite values are counted and kept out of every other sum, so that one NaN neither hides the rest of the
//! tensor nor disappears.

use serde::{Deserialize, Deserializer, Serialize};

/// Count, sums and extremes of a tensor's values. The default is the empty tensor; [`Moments::merge`] of the parts is
/// the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Number of values, the non-finite ones included.
    pub count: u64,
    /// Sum of the finite values. Not finite only if it left the range of f64, which f32 input cannot reach.
    #[serde(deserialize_with = "number_or_nan")]
    pub sum: f64,
    /// Sum of the squares of the finite values. `+inf` if it left the range of f64, which f32 input cannot reach.
    #[serde(deserialize_with = "number_or_infinity")]
    pub sum_of_squares: f64,
    /// Smallest finite value; `None` if there is none. A negative zero is kept as zero.
    pub min: Option<f64>,
    /// Largest finite value; `None` if there is none. A negative zero is kept as zero.
    pub max: Option<f64>,
    /// Largest magnitude of a finite value; 0 if there is none.
    pub abs_max: f64,
    /// Number of values that are exactly zero, of either sign.
    pub zeros: u64,
    /// Number of values that are NaN or infinite.
    pub non_finite: u64,
}

// JSON has no infinities and writes them as null; these two read that back.
fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn number_or_infinity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

impl Moments {
    /// Number of finite values.
    pub fn finite(&self) -> u64 {
        self.count - self.non_finite
    }

    /// Number of values that are finite and not zero.
    pub fn finite_nonzero(&self) -> u64 {
        self.finite() - self.zeros
    }

    /// Mean of the finite values; `None` if there is none.
    pub fn mean(&self) -> Option<f64> {
        self.over_finite(self.sum)
    }

    /// Mean of the squares of the finite values; `None` if there is none.
    pub fn mean_square(&self) -> Option<f64> {
        self.over_finite(self.sum_of_squares)
    }

    /// Root mean square of the finite values; `None` if there is none.
    pub fn rms(&self) -> Option<f64> {
        self.mean_square().map(f64::sqrt)
    }

    /// Population variance (divisor n) of the finite values; `None` if there is none.
    ///
    /// It is E x^2 - (E x)^2, never below zero. The subtraction leaves an absolute error of about 1e-15 (E x)^2, so a
    /// spread below some 1e-7 of the mean cannot be told from none.
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean()?;
        Some((self.mean_square()? - mean * mean).max(0.0))
    }

    /// Euclidean norm of the finite values; 0 if there is none.
    pub fn norm(&self) -> f64 {
        self.sum_of_squares.sqrt()
    }

    /// Share of the finite values that are exactly zero, in [0, 1]; 0 if there is none.
    pub fn zero_fraction(&self) -> f64 {
        fraction(self.zeros, self.finite())
    }

    /// Share of all values that are NaN or infinite, in [0, 1]; 0 for an empty tensor.
    pub fn non_finite_fraction(&self) -> f64 {
        fraction(self.non_finite, self.count)
    }

    /// The moments of the same tensor with every value multiplied by `factor`, which is not zero: a gradient without its
    /// loss scale.
    pub fn scaled(&self, factor: f64) -> Self {
        let (low, high) = if factor < 0.0 { (self.max, self.min) } else { (self.min, self.max) };
        Self {
            sum: self.sum * factor,
            sum_of_squares: self.sum_of_squares * factor * factor,
            min: low.map(|low| low * factor),
            max: high.map(|high| high * factor),
            abs_max: self.abs_max * factor.abs(),
            ..*self
        }
    }

    /// Takes in the moments of another part of the same tensor.
    pub fn merge(&mut self, other: &Moments) {
        self.count += other.count;
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
        self.min = extreme(self.min, other.min, f64::min);
        self.max = extreme(self.max, other.max, f64::max);
        self.abs_max = self.abs_max.max(other.abs_max);
        self.zeros += other.zeros;
        self.non_finite += other.non_finite;
    }

    fn over_finite(&self, total: f64) -> Option<f64> {
        (self.finite() > 0).then(|| total / self.finite() as f64)
    }
}

fn extreme(a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(pick(a, b)),
        (one, None) | (None, one) => one,
    }
}

/// `part / whole`, and 0 of nothing.
pub(super) fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn scaling_is_that_of_every_value() {
        let values = [1.5_f32, -2.0, 0.0, f32::NAN, 0.25];
        for factor in [-4.0_f64, 0.5] {
            let scaled: Vec<f32> = values.iter().map(|value| value * factor as f32).collect();
            let (of, by) = (super::super::kernel::moments(&values), super::super::kernel::moments(&scaled));
            assert_eq!(of.scaled(factor), by);
        }
    }

    use proptest::prelude::*;

    use super::super::kernel::{moments, moments_f64};
    use super::*;

    #[test]
    fn of_known_values() {
        let m = moments(&[3.0, -4.0, 0.0, -0.0, f32::NAN, f32::NEG_INFINITY]);
        assert_eq!(m.count, 6);
        assert_eq!((m.zeros, m.non_finite, m.finite_nonzero()), (2, 2, 2));
        assert_eq!((m.min, m.max, m.abs_max), (Some(-4.0), Some(3.0), 4.0));
        assert_eq!(m.mean(), Some(-0.25));
        assert_eq!(m.rms(), Some(2.5));
        assert_eq!(m.variance(), Some(6.25 - 0.0625));
        assert_eq!(m.norm(), 5.0);
        assert_eq!(m.zero_fraction(), 0.5);
        assert_eq!(m.non_finite_fraction(), 2.0 / 6.0);
    }

    #[test]
    fn of_nothing() {
        let m = Moments::default();
        assert_eq!((m.mean(), m.rms(), m.variance(), m.norm()), (None, None, None, 0.0));
        assert_eq!((m.zero_fraction(), m.non_finite_fraction()), (0.0, 0.0));
        assert_eq!(moments(&[]), m);
        let only_nan = moments(&[f32::NAN]);
        assert_eq!((only_nan.min, only_nan.mean(), only_nan.non_finite_fraction()), (None, None, 1.0));
    }

    #[test]
    fn survives_json() {
        let overflowed = moments_f64(&[1e200, 2e200]);
        assert_eq!(overflowed.sum_of_squares, f64::INFINITY);
        for m in [Moments::default(), moments(&[f32::NAN]), moments(&[0.1, -2.5e-30, f32::INFINITY]), overflowed] {
            let json = serde_json::to_string(&m).unwrap();
            assert_eq!(serde_json::from_str::<Moments>(&json).unwrap(), m, "{json}");
        }
    }

    proptest! {
        #[test]
        fn merge_of_the_parts_is_the_whole(values in prop::collection::vec(-1e3f32..1e3, 0..5000), at in 0.0..1.0f64) {
            let (left, right) = values.split_at((values.len() as f64 * at) as usize);
            let mut merged = moments(left);
            merged.merge(&moments(right));
            let whole = moments(&values);
            prop_assert_eq!((merged.count, merged.zeros, merged.non_finite), (whole.count, whole.zeros, whole.non_finite));
            prop_assert_eq!((merged.min, merged.max, merged.abs_max), (whole.min, whole.max, whole.abs_max));
            let magnitude: f64 = values.iter().map(|&x| f64::from(x).abs()).sum();
            prop_assert!((merged.sum - whole.sum).abs() <= 1e-12 * magnitude);
            prop_assert!((merged.sum_of_squares - whole.sum_of_squares).abs() <= 1e-12 * whole.sum_of_squares);
        }

        #[test]
        fn merging_nothing_changes_nothing(values in prop::collection::vec(-1e3f32..1e3, 0..100)) {
            let whole = moments(&values);
            let mut merged = whole;
            merged.merge(&Moments::default());
            prop_assert_eq!(merged, whole);
            let mut merged = Moments::default();
            merged.merge(&whole);
            prop_assert_eq!(merged, whole);
        }
    }
}
