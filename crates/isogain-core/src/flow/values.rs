//! A shared buffer of numbers, and sums over it that neither overflow nor underflow.
//!
//! Buffers are reference-counted: the output of one operation and the input of the next are the same allocation.

use std::borrow::Cow;
use std::sync::Arc;

use crate::statistics::{Moments, kernel};

/// The values of a tensor, row-major `[batch, features]` (a weight: `[fan_in, fan_out]`). Cloning shares the buffer.
#[derive(Clone, Debug)]
pub enum Values {
    /// Single precision.
    F32(Arc<Vec<f32>>),
    /// Double precision.
    F64(Arc<Vec<f64>>),
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values in double precision; single precision is copied.
    pub fn to_f64(&self) -> Cow<'_, [f64]> {
        match self {
            Self::F32(values) => Cow::Owned(values.iter().map(|&value| f64::from(value)).collect()),
            Self::F64(values) => Cow::Borrowed(values),
        }
    }

    /// The values in double precision, one after the other, without a copy of them all.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        let (single, double): (&[f32], &[f64]) = match self {
            Self::F32(values) => (values, &[]),
            Self::F64(values) => (&[], values),
        };
        single.iter().map(|&value| f64::from(value)).chain(double.iter().copied())
    }

    /// Count, sums and extremes.
    pub fn moments(&self) -> Moments {
        match self {
            Self::F32(values) => kernel::moments(values),
            Self::F64(values) => kernel::moments_f64(values),
        }
    }

    /// Root mean square; 0 for an empty buffer, NaN when a value is not finite.
    pub fn rms(&self) -> f64 {
        match self {
            // Squares of f32 neither overflow nor underflow f64, so that the kernel's plain sum is enough.
            Self::F32(values) => {
                let moments = kernel::moments(values);
                if moments.non_finite > 0 { f64::NAN } else { moments.rms().unwrap_or(0.0) }
            }
            Self::F64(values) => rms(values),
        }
    }
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(Arc::new(values))
    }
}

impl From<Vec<f64>> for Values {
    fn from(values: Vec<f64>) -> Self {
        Self::F64(Arc::new(values))
    }
}

/// Root mean square of `values`; 0 when there are none, NaN when one is not finite.
///
/// A cotangent of 1e-200 has a square that f64 cannot hold, so when the plain sum leaves the normal range the values are
/// divided by the largest magnitude first.
pub(super) fn rms<T: Copy + Into<f64>>(values: &[T]) -> f64 {
    let Some(count) = (!values.is_empty()).then_some(values.len() as f64) else {
        return 0.0;
    };
    let mean = sum(values, |value| value * value) / count;
    if (1e-280..1e300).contains(&mean) {
        return mean.sqrt();
    }
    let mut largest = 0.0_f64;
    for &value in values {
        let magnitude: f64 = value.into().abs();
        if !magnitude.is_finite() {
            return f64::NAN;
        }
        largest = largest.max(magnitude);
    }
    if largest == 0.0 {
        return 0.0;
    }
    let scaled = sum(values, |value| (value / largest) * (value / largest)) / count;
    largest * scaled.sqrt()
}

/// Sum of `a * b`, element by element.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

// Eight running sums: faster, and the rounding errors of eight short sums are smaller than those of a long one.
fn sum<T: Copy + Into<f64>>(values: &[T], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let blocks = values.chunks_exact(lanes.len());
    let rest: f64 = blocks.remainder().iter().map(|&value| term(value.into())).sum();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane += term(value.into());
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rms_of_known_values() {
        assert_eq!(rms::<f64>(&[]), 0.0);
        assert_eq!(rms(&[0.0_f32; 5]), 0.0);
        assert_eq!(rms(&[3.0, -3.0, 3.0]), 3.0);
        let eleven: Vec<f64> = (1..=11).map(f64::from).collect();
        assert!((rms(&eleven) - 46.0_f64.sqrt()).abs() < 1e-14);
        assert!(rms(&[1.0, f64::NAN]).is_nan());
        assert!(rms(&[1.0, f64::INFINITY]).is_nan());
    }

    #[test]
    fn rms_survives_where_squares_do_not() {
        for scale in [1e-300, 1e-200, 1e-140, 1e160, 1e300] {
            let value = rms(&[3.0 * scale, 4.0 * scale]) / scale;
            assert!((value - 12.5_f64.sqrt()).abs() < 1e-14, "scale {scale}: {value}");
        }
    }
}
