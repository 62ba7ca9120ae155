//! Matrix products: in tiles of our own where the processor has AVX-512, and through the crate gemm elsewhere and in f64.

#[cfg(target_arch = "x86_64")]
mod tiles;

use std::mem::MaybeUninit;

use super::buffer::{Buffer, Real, extent};
use super::threads::threads;

/// A matrix in a slice: the values of a row lie side by side, or, turned, those of a column.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    /// Steps between rows and between columns.
    strides: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// `[rows, columns]`, row-major.
    ///
    /// # Panics
    /// When there are not as many values.
    pub(super) fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix of {rows} x {columns}");
        Self { values, rows, columns, strides: [columns, 1] }
    }

    /// `[rows, columns]` within longer rows: the first value is at `from`, a row `stride` values after the one before.
    ///
    /// # Panics
    /// When there are not as many values.
    pub(super) fn within(values: &'a [T], from: usize, [rows, columns]: [usize; 2], stride: usize) -> Self {
        let values = &values[from..][..reach(rows, columns, stride)];
        Self { values, rows, columns, strides: [stride, 1] }
    }

    /// A dense buffer `[rows, columns]`.
    pub(super) fn of(buffer: &'a Buffer) -> Self
    where
        T: Real,
    {
        let (rows, columns) = extent(buffer);
        Self::new(T::read(buffer), rows, columns)
    }

    /// Rows and columns exchanged; nothing is copied.
    pub(super) fn transposed(self) -> Self {
        let [row, column] = self.strides;
        Self { rows: self.columns, columns: self.rows, strides: [column, row], ..self }
    }

    /// A copy, row-major. In squares: a column at a time would fetch every line of memory again for each value.
    pub(super) fn to_vec(self) -> Vec<T>
    where
        T: Real,
    {
        const SIDE: usize = 16;
        let mut output = vec![T::default(); self.rows * self.columns];
        for top in (0..self.rows).step_by(SIDE) {
            for left in (0..self.columns).step_by(SIDE) {
                for row in top..(top + SIDE).min(self.rows) {
                    for column in left..(left + SIDE).min(self.columns) {
                        output[row * self.columns + column] =
                            self.values[row * self.strides[0] + column * self.strides[1]];
                    }
                }
            }
        }
        output
    }

    /// Some of the rows; nothing is copied.
    ///
    /// # Panics
    /// When there are not as many.
    #[cfg(target_arch = "x86_64")]
    fn rows(self, from: usize, count: usize) -> Self {
        self.transposed().columns(from, count).transposed()
    }

    /// Some of the columns; nothing is copied.
    ///
    /// # Panics
    /// When there are not as many.
    pub(super) fn columns(self, from: usize, count: usize) -> Self {
        assert!(from + count <= self.columns, "columns {from} to {} of {}", from + count, self.columns);
        let values = &self.values[(from * self.strides[1]).min(self.values.len())..];
        Self { values, columns: count, ..self }
    }
}

/// Values from the first to the last of a matrix within longer rows.
fn reach(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1) * stride + columns }
}

/// The second factor of several products: a matrix, laid out once for all of them where that helps.
pub(super) struct Factor<'a, T> {
    matrix: Matrix<'a, T>,
    panels: Option<Panels>,
    /// Row-major, where the matrix is not and there are no panels: gemm turns it each time, which takes as long as a third
    /// of a product.
    copy: Option<Vec<T>>,
}

impl<'a, T: Real> Factor<'a, T> {
    /// Lays it out for products of so many rows.
    pub(super) fn new(matrix: Matrix<'a, T>, rows: usize) -> Self {
        let panels = T::lay_out(matrix, rows);
        let copy = (panels.is_none() && matrix.strides[1] != 1).then(|| matrix.to_vec());
        Self { matrix, panels, copy }
    }
}

/// The second factor of a product, laid out already or not.
#[derive(Clone, Copy)]
pub(super) struct Second<'a, T>(Matrix<'a, T>, Option<&'a Panels>);

impl<'a, T> From<Matrix<'a, T>> for Second<'a, T> {
    fn from(matrix: Matrix<'a, T>) -> Self {
        Self(matrix, None)
    }
}

impl<'a, T: Copy> From<&'a Factor<'_, T>> for Second<'a, T> {
    fn from(factor: &'a Factor<'_, T>) -> Self {
        let Factor { matrix, panels, copy } = factor;
        let matrix =
            copy.as_ref().map_or(*matrix, |copy| Matrix { values: copy, strides: [matrix.columns, 1], ..*matrix });
        Self(matrix, panels.as_ref())
    }
}

/// A matrix as tiles read it.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
pub(crate) struct Panels {
    lines: Vec<Line>,
    /// Length of the parts of the inner dimension, each of which has its panels.
    part: usize,
}

/// A line of the cache.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    /// Nothing.
    Zero,
    /// This row, in every row.
    Row(&'a [T]),
    /// What is there already.
    Output,
}

/// The product a b, row-major.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn product<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>) -> Vec<T> {
    from_start(Start::Zero, a, b.into())
}

/// A row, in every row, and the product a b, row-major.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn product_plus<T: Real>(row: &[T], a: Matrix<'_, T>, b: Matrix<'_, T>) -> Vec<T> {
    from_start(Start::Row(row), a, b.into())
}

fn from_start<T: Real>(start: Start<'_, T>, a: Matrix<'_, T>, b: Second<'_, T>) -> Vec<T> {
    let mut output = Mosaic::new(values(a, b));
    output.rooms(usize::MAX).for_each(|mut room| room.write_from(0, b.0.columns, start, a, b));
    // SAFETY: all of it is the product.
    unsafe { output.finish() }
}

/// Writes the product a b to row-major `output`.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn multiply_into<'b, T: Real>(output: &mut [T], a: Matrix<'_, T>, b: impl Into<Second<'b, T>>) {
    write_product(output, Start::Zero, a, b.into());
}

/// Writes a row, in every row, and the product a b to row-major `output`.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn multiply_plus<'b, T: Real>(output: &mut [T], row: &[T], a: Matrix<'_, T>, b: impl Into<Second<'b, T>>) {
    write_product(output, Start::Row(row), a, b.into());
}

/// Adds the product a b to row-major `output`.
///
/// # Panics
/// When the shapes do not fit.
pub(super) fn add_product<'b, T: Real>(output: &mut [T], a: Matrix<'_, T>, b: impl Into<Second<'b, T>>) {
    write_product(output, Start::Output, a, b.into());
}

fn write_product<T: Real>(output: &mut [T], start: Start<'_, T>, a: Matrix<'_, T>, b: Second<'_, T>) {
    assert_eq!(output.len(), values(a, b), "the product's shape");
    // SAFETY: as many values as the product has, all initialised.
    unsafe { multiply(output.as_mut_ptr(), b.0.columns, start, a, b) }
}

/// Values of a product.
fn values<T>(a: Matrix<'_, T>, b: Second<'_, T>) -> usize {
    a.rows.checked_mul(b.0.columns).expect("as many values as fit in memory")
}

/// Memory that several products fill. Nothing is written before: to set a gradient of attention to zero takes longer than to turn
/// its queries.
pub(super) struct Mosaic<T> {
    values: Vec<T>,
    count: usize,
}

/// A part of it.
pub(super) struct Room<'a, T>(&'a mut [MaybeUninit<T>]);

impl<T: Real> Mosaic<T> {
    /// Room for so many values.
    pub(super) fn new(count: usize) -> Self {
        Self { values: Vec::with_capacity(count), count }
    }

    /// All of it in rooms of so many values; the last one may have less.
    pub(super) fn rooms(&mut self, values: usize) -> impl Iterator<Item = Room<'_, T>> {
        self.values.spare_capacity_mut()[..self.count].chunks_mut(values).map(Room)
    }

    /// The values.
    ///
    /// # Safety
    /// All of them must have been written.
    pub(super) unsafe fn finish(mut self) -> Vec<T> {
        // SAFETY: there is room for so many, and the caller vouches for what is in it.
        unsafe { self.values.set_len(self.count) };
        self.values
    }
}

impl<T: Real> Room<'_, T> {
    /// Writes the product a b: its first value to `from`, a row `stride` values after the one before.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub(super) fn write(&mut self, from: usize, stride: usize, a: Matrix<'_, T>, b: Matrix<'_, T>) {
        self.write_from(from, stride, Start::Zero, a, b.into());
    }

    /// Writes a row, in every row, and the product a b from `from` on, row-major.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub(super) fn write_plus<'b>(&mut self, from: usize, row: &[T], a: Matrix<'_, T>, b: impl Into<Second<'b, T>>)
    where
        T: 'b,
    {
        self.write_from(from, row.len(), Start::Row(row), a, b.into());
    }

    fn write_from(&mut self, from: usize, stride: usize, start: Start<'_, T>, a: Matrix<'_, T>, b: Second<'_, T>) {
        assert!(b.0.columns <= stride, "{} columns in rows of {stride}", b.0.columns);
        let room = &mut self.0[from..][..reach(a.rows, b.0.columns, stride)];
        // SAFETY: the slice reaches to the last value of the product.
        unsafe { multiply(room.as_mut_ptr().cast(), stride, start, a, b) }
    }
}

/// # Safety
/// `output` must have room for the product in rows of `stride` values, and hold its values where they are added to.
unsafe fn multiply<T: Real>(output: *mut T, stride: usize, start: Start<'_, T>, a: Matrix<'_, T>, b: Second<'_, T>) {
    let Second(b, panels) = b;
    assert_eq!(a.columns, b.rows, "the inner dimension");
    if let Start::Row(values) = start {
        assert_eq!(values.len(), b.columns, "the columns of a product and of what it is added to");
    }
    // SAFETY: the shapes fit; the caller vouches for `output`.
    unsafe { T::multiply(Product { output, stride, start, a, b }, panels) }
}

/// A product that is to be written. Its inner dimensions agree; `output` has room for it in rows of `stride` values, and holds
/// values where it is added to them; a row to start from has as many as there are columns.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a, T> {
    output: *mut T,
    stride: usize,
    start: Start<'a, T>,
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
}

// SAFETY: threads that share a product write different parts of it.
unsafe impl<T: Send + Sync> Send for Product<'_, T> {}
// SAFETY: the same.
unsafe impl<T: Send + Sync> Sync for Product<'_, T> {}

impl<T: Real> Product<'_, T> {
    /// Threads that it is worth.
    fn threads(&self) -> usize {
        threads(self.a.rows.saturating_mul(self.a.columns).saturating_mul(self.b.columns))
    }

    /// Of either type, on any processor.
    ///
    /// # Safety
    /// What [`Product`] says must hold.
    pub(super) unsafe fn write_by_gemm(self) {
        let Self { output, stride, start, a, b } = self;
        if let Start::Row(values) = start {
            for row in 0..a.rows {
                // SAFETY: a row of the product.
                unsafe { output.add(row * stride).copy_from_nonoverlapping(values.as_ptr(), values.len()) };
            }
        }
        let is_added = !matches!(start, Start::Zero);
        let (one, zero) = (T::of(1.0), T::of(0.0));
        let [a_row, a_column] = a.strides.map(|stride| stride as isize);
        let [b_row, b_column] = b.strides.map(|stride| stride as isize);
        // SAFETY: `Matrix` holds as many values as its shape and strides reach; the caller vouches for `output`.
        unsafe {
            gemm::gemm(
                a.rows,
                b.columns,
                a.columns,
                output,
                1,
                stride as isize,
                is_added,
                a.values.as_ptr(),
                a_column,
                a_row,
                b.values.as_ptr(),
                b_column,
                b_row,
                if is_added { one } else { zero },
                one,
                false,
                false,
                false,
                if self.threads() > 1 { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None },
            );
        }
    }
}

impl Panels {
    /// Of a matrix in f32 for products of so many rows, where they help.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    pub(super) fn of(matrix: Matrix<'_, f32>, rows: usize) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return tiles::lay_out(matrix, rows);
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

impl Product<'_, f32> {
    /// In tiles where the processor has AVX-512, and by gemm elsewhere.
    ///
    /// # Safety
    /// What [`Product`] says must hold; panels, where there are, are those of b.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    pub(super) unsafe fn write(self, panels: Option<&Panels>) {
        #[cfg(target_arch = "x86_64")]
        if tiles::can_write(&self) {
            // SAFETY: asked; the rest is the caller's.
            return unsafe { tiles::write(self, panels) };
        }
        // SAFETY: the caller's.
        unsafe { self.write_by_gemm() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_sums_over_the_inner_dimension() {
        let a: Vec<f64> = (0..6).map(f64::from).collect();
        let b: Vec<f64> = (0..12).map(|k| f64::from(k) - 5.0).collect();
        let entry = |i: usize, j: usize| (0..3).map(|k| a[3 * i + k] * b[4 * k + j]).sum::<f64>();
        let expected: Vec<f64> = (0..8).map(|index| entry(index / 4, index % 4)).collect();
        assert_eq!(product(Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 4)), expected);

        let mut output = vec![1.0; 8];
        add_product(&mut output, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 4));
        assert!(output.iter().zip(&expected).all(|(sum, product)| *sum == product + 1.0));

        let transposed = product(Matrix::new(&b, 3, 4).transposed(), Matrix::new(&a, 2, 3).transposed());
        assert!((0..8).all(|index| transposed[index] == expected[4 * (index % 2) + index / 2]));
    }

    #[test]
    fn matrices_within_longer_rows() {
        let values: Vec<f64> = (0..5 * 7).map(f64::from).collect();
        let (a, b) = (Matrix::within(&values, 2, [4, 3], 7), Matrix::within(&values, 7, [3, 2], 5));
        let entry = |i: usize, j: usize| (0..3).map(|k| values[2 + 7 * i + k] * values[7 + 5 * k + j]).sum::<f64>();
        // Side by side: a b, the same once more, and the product with one column less.
        let mut mosaic = Mosaic::new(20);
        for mut room in mosaic.rooms(20) {
            room.write(0, 5, a, b);
            room.write(2, 5, a, b);
            room.write(4, 5, a, b.columns(1, 1));
        }
        // SAFETY: five columns of four rows.
        let output = unsafe { mosaic.finish() };
        for (index, value) in output.iter().enumerate() {
            let (row, column) = (index / 5, index % 5);
            assert_eq!(*value, entry(row, if column == 4 { 1 } else { column % 2 }), "at {index}");
        }
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_product_beyond_its_room_is_refused() {
        let values = [1.0; 6];
        Mosaic::new(16)
            .rooms(8)
            .for_each(|mut room| room.write(5, 4, Matrix::new(&values, 2, 3), Matrix::new(&values, 3, 2)));
    }

    #[test]
    fn a_copy_of_a_transposed_matrix_has_its_rows() {
        let values: Vec<f64> = (0..35 * 18).map(f64::from).collect();
        let turned = Matrix::new(&values, 35, 18).transposed().to_vec();
        assert!((0..35 * 18).all(|index| turned[index % 18 * 35 + index / 18] == values[index]));
    }

    /// Values that are all different, of both signs.
    fn noise(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 7919 + seed * 104_729) % 10_007) as f32 / 5003.5 - 1.0).collect()
    }

    /// A product by gemm, in its own way and with a second factor that is laid out, added to nothing, to a row and to values.
    fn all_ways(shape: [usize; 3], turns: [bool; 2]) -> [Vec<f32>; 3] {
        let [rows, depth, columns] = shape;
        let (a, b) = (noise(rows * depth, 1), noise(depth * columns, 2));
        let oriented = |values, rows, columns, is_turned| {
            if is_turned { Matrix::new(values, columns, rows).transposed() } else { Matrix::new(values, rows, columns) }
        };
        let (a, b) = (oriented(&a, rows, depth, turns[0]), oriented(&b, depth, columns, turns[1]));
        let row = noise(columns, 3);
        let factor = Factor::new(b, rows);
        [None, Some(b.into()), Some(Second::from(&factor))].map(|second: Option<Second<'_, f32>>| {
            let starts = [Start::Zero, Start::Row(&row), Start::Output];
            starts
                .map(|start| {
                    // In longer rows, so that what lies beyond the product would show.
                    let stride = columns + 3;
                    let mut output = noise(rows * stride, 4);
                    // SAFETY: the shapes fit.
                    unsafe {
                        match second {
                            Some(b) => multiply(output.as_mut_ptr(), stride, start, a, b),
                            None => Product { output: output.as_mut_ptr(), stride, start, a, b }.write_by_gemm(),
                        }
                    }
                    output
                })
                .concat()
        })
    }

    #[test]
    fn tiles_have_the_bits_of_gemm() {
        let shapes = [
            [128, 256, 256],
            [64, 100, 100],
            [65, 128, 511],
            [200, 600, 40],
            [73, 784, 256],
            [37, 71, 53],
            [300, 9, 17],
            [2, 40, 300],
            [13, 300, 80],
            [100, 64, 10],
            [24, 513, 97],
            [640, 32, 530],
            [64, 784, 64],
            [260, 512, 300],
            [270, 1100, 530],
        ];
        for shape in shapes {
            for turns in [[false, false], [false, true], [true, false], [true, true]] {
                let [expected, found, laid_out] = all_ways(shape, turns);
                for (way, found) in [("as it is", found), ("laid out", laid_out)] {
                    let differs = found.iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits());
                    assert_eq!(differs, None, "{shape:?}, turned {turns:?}, {way}");
                }
            }
        }
    }

    #[test]
    fn a_product_does_not_depend_on_the_number_of_threads() {
        for shape in [[500, 130, 120], [120, 130, 500]] {
            let by_threads = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| all_ways(shape, [false, false]))
            };
            let alone = by_threads(1);
            for threads in [2, 3, 7] {
                assert!(by_threads(threads) == alone, "{shape:?} by {threads} threads");
            }
        }
    }

    #[test]
    fn an_empty_inner_dimension_gives_zeros() {
        assert_eq!(product(Matrix::<f32>::new(&[], 2, 0), Matrix::new(&[], 0, 2)), vec![0.0; 4]);
    }
}
