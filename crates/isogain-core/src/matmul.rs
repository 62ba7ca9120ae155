//! Matrix product in plain loops, in tiles of sums that stay in registers.

/// `a b` for row-major `a` `[m, k]` and `b` `[k, n]`. Each sum runs over k in its order, whatever the processor.
pub(crate) fn product(a: &[f64], b: &[f64], shape: [usize; 3]) -> Vec<f64> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the instructions.
        return unsafe { with_avx512(a, b, shape) };
    } else if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions.
        return unsafe { with_avx2(a, b, shape) };
    }
    tiled::<4, 4>(a, b, shape)
}

/// The same sums, eight at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn with_avx512(a: &[f64], b: &[f64], shape: [usize; 3]) -> Vec<f64> {
    tiled::<8, 16>(a, b, shape)
}

/// The same sums, four at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(a: &[f64], b: &[f64], shape: [usize; 3]) -> Vec<f64> {
    tiled::<4, 8>(a, b, shape)
}

/// In tiles of so many rows and columns.
#[inline(always)]
fn tiled<const ROWS: usize, const COLUMNS: usize>(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    let mut panel = vec![[0.0; COLUMNS]; k];
    for first_column in (0..n).step_by(COLUMNS) {
        let columns = COLUMNS.min(n - first_column);
        for (packed, row) in panel.iter_mut().zip(b.chunks_exact(n)) {
            packed[..columns].copy_from_slice(&row[first_column..first_column + columns]);
        }
        for first_row in (0..m).step_by(ROWS) {
            let rows = ROWS.min(m - first_row);
            // Rows beyond the last repeat it; their sums are dropped.
            let row = |offset: usize| &a[(first_row + offset.min(rows - 1)) * k..][..k];
            let sums: [_; ROWS] = tile(std::array::from_fn(row), &panel);
            for (offset, sums) in sums.iter().enumerate().take(rows) {
                let start = (first_row + offset) * n + first_column;
                out[start..start + columns].copy_from_slice(&sums[..columns]);
            }
        }
    }
    out
}

#[inline(always)]
fn tile<const ROWS: usize, const COLUMNS: usize>(
    rows: [&[f64]; ROWS],
    panel: &[[f64; COLUMNS]],
) -> [[f64; COLUMNS]; ROWS] {
    let rows = rows.map(|row| &row[..panel.len()]);
    let mut sums = [[0.0; COLUMNS]; ROWS];
    for (at, b) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += row[at] * b;
            }
        }
    }
    sums
}

/// The transpose of a row-major `[rows, columns]`.
pub(crate) fn transpose(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
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
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [4, 4, 4], [5, 7, 9], [8, 1, 13], [2, 0, 3], [19, 6, 35]] {
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
