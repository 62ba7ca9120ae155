//! Matrix product in plain loops, in tiles of 4x4 sums that stay in registers.

/// Rows and columns of a tile.
const TILE: usize = 4;

/// `a b` for row-major `a` `[m, k]` and `b` `[k, n]`.
pub(in crate::flow) fn product(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    let mut panel = vec![[0.0; TILE]; k];
    for first_column in (0..n).step_by(TILE) {
        let columns = TILE.min(n - first_column);
        for (packed, row) in panel.iter_mut().zip(b.chunks_exact(n)) {
            packed[..columns].copy_from_slice(&row[first_column..first_column + columns]);
        }
        for first_row in (0..m).step_by(TILE) {
            let rows = TILE.min(m - first_row);
            // Rows beyond the last repeat it; their sums are dropped.
            let row = |offset: usize| {
                let index = first_row + offset.min(rows - 1);
                &a[index * k..(index + 1) * k]
            };
            let sums = tile([row(0), row(1), row(2), row(3)], &panel);
            for (offset, sums) in sums.iter().enumerate().take(rows) {
                let start = (first_row + offset) * n + first_column;
                out[start..start + columns].copy_from_slice(&sums[..columns]);
            }
        }
    }
    out
}

fn tile(rows: [&[f64]; TILE], panel: &[[f64; TILE]]) -> [[f64; TILE]; TILE] {
    let [r0, r1, r2, r3] = rows;
    let mut sums = [[0.0; TILE]; TILE];
    for ((((b, x0), x1), x2), x3) in panel.iter().zip(r0).zip(r1).zip(r2).zip(r3) {
        for (sums, x) in sums.iter_mut().zip([x0, x1, x2, x3]) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += x * b;
            }
        }
    }
    sums
}

/// The transpose of a row-major `[rows, columns]`.
pub(in crate::flow) fn transpose(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let mut out = vec![0.0; values.len()];
    for row in 0..rows {
        for column in 0..columns {
            out[column * rows + row] = values[row * columns + column];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_is_rows_times_columns() {
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [4, 4, 4], [5, 7, 9], [8, 1, 13], [2, 0, 3]] {
            let a: Vec<f64> = (0..m * k).map(|i| (i * i % 17) as f64 - 8.0).collect();
            let b: Vec<f64> = (0..k * n).map(|i| (i * 7 % 11) as f64 - 5.0).collect();
            let found = product(&a, &b, [m, k, n]);
            for i in 0..m {
                for j in 0..n {
                    let expected: f64 = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
                    assert_eq!(found[i * n + j], expected, "{m}x{k}x{n} at {i},{j}");
                }
            }
        }
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let values: Vec<f64> = (0..15).map(f64::from).collect();
        assert_eq!(transpose(&values, 3, 5)[..3], [0.0, 5.0, 10.0]);
        assert_eq!(transpose(&transpose(&values, 3, 5), 5, 3), values);
    }
}
