//! Products in f32 with AVX-512, in tiles of sums that stay in registers.
//!
//! Columns of b are laid out in panels of up to four vectors, which stay in the cache while the rows of a pass by, a few at a
//! time. Every sum runs over the inner dimension in its order and in the parts of the crate gemm, so that the bits are the
//! same, for any number of threads.

use std::arch::x86_64::*;
use std::array;
use std::cell::RefCell;

use rayon::prelude::*;

use super::{Line, Matrix, Panels, Product, Start};

/// Values of a vector.
const LANES: usize = size_of::<Line>() / size_of::<f32>();
/// Vectors of a panel.
const VECTORS: usize = 4;
/// Columns of a panel.
const COLUMNS: usize = VECTORS * LANES;
/// Rows of a tile of one or two vectors; of three or four, half as many. 24 sums are in 24 registers.
const ROWS: usize = 12;
/// Longest part of the inner dimension; gemm's too.
const DEPTH: usize = 512;
/// Values of panels, and of rows, that are kept at once: 512 kB of each, of the 1 or 2 MB of a second cache.
const KEPT: usize = 128 * 1024;
/// Values that a first cache holds, of 32 kB.
const CLOSE: usize = 8 * 1024;

/// There are the vector instructions, and enough sums. A product with a vector, of rank 1 or 2 and of at most 256 sums has a way
/// of its own in gemm, whose bits are others.
pub(super) fn can_write(Product { a, b, .. }: &Product<'_, f32>) -> bool {
    is_enough([a.rows, a.columns, b.columns])
}

fn is_enough([rows, depth, columns]: [usize; 3]) -> bool {
    rows > 1 && columns > 1 && depth > 2 && rows * columns > 256 && is_x86_feature_detected!("avx512f")
}

/// The panels of b, for products of so many rows that can be written.
pub(super) fn lay_out(b: Matrix<'_, f32>, rows: usize) -> Option<Panels> {
    if !is_enough([rows, b.rows, b.columns]) {
        return None;
    }
    let part = part_length([rows, b.rows, b.columns]);
    let width = b.columns.next_multiple_of(LANES);
    let mut lines = vec![Line::default(); b.rows * width / LANES];
    for from in (0..b.rows).step_by(part) {
        let b = b.rows(from, part.min(b.rows - from));
        let panels = lines[from * width / LANES..].as_mut_ptr().cast::<f32>();
        for (column, columns) in widths(b.columns) {
            let (panel, vectors) = (panels.wrapping_add(column * b.rows), columns.div_ceil(LANES));
            // SAFETY: the processor has the instructions; there is room for whole vectors of all columns.
            unsafe { lay_panel_out(panel, vectors, b.columns(column, columns)) };
        }
    }
    Some(Panels { lines, part })
}

/// Length of the parts of the inner dimension, as gemm has them: equal ones, but for small products.
fn part_length([rows, depth, columns]: [usize; 3]) -> usize {
    if rows <= 64 && columns <= 64 { DEPTH.min(depth) } else { depth.div_ceil(depth.div_ceil(DEPTH)) }
}

impl Product<'_, f32> {
    /// Some of the rows.
    fn rows(self, from: usize, count: usize) -> Self {
        let output = self.output.wrapping_add(from * self.stride);
        Self { output, a: self.a.rows(from, count), ..self }
    }

    /// Some of the columns.
    fn columns(self, from: usize, count: usize) -> Self {
        let start = match self.start {
            Start::Row(values) => Start::Row(&values[from..from + count]),
            start => start,
        };
        Self { output: self.output.wrapping_add(from), start, b: self.b.columns(from, count), ..self }
    }

    /// Some of the inner dimension; what does not begin it is added.
    fn inner(self, from: usize, count: usize) -> Self {
        let start = if from > 0 { Start::Output } else { self.start };
        Self { start, a: self.a.columns(from, count), b: self.b.rows(from, count), ..self }
    }
}

thread_local! {
    /// Panels, and behind them rows of a. A workspace would not begin with a line of the cache.
    static MEMORY: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Writes a product, with the panels of b if there are; a large one on all threads of the pool: rows or columns, of which
/// there are more, or rows where panels are laid out for all columns.
///
/// # Safety
/// [`can_write`] must have said so, and what [`Product`] says must hold.
pub(super) unsafe fn write(product: Product<'_, f32>, panels: Option<&Panels>) {
    let part = match panels {
        Some(panels) => panels.part,
        None => part_length([product.a.rows, product.a.columns, product.b.columns]),
    };
    let threads = product.threads();
    let by_columns = panels.is_none() && product.b.columns >= product.a.rows;
    let (count, unit) = if by_columns { (product.b.columns, COLUMNS) } else { (product.a.rows, ROWS) };
    let share = count.div_ceil(threads).next_multiple_of(unit);
    let write_share = |index: usize| {
        let (from, count) = (index * share, share.min(count - index * share));
        let share = if by_columns { product.columns(from, count) } else { product.rows(from, count) };
        // SAFETY: the caller's.
        unsafe { write_alone(share, panels, part) };
    };
    match count.div_ceil(share) {
        1 => write_share(0),
        shares => (0..shares).into_par_iter().for_each(write_share),
    }
}

/// Writes a product on this thread, in parts of the inner dimension of such a length.
///
/// # Safety
/// As for [`write`].
unsafe fn write_alone(product: Product<'_, f32>, panels: Option<&Panels>, part: usize) {
    let (depth, columns) = (product.a.columns, product.b.columns);
    let rows = KEPT / part / ROWS * ROWS;
    let width = columns.next_multiple_of(LANES);
    let kept = if panels.is_some() { width } else { width.min(KEPT / part / COLUMNS * COLUMNS) };
    MEMORY.with_borrow_mut(|memory| {
        let lines_of_rows = (part * rows.min(product.a.rows.next_multiple_of(ROWS))).div_ceil(LANES) + 1;
        let lines_of_panels = if panels.is_some() { 0 } else { part * kept / LANES };
        if memory.len() < lines_of_panels + lines_of_rows {
            memory.resize(lines_of_panels + lines_of_rows, Line::default());
        }
        let (own, laid_out) = memory.split_at_mut(lines_of_panels);
        let laid_out = laid_out.as_mut_ptr().cast();
        for from in (0..depth).step_by(part) {
            let product = product.inner(from, part.min(depth - from));
            let place = match panels {
                Some(panels) => Place::Given(panels.lines[from * width / LANES..].as_ptr().cast()),
                // A panel that no other block of rows reads makes room for the next one, in a closer cache.
                None => Place::Own { first: own.as_mut_ptr().cast(), is_reused: product.a.rows <= rows },
            };
            for from in (0..columns).step_by(kept) {
                let product = product.columns(from, kept.min(columns - from));
                // SAFETY: the processor has the instructions; there is room for so many columns and rows.
                unsafe { write_part(product, rows, &place, laid_out) };
            }
        }
    });
}

/// First column and number of columns of each panel. Five and six vectors are two panels of the same kind of tile.
fn widths(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let left = columns - next;
        let vectors = match left.div_ceil(LANES) {
            5 | 6 => 3,
            vectors => vectors.min(VECTORS),
        };
        let first = next;
        next += left.min(vectors * LANES);
        (left > 0).then_some((first, next - first))
    })
}

/// Where panels are.
enum Place {
    /// Laid out already.
    Given(*const f32),
    /// In memory of our own, one after the other or all in the same place.
    Own { first: *mut f32, is_reused: bool },
}

/// The lanes that so many values fill.
fn lanes(count: usize) -> __mmask16 {
    if count >= LANES { !0 } else { (1 << count) - 1 }
}

/// Writes a product, so many rows at a time.
///
/// # Safety
/// As for [`write`]; b in the place that is given, or room for it in one of our own; room for a block of rows in `laid_out`.
#[target_feature(enable = "avx512f")]
unsafe fn write_part(product: Product<'_, f32>, rows: usize, place: &Place, laid_out: *mut f32) {
    let Product { a, b, .. } = product;
    let depth = a.columns;
    // Of a turned a each row touches as many lines as the part is deep, again for each panel: many, or lines that share few
    // places of the first cache.
    let is_scattered = a.strides[1] != 1 && (depth > 256 || a.strides[1].is_multiple_of(4 * LANES));
    let lays_rows_out = is_scattered && b.columns > COLUMNS && a.rows * depth > CLOSE;
    for first_row in (0..a.rows).step_by(rows) {
        let block = product.rows(first_row, rows.min(a.rows - first_row));
        if lays_rows_out {
            // SAFETY: there is room.
            unsafe { lay_rows_out(laid_out, block.a) };
        }
        for (column, columns) in widths(b.columns) {
            let (block, vectors) = (block.columns(column, columns), columns.div_ceil(LANES));
            let panel = match *place {
                Place::Given(first) => first.wrapping_add(column * depth),
                Place::Own { first, is_reused } => {
                    let panel = if is_reused { first } else { first.wrapping_add(column * depth) };
                    if first_row == 0 {
                        // SAFETY: there is room.
                        unsafe { lay_panel_out(panel, vectors, block.b) };
                    }
                    panel.cast_const()
                }
            };
            let high = if vectors > 2 { ROWS / 2 } else { ROWS };
            for row in (0..block.a.rows).step_by(high) {
                let product = block.rows(row, high.min(block.a.rows - row));
                let tile = if lays_rows_out {
                    let values = laid_out.wrapping_add(row / ROWS * ROWS * depth + row % ROWS);
                    Tile { product, values, strides: [1, ROWS], panel }
                } else {
                    Tile { product, values: product.a.values.as_ptr(), strides: a.strides, panel }
                };
                // SAFETY: rows and columns of the product, which were laid out.
                unsafe { tile.write(vectors) };
            }
        }
    }
}

/// Rows of a for [`ROWS`] rows at a time: their values of each column side by side. Columns of `block` are contiguous.
///
/// # Safety
/// `output` must have room for as many rows, rounded up, and a vector more.
#[target_feature(enable = "avx512f")]
unsafe fn lay_rows_out(output: *mut f32, block: Matrix<'_, f32>) {
    for row in (0..block.rows).step_by(ROWS) {
        let rows = lanes(ROWS.min(block.rows - row));
        for column in 0..block.columns {
            let values = &block.values[column * block.strides[1] + row..];
            // SAFETY: reads what the block has; the last lanes of a vector are written over by the next one.
            unsafe {
                let values = _mm512_maskz_loadu_ps(rows, values.as_ptr());
                _mm512_storeu_ps(output.add(row * block.columns + column * ROWS), values);
            }
        }
    }
}

/// Rows of a panel one after the other, each of whole vectors that end with zeros.
///
/// # Safety
/// `output` must have room for them, and begin a line of the cache.
#[target_feature(enable = "avx512f")]
unsafe fn lay_panel_out(output: *mut f32, vectors: usize, panel: Matrix<'_, f32>) {
    let [row_step, column_step] = panel.strides;
    let from = panel.values.as_ptr();
    let last = lanes(panel.columns - (vectors - 1) * LANES);
    if column_step == 1 {
        for row in 0..panel.rows {
            // SAFETY: reads the columns that the panel has, and writes the vectors of one row.
            unsafe {
                let (from, to) = (from.add(row * row_step), output.add(row * vectors * LANES));
                for vector in 0..vectors - 1 {
                    _mm512_store_ps(to.add(vector * LANES), _mm512_loadu_ps(from.add(vector * LANES)));
                }
                let at = (vectors - 1) * LANES;
                _mm512_store_ps(to.add(at), _mm512_maskz_loadu_ps(last, from.add(at)));
            }
        }
        return;
    }
    for vector in 0..vectors {
        let columns = LANES.min(panel.columns - vector * LANES);
        for row in (0..panel.rows).step_by(LANES) {
            let rows = LANES.min(panel.rows - row);
            let mut square = [_mm512_setzero_ps(); LANES];
            for (column, values) in square.iter_mut().enumerate().take(columns) {
                // SAFETY: reads a column of the panel, which is contiguous.
                *values = unsafe {
                    _mm512_maskz_loadu_ps(lanes(rows), from.add((vector * LANES + column) * column_step + row))
                };
            }
            for (at, values) in turned(square).into_iter().enumerate().take(rows) {
                // SAFETY: writes one vector of each row.
                unsafe { _mm512_store_ps(output.add(((row + at) * vectors + vector) * LANES), values) };
            }
        }
    }
}

/// Rows and columns of a square exchanged.
#[inline]
#[target_feature(enable = "avx512f")]
fn turned(rows: [__m512; LANES]) -> [__m512; LANES] {
    let wide = _mm512_castps_pd;
    let narrow = _mm512_castpd_ps;
    // Pairs of rows, then fours of them, then quarters of vectors.
    let pairs: [__m512; LANES] = array::from_fn(|k| {
        let (a, b) = (rows[k & !1], rows[k | 1]);
        if k % 2 == 0 { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) }
    });
    let fours: [__m512; LANES] = array::from_fn(|k| {
        let (a, b) = (wide(pairs[(k & !3) | ((k >> 1) & 1)]), wide(pairs[(k & !3) | ((k >> 1) & 1) | 2]));
        narrow(if k % 2 == 0 { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
    });
    let halves: [__m512; LANES] = array::from_fn(|k| {
        // Columns k % 4 and, four further on, of rows 0 to 7 or 8 to 15: even quarters, then odd ones.
        let (a, b) = (fours[(k & 8) | (k & 3)], fours[(k & 8) | 4 | (k & 3)]);
        if k & 4 == 0 { _mm512_shuffle_f32x4::<0x88>(a, b) } else { _mm512_shuffle_f32x4::<0xdd>(a, b) }
    });
    array::from_fn(|k| {
        let (a, b) = (halves[k & 7], halves[(k & 7) | 8]);
        if k & 8 == 0 { _mm512_shuffle_f32x4::<0x88>(a, b) } else { _mm512_shuffle_f32x4::<0xdd>(a, b) }
    })
}

/// Rows and columns of a product whose sums are in registers all at once.
struct Tile<'a> {
    product: Product<'a, f32>,
    /// Its first row of a, as it is or laid out, and the steps to the next row and to the next column.
    values: *const f32,
    strides: [usize; 2],
    /// Its columns of b.
    panel: *const f32,
}

impl Tile<'_> {
    /// Its panel has so many vectors.
    ///
    /// # Safety
    /// The processor has the instructions; rows and columns of the product are where the tile says.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn write(&self, vectors: usize) {
        macro_rules! of_size {
            ($($wide:literal)*; $($narrow:literal)*) => {
                // SAFETY: the caller's.
                match (vectors, self.product.a.rows) {
                    $((4, $wide) => unsafe { self.write_sized::<4, $wide>() },
                    (3, $wide) => unsafe { self.write_sized::<3, $wide>() },)*
                    $((2, $narrow) => unsafe { self.write_sized::<2, $narrow>() },
                    (1, $narrow) => unsafe { self.write_sized::<1, $narrow>() },)*
                    (_, rows) => unreachable!("no tile of {rows} rows of {vectors} vectors"),
                }
            };
        }
        of_size!(1 2 3 4 5 6; 1 2 3 4 5 6 7 8 9 10 11 12)
    }

    /// Its panel has `WIDTH` vectors, and the product `HEIGHT` rows.
    ///
    /// # Safety
    /// As for [`Self::write`].
    #[inline(never)]
    #[target_feature(enable = "avx512f")]
    unsafe fn write_sized<const WIDTH: usize, const HEIGHT: usize>(&self) {
        let Product { output, stride, start, a, b } = self.product;
        let rows: [*const f32; HEIGHT] = array::from_fn(|row| self.values.wrapping_add(row * self.strides[0]));
        let (mut panel, mut column) = (self.panel, 0);
        let mut sums = [[_mm512_setzero_ps(); WIDTH]; HEIGHT];
        for _ in 0..a.columns {
            // SAFETY: a row of the panel, and a column of the rows.
            unsafe {
                let b: [__m512; WIDTH] = array::from_fn(|vector| _mm512_load_ps(panel.add(vector * LANES)));
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let a = _mm512_set1_ps(*row.add(column));
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = _mm512_fmadd_ps(a, b, *sum);
                    }
                }
            }
            panel = panel.wrapping_add(WIDTH * LANES);
            column += self.strides[1];
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (vector, sum) in sums.into_iter().enumerate() {
                let at = vector * LANES;
                let lanes = lanes(b.columns - at);
                // SAFETY: lanes that belong to the product.
                unsafe {
                    let output = output.add(row * stride + at);
                    let sum = match start {
                        Start::Zero => sum,
                        Start::Row(values) => _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, values.as_ptr().add(at))),
                        Start::Output => _mm512_add_ps(sum, _mm512_maskz_loadu_ps(lanes, output)),
                    };
                    _mm512_mask_storeu_ps(output, lanes, sum);
                }
            }
        }
    }
}
