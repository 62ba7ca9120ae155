//! The orthogonal matrix nearest to a matrix, about: what is left of G = U S V^T when every singular value becomes 1.

use super::buffer::{Buffer, Real, extent};
use super::matmul::{Matrix, product};

/// Factors of x, x^3 and x^5. They trade the last bit of precision for a slope of 3.4 at zero: small singular values grow fast,
/// and all end between 0.7 and 1.2 (Jordan et al. 2024).
const QUINTIC: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// Iterations. A singular value below 1/500 of the matrix's norm does not get near 1.
const ITERATIONS: usize = 5;

/// Five Newton-Schulz iterations from G / |G|, in place: X <- a X + b X X^T X + c X (X^T X)^2. The size of the matrix does not
/// matter, since it is divided away first. One that is zero, or not finite, stays as it is.
pub(crate) fn orthogonalise<T: Real>(buffer: &mut Buffer) {
    let (rows, columns) = extent(buffer);
    let norm = norm(T::read(buffer));
    if norm == 0.0 || !norm.is_finite() {
        return;
    }
    let values = T::write(buffer);
    for value in values.iter_mut() {
        *value = T::of(value.wide() / norm);
    }
    let side = rows.min(columns);
    let [slope, cubic, quintic] = QUINTIC.map(T::of);
    for _ in 0..ITERATIONS {
        let x = Matrix::new(&*values, rows, columns);
        // The smaller of X X^T and X^T X: both have the same singular values.
        let gram = if rows <= columns { product(x, x.transposed()) } else { product(x.transposed(), x) };
        let gram_matrix = Matrix::new(&gram, side, side);
        let mut factor = product(gram_matrix, gram_matrix);
        for (factor, &gram) in factor.iter_mut().zip(&gram) {
            *factor = quintic * *factor + cubic * gram;
        }
        for place in 0..side {
            factor[place * (side + 1)] += slope;
        }
        let factor = Matrix::new(&factor, side, side);
        let next = if rows <= columns { product(factor, x) } else { product(x, factor) };
        values.copy_from_slice(&next);
    }
}

/// In f64, and of values over the largest one: squares leave the range where numbers do not.
fn norm<T: Real>(values: &[T]) -> f64 {
    let largest = values.iter().map(|value| value.wide().abs()).fold(0.0, f64::max);
    let part = |value: &T| value.wide() / if largest > 0.0 { largest } else { 1.0 };
    // A value that is no number is not the largest, and makes the sum none.
    largest * values.iter().map(|value| part(value) * part(value)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::buffer::filled;
    use super::*;

    fn of<T: Real>(values: &[f64], shape: [usize; 2]) -> Vec<f64> {
        let mut buffer = filled(values.iter().map(|&value| T::of(value)).collect::<Vec<T>>(), &shape);
        orthogonalise::<T>(&mut buffer);
        T::read(&buffer).iter().map(|value| value.wide()).collect()
    }

    /// Values that look drawn.
    fn drawn(count: usize) -> Vec<f64> {
        (0..count).map(|place| ((place * place) as f64 * 0.7 + 1.0).sin()).collect()
    }

    /// What the iterations do to one singular value.
    fn quintic(value: f64) -> f64 {
        (0..ITERATIONS).fold(value, |x, _| QUINTIC[0] * x + QUINTIC[1] * x.powi(3) + QUINTIC[2] * x.powi(5))
    }

    /// The singular values of a diagonal matrix are what stands in it.
    #[test]
    fn singular_values_go_the_way_of_the_polynomial() {
        let diagonal = [3.0, -4.0, 0.5, 1e-6];
        let norm = (9.0_f64 + 16.0 + 0.25 + 1e-12).sqrt();
        for (shape, last) in [([4, 6], 6), ([6, 4], 4)] {
            let mut values = vec![0.0; 24];
            for (place, value) in diagonal.into_iter().enumerate() {
                values[place * (last + 1)] = value;
            }
            let found = of::<f64>(&values, shape);
            for (place, value) in found.iter().enumerate() {
                let is_on = place % (last + 1) == 0 && place / (last + 1) < 4;
                let expected = if is_on { quintic(diagonal[place / (last + 1)] / norm) } else { 0.0 };
                assert!((value - expected).abs() < 1e-12, "{shape:?} {place}: {value} is not {expected}");
            }
        }
        // Those above 1/500 of the norm end near 1, the smallest does not.
        for (place, value) in diagonal.into_iter().enumerate() {
            let end = quintic(value.abs() / norm);
            assert_eq!((0.68..1.21).contains(&end), place < 3, "{value}: {end}");
        }
        assert!((500..=100_000).all(|k| (0.68..1.21).contains(&quintic(f64::from(k) / 100_000.0 * 0.998 + 0.002))));
    }

    #[test]
    fn rows_become_orthogonal_whatever_the_size_and_the_shape() {
        for shape in [[12, 30], [30, 12], [1, 5], [16, 16]] {
            let [rows, columns] = shape;
            let values = drawn(rows * columns);
            let found = of::<f64>(&values, shape);
            let transposed = |values: &[f64]| -> Vec<f64> {
                (0..rows * columns).map(|at| values[(at % rows) * columns + at / rows]).collect()
            };
            let turned = of::<f64>(&transposed(&values), [columns, rows]);
            for (a, b) in transposed(&found).iter().zip(&turned) {
                assert!((a - b).abs() < 1e-12, "{shape:?}");
            }
            // The squares of all numbers together are those of min(rows, columns) singular values, none of them tiny.
            let mean = found.iter().map(|value| value * value).sum::<f64>() / rows.min(columns) as f64;
            assert!((0.68 * 0.68..1.21 * 1.21).contains(&mean), "{shape:?}: {mean}");
            for scale in [1e-200, 1e-30, 1e30, 1e200] {
                let scaled: Vec<f64> = values.iter().map(|value| value * scale).collect();
                for (a, b) in of::<f64>(&scaled, shape).iter().zip(&found) {
                    assert!((a - b).abs() < 1e-10, "{shape:?} {scale}");
                }
            }
            // Rounding grows as small singular values do, up to 3.4^5 times.
            let rounded: Vec<f64> = values.iter().map(|value| value * 1e-30).collect();
            for (a, b) in of::<f32>(&rounded, shape).iter().zip(&found) {
                assert!((a - b).abs() < 1e-4, "{shape:?}: {a} is not {b}");
            }
        }
    }

    #[test]
    fn nothing_and_no_number_stay_what_they_are() {
        assert_eq!(of::<f32>(&[0.0; 6], [2, 3]), [0.0; 6]);
        let broken = of::<f64>(&[1.0, f64::NAN, 2.0, 3.0], [2, 2]);
        assert!(broken[1].is_nan() && broken[3] == 3.0);
        assert_eq!(of::<f64>(&[f64::INFINITY, 1.0], [1, 2]), [f64::INFINITY, 1.0]);
    }
}
