//! The reference: plain loops that every machine runs, and that tell non-finite values apart one by one.

use super::super::moments::Moments;
use super::super::real::Real;

/// Moments of `values`, with the non-finite ones counted and left out.
pub(super) fn moments<T: Real>(values: &[T]) -> Moments {
    let (mut sum, mut sum_of_squares) = (0.0, 0.0);
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut zeros, mut non_finite) = (0, 0);
    for &value in values {
        let x: f64 = value.into();
        if !x.is_finite() {
            non_finite += 1;
            continue;
        }
        sum += x;
        sum_of_squares += x * x;
        min = if x < min { x } else { min };
        max = if x > max { x } else { max };
        zeros += u64::from(x == 0.0);
    }
    let count = values.len() as u64;
    if count == non_finite {
        return Moments { count, non_finite, ..Moments::default() };
    }
    Moments { count, non_finite, ..of_finite(count, sum, sum_of_squares, min, max, zeros) }
}

/// Puts together the moments of finite values, at least one.
pub(super) fn of_finite(count: u64, sum: f64, sum_of_squares: f64, min: f64, max: f64, zeros: u64) -> Moments {
    Moments {
        count,
        sum,
        sum_of_squares,
        // Adding +0 turns a negative zero, whose place depends on the order of comparisons, into zero.
        min: Some(min + 0.0),
        max: Some(max + 0.0),
        abs_max: min.abs().max(max.abs()),
        zeros,
        non_finite: 0,
    }
}

/// Adds each value to the bin of its biased exponent.
pub(super) fn count_exponents(values: &[f32], counts: &mut [u64; 256]) {
    // Neighbours mostly share a bin. Eight tables keep one increment from waiting for the one before.
    let mut tables = [[0u32; 256]; 8];
    let mut groups = values.chunks_exact(8);
    for group in &mut groups {
        for (table, value) in tables.iter_mut().zip(group) {
            table[exponent(*value)] += 1;
        }
    }
    for value in groups.remainder() {
        tables[0][exponent(*value)] += 1;
    }
    for (bin, count) in counts.iter_mut().enumerate() {
        *count += tables.iter().map(|table| u64::from(table[bin])).sum::<u64>();
    }
}

/// The biased exponent of a value, which is its bin.
fn exponent(value: f32) -> usize {
    (value.to_bits() >> 23) as usize & 0xff
}
