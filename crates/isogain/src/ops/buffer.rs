//! Buffers of Burn's CPU tensors, read and written in place.

use std::cell::RefCell;
use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use burn::backend::tensor::FloatTensor;
use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind, Flex};
use burn::tensor::{DType, Element, Tensor, TensorData};

use isogain_core::statistics::Moments;
use isogain_core::statistics::kernel::{blocks, moments, moments_f64};
use rayon::prelude::*;

use super::elementary;
use super::matmul::{Matrix, Panels, Product};
use super::workspace::Store;

/// A tensor of the CPU backend.
pub(crate) type Buffer = FloatTensor<Flex>;

/// f32 or f64.
pub(crate) trait Real:
    Element
    + Debug
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + Sum
    + Send
    + Sync
    + 'static
{
    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    /// The same value in f64.
    fn wide(self) -> f64;
    /// Square root.
    fn root(self) -> Self;
    /// e^x.
    fn exponential(self) -> Self;
    /// 1 / (1 + e^-x).
    fn logistic(self) -> Self;
    /// tanh x.
    fn hyperbolic_tangent(self) -> Self;
    /// The buffer's values, row-major. The buffer is [`dense`].
    fn read(buffer: &Buffer) -> &[Self];
    /// The buffer's values for writing; a shared buffer is copied first. The buffer is [`dense`].
    fn write(buffer: &mut Buffer) -> &mut [Self];
    /// Moments of values.
    fn moments(values: &[Self]) -> Moments;
    /// Writes a product of matrices.
    ///
    /// # Safety
    /// What [`Product`] says must hold; panels, where there are, are those of its second factor.
    unsafe fn multiply(product: Product<'_, Self>, panels: Option<&Panels>);
    /// Lays the second factor of several products out, which have so many rows, where that helps.
    fn lay_out(matrix: Matrix<'_, Self>, rows: usize) -> Option<Panels>;
    /// Gives the thread's store of unused memory to a function.
    fn with_store<R>(work: impl FnOnce(&mut Store<Self>) -> R) -> R;
}

/// Values from which on threads share the work, 1 MB: before that one is done before another has woken up.
const SHARED_FROM: usize = 256 * 1024;
/// Blocks that one thread takes at least, 512 kB.
const LEAST_SHARE: usize = 8;

thread_local! {
    static STORE_F32: RefCell<Store<f32>> = const { RefCell::new(Vec::new()) };
    static STORE_F64: RefCell<Store<f64>> = const { RefCell::new(Vec::new()) };
}

impl Real for f32 {
    fn of(value: f64) -> Self {
        value as Self
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn root(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn exponential(self) -> Self {
        elementary::exp(self)
    }
    #[inline(always)]
    fn logistic(self) -> Self {
        elementary::sigmoid(self)
    }
    #[inline(always)]
    fn hyperbolic_tangent(self) -> Self {
        elementary::tanh(self)
    }
    fn read(buffer: &Buffer) -> &[Self] {
        buffer.storage()
    }
    fn write(buffer: &mut Buffer) -> &mut [Self] {
        buffer.storage_mut()
    }
    fn moments(values: &[Self]) -> Moments {
        if values.len() < SHARED_FROM || rayon::current_num_threads() < 2 {
            return moments(values);
        }
        // In the order of the blocks, so that the bits do not depend on the number of threads.
        let blocks: Vec<&[f32]> = blocks(values).collect();
        let parts: Vec<Moments> = blocks.par_iter().with_min_len(LEAST_SHARE).map(|block| moments(block)).collect();
        parts.iter().fold(Moments::default(), |mut whole, part| {
            whole.merge(part);
            whole
        })
    }
    unsafe fn multiply(product: Product<'_, Self>, panels: Option<&Panels>) {
        // SAFETY: the caller's.
        unsafe { product.write(panels) }
    }
    fn lay_out(matrix: Matrix<'_, Self>, rows: usize) -> Option<Panels> {
        Panels::of(matrix, rows)
    }
    fn with_store<R>(work: impl FnOnce(&mut Store<Self>) -> R) -> R {
        STORE_F32.with_borrow_mut(work)
    }
}

impl Real for f64 {
    fn of(value: f64) -> Self {
        value
    }
    fn wide(self) -> f64 {
        self
    }
    fn root(self) -> Self {
        self.sqrt()
    }
    fn exponential(self) -> Self {
        self.exp()
    }
    fn logistic(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }
    fn hyperbolic_tangent(self) -> Self {
        self.tanh()
    }
    fn read(buffer: &Buffer) -> &[Self] {
        buffer.storage()
    }
    fn write(buffer: &mut Buffer) -> &mut [Self] {
        buffer.storage_mut()
    }
    fn moments(values: &[Self]) -> Moments {
        moments_f64(values)
    }
    unsafe fn multiply(product: Product<'_, Self>, _: Option<&Panels>) {
        // SAFETY: the caller's.
        unsafe { product.write_by_gemm() }
    }
    fn lay_out(_: Matrix<'_, Self>, _: usize) -> Option<Panels> {
        None
    }
    fn with_store<R>(work: impl FnOnce(&mut Store<Self>) -> R) -> R {
        STORE_F64.with_borrow_mut(work)
    }
}

/// Calls a function that is generic over [`Real`] with the type of this buffer.
macro_rules! by_type {
    ($buffer:expr, $function:ident($($argument:expr),* $(,)?)) => {
        if $buffer.dtype() == burn::tensor::DType::F64 { $function::<f64>($($argument),*) } else { $function::<f32>($($argument),*) }
    };
}
pub(crate) use by_type;

/// Laid out row by row, and nothing else in the buffer. Tensors rarely are anything else, so this rarely copies.
pub(crate) fn dense(buffer: Buffer) -> Buffer {
    buffer.to_contiguous()
}

/// A new buffer from row-major values.
pub(crate) fn filled<T: Real>(values: Vec<T>, shape: &[usize]) -> Buffer {
    Buffer::from_data(TensorData::new(values, shape.to_vec()))
}

/// A vector, from sums in f64.
pub(super) fn narrowed<T: Real>(sums: &[f64]) -> Buffer {
    filled(sums.iter().map(|&sum| T::of(sum)).collect::<Vec<T>>(), &[sums.len()])
}

/// Rows and columns of a buffer `[rows, columns]`; a vector is one row.
pub(crate) fn extent(buffer: &Buffer) -> (usize, usize) {
    let columns = buffer.layout().shape().last().copied().unwrap_or(1);
    (buffer.layout().num_elements() / columns.max(1), columns)
}

/// The buffer of a tensor; a tensor of another backend is copied to this one.
pub(crate) fn primitive<const D: usize>(tensor: Tensor<D>) -> Buffer {
    let DispatchTensor { kind, autodiff } = tensor.into_dispatch();
    match kind {
        DispatchTensorKind::Flex(BackendTensor::Float(buffer)) => dense(buffer),
        kind => Buffer::from_data(Tensor::<D>::from_dispatch(DispatchTensor { kind, autodiff }).into_data()),
    }
}

/// The tensor of a buffer.
pub(crate) fn tensor<const D: usize>(buffer: Buffer) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(buffer)
}

/// Moments of a dense buffer.
pub(crate) fn buffer_moments(buffer: &Buffer) -> Moments {
    if buffer.dtype() == DType::F64 { f64::moments(f64::read(buffer)) } else { f32::moments(f32::read(buffer)) }
}

/// A loop over buffers. `run` is marked `#[inline(always)]`, and what it calls too: a function that is not inlined would
/// be compiled for the oldest processors.
pub(crate) trait Loop {
    /// What comes out beside the buffers.
    type Output;
    /// Runs it.
    fn run(self) -> Self::Output;
}

/// Runs a loop with the widest vector instructions of this processor.
pub(crate) fn vectorised<L: Loop>(work: L) -> L::Output {
    pulp::Arch::new().dispatch(Vectorised(work))
}

struct Vectorised<L>(L);

impl<L: Loop> pulp::NullaryFnOnce for Vectorised<L> {
    type Output = L::Output;

    #[inline(always)]
    fn call(self) -> L::Output {
        self.0.run()
    }
}

/// Partial sums kept apart, so that the additions need not wait for each other.
pub(super) const LANES: usize = 16;

/// Sum in f64 of a term over pairs of values, in interleaved parts; for use in a [`Loop`].
#[inline(always)]
pub(super) fn sum_of<T: Real>(a: &[T], b: &[T], term: impl Fn(T, T) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += term(a, b);
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(&a, &b)| term(a, b)).sum::<f64>()
}

/// The largest of what a function makes of values, -infinity where there is none; a NaN counts as nothing. For use in a
/// [`Loop`].
#[inline(always)]
pub(super) fn largest_of<T: Real>(values: &[T], term: impl Fn(T) -> T) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::of(f64::NEG_INFINITY); LANES];
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        for (lane, &value) in lanes.iter_mut().zip(group) {
            *lane = larger(*lane, term(value));
        }
    }
    lanes.into_iter().chain(rest.iter().map(|&value| term(value))).fold(T::of(f64::NEG_INFINITY), larger)
}

/// Multiplies every value.
pub(crate) fn scale<T: Real>(buffer: &mut Buffer, factor: T) {
    vectorised(Scale(T::write(buffer), factor));
}

struct Scale<'a, T>(&'a mut [T], T);

impl<T: Real> Loop for Scale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(values, factor) = self;
        for value in values {
            *value = factor * *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_do_not_depend_on_the_number_of_threads() {
        let values: Vec<f32> =
            (0..SHARED_FROM + 12_345).map(|i| (i as f32 * 0.37).sin() / (1 + i % 97) as f32).collect();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| f32::moments(&values)), moments(&values), "{threads}");
        }
    }
}
