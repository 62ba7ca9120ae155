//! The largest and the smallest singular value of a weight.
//!
//! Both are square roots of the ends of the spectrum of the Gram matrix on the shorter side. Small ones are reduced to a
//! tridiagonal matrix by Householder reflections (Golub and Van Loan, section 8.3); of larger ones Lanczos' method finds
//! the upper end to some digits from a few products with the matrix, and says nothing of the lower one. The ends of the
//! tridiagonal matrix come from bisection with Sturm's count, which cannot fail to converge.

use serde::Serialize;

use crate::flow::Values;
use crate::statistics::Real;
use crate::theory::distribution::dot;

use super::matrix::Matrix;

/// Longest shorter side for which both ends are computed: 4/3 n^3 operations, and the Gram matrix in memory.
const EXACT: usize = 256;

/// Products with the matrix in Lanczos' method, which finds the largest singular value of a random matrix to within
/// a percent, and of one with a few large directions far better.
const STEPS: usize = 24;

/// The Gram matrix squares the condition: below this share of the largest one, f64 keeps no digit of a singular value.
const RESOLVED: f64 = 1e-7;

/// The ends of the spectrum of one weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spectrum {
    /// Largest singular value: by how much the weight can stretch.
    pub largest: f64,
    /// Smallest singular value; `None` where it was not computed. 0 where it is below 1e-7 of the largest one.
    pub smallest: Option<f64>,
}

impl Spectrum {
    /// Largest over smallest singular value; infinite for a weight that loses a direction.
    pub fn condition(&self) -> Option<f64> {
        Some(self.largest / self.smallest?)
    }

    /// `None` for a vector, whose only singular value is its norm, and for a weight of zeros.
    pub(super) fn of(matrix: &Matrix<'_>) -> Option<Self> {
        let (rows, columns) = matrix.rows_and_columns();
        if rows.min(columns) < 2 {
            return None;
        }
        match matrix.values {
            Values::F32(values) => Self::of_values(values, rows, columns),
            Values::F64(values) => Self::of_values(values, rows, columns),
        }
    }

    fn of_values<T: Real>(values: &[T], rows: usize, columns: usize) -> Option<Self> {
        let magnitude = values.iter().map(|&value| value.into().abs()).fold(0.0, f64::max);
        if magnitude == 0.0 {
            return None;
        }
        // Divided by the largest magnitude, so that no square leaves the range of f64.
        let view = View { values, rows, columns, scale: 1.0 / magnitude };
        let is_small = rows.min(columns) <= EXACT;
        let (diagonal, off) = if is_small { tridiagonal(view.gram()) } else { lanczos(&view) };
        let largest = end(&diagonal, &off, true).max(0.0).sqrt();
        let smallest = is_small.then(|| {
            let smallest = end(&diagonal, &off, false).max(0.0).sqrt();
            if smallest < RESOLVED * largest { 0.0 } else { smallest * magnitude }
        });
        Some(Self { largest: largest * magnitude, smallest })
    }
}

/// Every singular value of a row-major matrix `[rows, columns]`, rising; as many as its shorter side is long. 4/3 n^3
/// operations and the Gram matrix in memory. Values below 1e-7 of the largest one are lost in rounding.
pub fn singular_values(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let (diagonal, off) = tridiagonal(View { values, rows, columns, scale: 1.0 }.gram());
    (1..=diagonal.len()).map(|rank| eigenvalue(&diagonal, &off, rank).max(0.0).sqrt()).collect()
}

/// The largest eigenvalue of a symmetric matrix, row by row; 0 of one without rows.
pub(crate) fn largest_eigenvalue(symmetric: Vec<Vec<f64>>) -> f64 {
    let (diagonal, off) = tridiagonal(symmetric);
    if diagonal.is_empty() { 0.0 } else { end(&diagonal, &off, true) }
}

/// A row-major matrix, times a number.
struct View<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    scale: f64,
}

impl<T: Real> View<'_, T> {
    fn row(&self, row: usize) -> Vec<f64> {
        self.values[row * self.columns..(row + 1) * self.columns]
            .iter()
            .map(|&value| value.into() * self.scale)
            .collect()
    }

    /// W^T W or W W^T, whichever is smaller, as rows.
    fn gram(&self) -> Vec<Vec<f64>> {
        if self.columns <= self.rows {
            let mut gram = vec![vec![0.0; self.columns]; self.columns];
            for index in 0..self.rows {
                let row = self.row(index);
                for (left, line) in row.iter().zip(&mut gram) {
                    line.iter_mut().zip(&row).for_each(|(sum, right)| *sum += left * right);
                }
            }
            return gram;
        }
        let rows: Vec<Vec<f64>> = (0..self.rows).map(|row| self.row(row)).collect();
        let mut gram = vec![vec![0.0; self.rows]; self.rows];
        for i in 0..self.rows {
            for j in 0..=i {
                let product = dot(&rows[i], &rows[j]);
                gram[i][j] = product;
                gram[j][i] = product;
            }
        }
        gram
    }

    /// W^T (W x).
    fn gram_times(&self, x: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; self.columns];
        for index in 0..self.rows {
            let row = self.row(index);
            let along = dot(&row, x);
            product.iter_mut().zip(&row).for_each(|(sum, value)| *sum += along * value);
        }
        product
    }
}

/// Diagonal and off-diagonal of a tridiagonal matrix with the same eigenvalues as the symmetric `a`.
fn tridiagonal(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<f64>) {
    let size = a.len();
    let mut off = Vec::with_capacity(size.saturating_sub(1));
    for step in 0..size.saturating_sub(2) {
        // The reflection that sends the rest of the column to its first entry.
        let mut v: Vec<f64> = (step + 1..size).map(|row| a[row][step]).collect();
        let norm = dot(&v, &v).sqrt();
        let alpha = if v[0] > 0.0 { -norm } else { norm };
        off.push(alpha);
        v[0] -= alpha;
        let square = dot(&v, &v);
        if square == 0.0 {
            continue;
        }
        let p: Vec<f64> = (step + 1..size).map(|row| 2.0 / square * dot(&a[row][step + 1..], &v)).collect();
        let half = dot(&p, &v) / square;
        let w: Vec<f64> = p.iter().zip(&v).map(|(p, v)| p - half * v).collect();
        for (i, line) in a[step + 1..].iter_mut().enumerate() {
            for (j, entry) in line[step + 1..].iter_mut().enumerate() {
                *entry -= v[i] * w[j] + w[i] * v[j];
            }
        }
    }
    if size > 1 {
        off.push(a[size - 1][size - 2]);
    }
    ((0..size).map(|row| a[row][row]).collect(), off)
}

/// Lanczos' tridiagonal matrix of the Gram matrix, every vector made orthogonal to all before it.
fn lanczos<T: Real>(view: &View<'_, T>) -> (Vec<f64>, Vec<f64>) {
    // Any start that no weight is orthogonal to by construction: the fractional parts of multiples of the golden ratio.
    let start = (1..=view.columns).map(|index| (index as f64 * 0.618_033_988_749_895).fract() - 0.5).collect();
    let mut basis: Vec<Vec<f64>> = vec![normalised(start)];
    let (mut diagonal, mut off) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        let mut next = view.gram_times(&basis[step]);
        diagonal.push(dot(&next, &basis[step]));
        for _ in 0..2 {
            for vector in &basis {
                let along = dot(&next, vector);
                next.iter_mut().zip(vector).for_each(|(value, other)| *value -= along * other);
            }
        }
        let length = dot(&next, &next).sqrt();
        if step + 1 == STEPS || length <= 1e-12 * diagonal[0].abs() {
            break;
        }
        off.push(length);
        basis.push(normalised(next));
    }
    (diagonal, off)
}

fn normalised(mut vector: Vec<f64>) -> Vec<f64> {
    let length = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
    vector
}

/// The largest or the smallest eigenvalue of a symmetric tridiagonal matrix.
fn end(diagonal: &[f64], off: &[f64], largest: bool) -> f64 {
    eigenvalue(diagonal, off, if largest { diagonal.len() } else { 1 })
}

/// The eigenvalue of that rank, 1 for the smallest, by bisection within Gershgorin's bounds.
fn eigenvalue(diagonal: &[f64], off: &[f64], rank: usize) -> f64 {
    let reach = |index: usize| {
        let before = index.checked_sub(1).and_then(|index| off.get(index)).map_or(0.0, |off| off.abs());
        before + off.get(index).map_or(0.0, |off| off.abs())
    };
    let mut low = diagonal.iter().enumerate().map(|(i, d)| d - reach(i)).fold(f64::INFINITY, f64::min);
    let mut high = diagonal.iter().enumerate().map(|(i, d)| d + reach(i)).fold(f64::NEG_INFINITY, f64::max);
    // Each step halves the interval; 100 of them reach the last digit of any f64.
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if below(diagonal, off, middle) >= rank { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

/// Eigenvalues below `x`: the negative pivots of the factorisation of T - x (Sturm's count).
fn below(diagonal: &[f64], off: &[f64], x: f64) -> usize {
    let mut count = 0;
    let mut pivot = 1.0;
    for (index, value) in diagonal.iter().enumerate() {
        let coupling = if index == 0 { 0.0 } else { off[index - 1] * off[index - 1] };
        pivot = value - x - coupling / pivot;
        if pivot == 0.0 {
            pivot = -f64::MIN_POSITIVE.sqrt();
        }
        count += usize::from(pivot < 0.0);
    }
    count
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::activations::Activation;
    use crate::theory::initializers::Initializer;

    fn sampled(name: &str, fan_in: usize, fan_out: usize) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        Initializer::named(name).unwrap().sample_weight(fan_in, fan_out, Activation::relu(), &mut rng)
    }

    #[test]
    fn of_known_matrices() {
        // Diagonal 3, 2 with a zero row; a rotation by 30 degrees times 5; rank one.
        let known = [
            (vec![3.0, 0.0, 0.0, 2.0, 0.0, 0.0], 3, 2, 3.0, 2.0),
            (vec![5.0 * 0.75_f64.sqrt(), -2.5, 2.5, 5.0 * 0.75_f64.sqrt()], 2, 2, 5.0, 5.0),
            (vec![1.0, 2.0, 3.0, 2.0, 4.0, 6.0], 2, 3, 70.0_f64.sqrt(), 0.0),
            // The golden ratio and its inverse.
            (vec![1.0, 1.0, 0.0, 1.0], 2, 2, 1.618_033_988_749_895, 0.618_033_988_749_895),
        ];
        for (values, rows, columns, largest, smallest) in known {
            let found = Spectrum::of_values(&values, rows, columns).unwrap();
            assert!((found.largest - largest).abs() < 1e-12, "{found:?}");
            assert!((found.smallest.unwrap() - smallest).abs() < 1e-12, "{found:?}");
        }
        assert_eq!(Spectrum::of_values(&[0.0_f32; 6], 2, 3), None);
    }

    /// Of a triangular matrix with 1 on and above the diagonal they are 1 / (2 cos(k pi / (2n + 1))).
    #[test]
    fn all_of_a_known_matrix() {
        let size = 12;
        let triangle: Vec<f64> = (0..size * size).map(|at| if at % size >= at / size { 1.0 } else { 0.0 }).collect();
        let found = singular_values(&triangle, size, size);
        for (rank, found) in (1..=size).zip(found) {
            let angle = rank as f64 * std::f64::consts::PI / (2 * size + 1) as f64;
            assert!((found - 0.5 / angle.cos()).abs() < 1e-12, "{rank}: {found}");
        }
        assert_eq!(singular_values(&[3.0, 0.0, 0.0, 0.0, 4.0, 0.0], 2, 3).len(), 2);
    }

    #[test]
    fn far_from_one() {
        for scale in [1e-200, 1e200] {
            let found = Spectrum::of_values(&[scale, scale, 0.0, scale], 2, 2).unwrap();
            assert!((found.largest / scale - 1.618_033_988_749_895).abs() < 1e-12, "{found:?}");
        }
    }

    /// Hilbert's matrix of order 6: condition 1.495e7 (tabulated), close to what can be resolved.
    #[test]
    fn badly_conditioned() {
        let hilbert: Vec<f64> = (0..36).map(|at| 1.0 / (at / 6 + at % 6 + 1) as f64).collect();
        let found = Spectrum::of_values(&hilbert, 6, 6).unwrap();
        assert!((found.largest - 1.618_899_858_924_339).abs() < 1e-12, "{found:?}");
        assert!(found.smallest.unwrap() < 3e-7, "{found:?}");
    }

    #[test]
    fn an_orthogonal_matrix_is_an_isometry_on_both_sides() {
        for (fan_in, fan_out) in [(40, 24), (24, 40)] {
            let found = Spectrum::of_values(&sampled("orthogonal", fan_in, fan_out), fan_in, fan_out).unwrap();
            assert!((found.largest - 1.0).abs() < 1e-9 && (found.smallest.unwrap() - 1.0).abs() < 1e-9, "{found:?}");
        }
    }

    /// Both ends of a Gaussian matrix are those of Marchenko and Pastur, to the 2/3 power of its size; and both methods
    /// agree where both can be used.
    #[test]
    fn a_random_matrix() {
        let (rows, columns) = (400, 100);
        let values: Vec<f64> = sampled("lecun-normal", rows, columns).iter().map(|w| w * 20.0).collect();
        let found = Spectrum::of_values(&values, rows, columns).unwrap();
        assert!(
            (found.largest / 30.0 - 1.0).abs() < 0.05 && (found.smallest.unwrap() / 10.0 - 1.0).abs() < 0.08,
            "{found:?}"
        );
        let view = View { values: &values, rows, columns, scale: 1.0 };
        let (diagonal, off) = lanczos(&view);
        let largest = end(&diagonal, &off, true).sqrt();
        assert!((largest / found.largest - 1.0).abs() < 0.01 && largest <= found.largest * (1.0 + 1e-12), "{largest}");
        // One strong direction is found to the last digits.
        let spiked: Vec<f64> =
            values.iter().enumerate().map(|(at, w)| w + if at % columns == 0 { 10.0 } else { 0.0 }).collect();
        let exact = Spectrum::of_values(&spiked, rows, columns).unwrap().largest;
        let (diagonal, off) = lanczos(&View { values: &spiked, rows, columns, scale: 1.0 });
        assert!((end(&diagonal, &off, true).sqrt() / exact - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_large_matrix_has_no_smallest() {
        let values = sampled("he-normal", 300, 280);
        let found = Spectrum::of_values(&values, 300, 280).unwrap();
        assert_eq!(found.smallest, None);
        assert_eq!(found.condition(), None);
    }
}
