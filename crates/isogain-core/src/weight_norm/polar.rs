//! The matrix with orthonormal columns (rows, where these are fewer) that is nearest to another one: W = U R^T of V = U S R^T,
//! the polar factor (Fan & Hoffman 1955), and how its gradient goes back to V.
//!
//! No singular value is computed. W is the limit of Newton and Schulz's iteration X (3 - X^T X) / 2, which is products alone
//! and doubles its digits each time; V starts orthonormal and moves little in a step, so that four or five are enough. With
//! P = W^T V, M = W^T G and G = dL/dW, dL/dV = W X + Y, where X P + P X = M - M^T and Y P = G - W M: the exact derivative
//! also where singular values are equal. Both equations are solved by conjugate gradients, in as many products as P is far
//! from a multiple of the identity.

use crate::matmul::{product, transpose};

/// Steps of Newton and Schulz's iteration after which what is left has lost a direction, and stays short in it.
const MOST_STEPS: usize = 100;

/// Largest entry of X^T X - 1 from which one more step leaves nothing but rounding, since it squares it.
const NEARLY: f64 = 1e-9;

/// Steps of conjugate gradients, far more than a P that trains comes to need.
const MOST_SEARCHES: usize = 200;

/// Norm of the residual over that of the right-hand side at which a solution is one: single precision ends at 6e-8.
const SOLVED: f64 = 1e-13;

/// The nearest matrix with orthonormal columns, or rows, to a row-major one of so many columns. A direction that V has lost
/// stays lost.
pub(super) fn nearest(matrix: &[f64], columns: usize) -> Vec<f64> {
    let shape = Shape::of(matrix, columns);
    shape.back(nearest_tall(&shape.tall(matrix), shape.size()))
}

/// The gradient of V from that of the nearest matrix, both row-major.
pub(super) fn pull(matrix: &[f64], gradient: &[f64], columns: usize) -> Vec<f64> {
    let shape = Shape::of(matrix, columns);
    shape.back(pull_tall(&shape.tall(matrix), &shape.tall(gradient), shape.size()))
}

/// Rows and columns; formulas are for no more columns than rows.
#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    columns: usize,
}

impl Shape {
    fn of(matrix: &[f64], columns: usize) -> Self {
        Self { rows: matrix.len() / columns.max(1), columns }
    }

    /// Longer and shorter side.
    fn size(self) -> [usize; 2] {
        [self.rows.max(self.columns), self.rows.min(self.columns)]
    }

    fn tall(self, matrix: &[f64]) -> Vec<f64> {
        if self.rows < self.columns { transpose(matrix, self.rows, self.columns) } else { matrix.to_vec() }
    }

    fn back(self, tall: Vec<f64>) -> Vec<f64> {
        if self.rows < self.columns { transpose(&tall, self.columns, self.rows) } else { tall }
    }
}

fn nearest_tall(matrix: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
    let largest = matrix.iter().map(|value| value.abs()).fold(0.0, f64::max);
    if largest == 0.0 {
        return matrix.to_vec();
    }
    // Singular values of mean square 1, none beyond sqrt 2: all below sqrt 3 go to 1. Divided by the largest entry first, so
    // that no square leaves the range of f64.
    let mut x: Vec<f64> = matrix.iter().map(|value| value / largest).collect();
    let scale = (columns as f64 / x.iter().map(|value| value * value).sum::<f64>()).sqrt();
    x.iter_mut().for_each(|value| *value *= scale);
    let mut gram = gram_of(&x, [rows, columns]);
    let bound = gram.chunks_exact(columns).map(|row| row.iter().map(|v| v.abs()).sum::<f64>()).fold(0.0, f64::max);
    if bound > 2.0 {
        x.iter_mut().for_each(|value| *value *= (2.0 / bound).sqrt());
        gram.iter_mut().for_each(|value| *value *= 2.0 / bound);
    }
    for _ in 0..MOST_STEPS {
        let mut error: f64 = 0.0;
        for (place, value) in gram.iter_mut().enumerate() {
            let unit = if place.is_multiple_of(columns + 1) { 1.0 } else { 0.0 };
            error = error.max((*value - unit).abs());
            *value = 0.5 * (3.0 * unit - *value);
        }
        x = product(&x, &gram, [rows, columns, columns]);
        if error < NEARLY {
            break;
        }
        gram = gram_of(&x, [rows, columns]);
    }
    x
}

fn pull_tall(matrix: &[f64], gradient: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
    let square = [columns, columns, columns];
    let tall = [rows, columns, columns];
    let w = nearest_tall(matrix, [rows, columns]);
    let turned = transpose(&w, rows, columns);
    let mut p = product(&turned, matrix, [columns, rows, columns]);
    let reflected = transpose(&p, columns, columns);
    p.iter_mut().zip(reflected).for_each(|(p, q)| *p = 0.5 * (*p + q));
    let along = product(&turned, gradient, [columns, rows, columns]);
    // X is skew, so that X P = -(P X)^T.
    let x = solved(&skew(&along, columns), |x| skew(&product(&p, x, square), columns));
    let mut result = product(&w, &x, tall);
    if rows > columns {
        let inside = product(&w, &along, tall);
        let outside: Vec<f64> = gradient.iter().zip(inside).map(|(g, i)| g - i).collect();
        let y = solved(&outside, |y| product(y, &p, tall));
        result.iter_mut().zip(y).for_each(|(sum, y)| *sum += y);
    }
    result
}

/// X^T X.
fn gram_of(x: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
    product(&transpose(x, rows, columns), x, [columns, rows, columns])
}

/// A - A^T.
fn skew(matrix: &[f64], side: usize) -> Vec<f64> {
    matrix.iter().zip(transpose(matrix, side, side)).map(|(a, b)| a - b).collect()
}

/// The solution of a symmetric positive definite equation by conjugate gradients; what the operator loses stays 0.
fn solved(wanted: &[f64], operator: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    // Squares of a small gradient would be zeros, and it is not.
    let size = wanted.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
    let wanted: Vec<f64> = wanted.iter().map(|value| if size > 0.0 { value / size } else { *value }).collect();
    let mut solution = vec![0.0; wanted.len()];
    let (mut left, mut direction) = (wanted.clone(), wanted);
    let mut square = dot(&left, &left);
    let enough = SOLVED * SOLVED * square;
    for _ in 0..MOST_SEARCHES {
        if square <= enough {
            break;
        }
        let changed = operator(&direction);
        let curvature = dot(&direction, &changed);
        if curvature <= 0.0 {
            break;
        }
        let length = square / curvature;
        solution.iter_mut().zip(&direction).for_each(|(sum, d)| *sum += length * d);
        left.iter_mut().zip(&changed).for_each(|(left, c)| *left -= length * c);
        let before = std::mem::replace(&mut square, dot(&left, &left));
        direction.iter_mut().zip(&left).for_each(|(d, left)| *d = left + square / before * *d);
    }
    solution.iter_mut().for_each(|value| *value *= size);
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [[usize; 2]; 5] = [[6, 6], [9, 4], [4, 9], [5, 1], [1, 1]];

    fn numbers(count: usize, phase: f64) -> Vec<f64> {
        (0..count).map(|k| 1.3 * (1.7 * k as f64 + phase).sin() + 0.4 * (0.31 * (k * k) as f64).cos()).collect()
    }

    /// Largest distance of the Gram matrix on the shorter side from the identity.
    fn error(w: &[f64], [rows, columns]: [usize; 2]) -> f64 {
        let shape = Shape { rows, columns };
        let gram = gram_of(&shape.tall(w), shape.size());
        let unit = |place: usize| if place.is_multiple_of(rows.min(columns) + 1) { 1.0 } else { 0.0 };
        gram.iter().enumerate().map(|(place, value)| (value - unit(place)).abs()).fold(0.0, f64::max)
    }

    /// Orthonormal, and W^T V symmetric without a negative eigenvalue: there is one such matrix.
    #[test]
    fn it_is_orthonormal_and_the_nearest() {
        for [rows, columns] in SHAPES {
            for scale in [1e-200, 1.0, 1e150] {
                let v: Vec<f64> = numbers(rows * columns, 0.7).iter().map(|value| scale * value).collect();
                let w = nearest(&v, columns);
                assert!(error(&w, [rows, columns]) < 1e-14, "{rows} x {columns}: {}", error(&w, [rows, columns]));
                let shape = Shape { rows, columns };
                let [long, short] = shape.size();
                let (v, w) = (shape.tall(&v), shape.tall(&w));
                let p = product(&transpose(&w, long, short), &v, [short, long, short]);
                let asymmetry = skew(&p, short).iter().map(|value| value.abs()).fold(0.0, f64::max);
                assert!(asymmetry < 1e-13 * scale, "{rows} x {columns}: {asymmetry}");
                let symmetric = p.chunks(short).map(<[f64]>::to_vec).collect::<Vec<_>>();
                let negated = symmetric.iter().map(|row| row.iter().map(|value| -value).collect()).collect();
                assert!(crate::weights::spectrum::largest_eigenvalue(negated) < 0.0, "{rows} x {columns}");
            }
        }
    }

    /// Drawn at random, where the shortest direction is some hundred times shorter than the longest.
    #[test]
    fn a_random_matrix_becomes_orthogonal() {
        use rand_chacha::rand_core::SeedableRng;
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let normal = crate::theory::Initializer::named("lecun-normal").unwrap();
        for [rows, columns] in [[64, 64], [100, 30], [30, 100]] {
            let v = normal.sample_weight(rows, columns, crate::theory::Activation::linear(), &mut rng);
            let w = nearest(&v, columns);
            assert!(error(&w, [rows, columns]) < 1e-13, "{}", error(&w, [rows, columns]));
            let again = nearest(&w, columns);
            assert!(w.iter().zip(again).all(|(w, again)| (w - again).abs() < 1e-14));
        }
    }

    /// Central differences of sum(W a) for fixed numbers a; also where V is orthonormal, its singular values all equal, and
    /// where it is ten times longer in one direction.
    #[test]
    fn the_gradient_is_a_difference_quotient() {
        let step = 1e-5;
        for [rows, columns] in SHAPES {
            let (drawn, slopes) = (numbers(rows * columns, 0.7), numbers(rows * columns, 2.0));
            let stretched = drawn.iter().enumerate().map(|(k, v)| if k < columns { 10.0 * v } else { *v }).collect();
            for v in [drawn.clone(), nearest(&drawn, columns), stretched] {
                let found = pull(&v, &slopes, columns);
                let loss = |at: usize, by: f64| -> f64 {
                    let mut moved = v.clone();
                    moved[at] += by;
                    nearest(&moved, columns).iter().zip(&slopes).map(|(w, a)| w * a).sum()
                };
                for (at, found) in found.iter().enumerate() {
                    let difference = (loss(at, step) - loss(at, -step)) / (2.0 * step);
                    let size = 1.0 + difference.abs();
                    assert!((found - difference).abs() < 1e-7 * size, "{rows} x {columns} {at}: {found} {difference}");
                }
            }
        }
    }

    /// V P has the same W for every symmetric positive P, so that nothing pulls at the lengths of V.
    #[test]
    fn nothing_pulls_at_lengths() {
        let (v, slopes) = (numbers(36, 0.7), numbers(36, 2.0));
        let (gradient, w) = (pull(&v, &slopes, 6), nearest(&v, 6));
        // d/dt W (P + t S) = W S.
        for (i, j) in (0..6).flat_map(|i| (0..=i).map(move |j| (i, j))) {
            let along: f64 =
                (0..6).map(|row| gradient[row * 6 + i] * w[row * 6 + j] + gradient[row * 6 + j] * w[row * 6 + i]).sum();
            assert!(along.abs() < 1e-12, "{i} {j}: {along}");
        }
    }

    #[test]
    fn what_is_lost_stays_lost_and_finite() {
        let slopes = numbers(16, 1.0);
        let mut one_direction = vec![0.0; 16];
        one_direction[0] = 2.0;
        for v in [vec![0.0; 16], one_direction, vec![1.0; 16]] {
            assert!(nearest(&v, 4).iter().chain(&pull(&v, &slopes, 4)).all(|value| value.is_finite()), "{v:?}");
        }
        assert!(nearest(&[f64::NAN; 4], 2).iter().all(|value| value.is_nan()));
    }
}
