//! A tensor of any framework as numbers: its moments without a copy, or its values in order.

use std::borrow::Cow;

use half::{bf16, f16};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use isogain_core::flow::Values;
use isogain_core::statistics::{ExponentHistogram, Moments, kernel};

use crate::dlpack::{CPU, DataType, Lent};

/// A tensor in this process's memory, borrowed from the object that owns it.
pub(crate) struct Tensor<'py> {
    lent: Lent<'py>,
    element: Element,
    count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F16,
    BF16,
    F32,
    F64,
}

impl Element {
    fn of(kind: DataType) -> Option<Self> {
        match (kind.code, kind.bits, kind.lanes) {
            (2, 16, 1) => Some(Self::F16),
            (2, 32, 1) => Some(Self::F32),
            (2, 64, 1) => Some(Self::F64),
            (4, 16, 1) => Some(Self::BF16),
            _ => None,
        }
    }
}

/// A number type that the statistics kernel reads.
trait Number: Copy {
    fn moments(elements: &[Self]) -> Moments;

    /// Moments and the histogram of binary exponents, where the type has one.
    fn moments_with_histogram(elements: &[Self]) -> (Moments, Option<ExponentHistogram>) {
        (Self::moments(elements), None)
    }
}

macro_rules! number {
    ($number:ty, $moments:path $(, $with_histogram:path)?) => {
        impl Number for $number {
            fn moments(elements: &[Self]) -> Moments {
                $moments(elements)
            }
            $(fn moments_with_histogram(elements: &[Self]) -> (Moments, Option<ExponentHistogram>) {
                let (moments, histogram) = $with_histogram(elements);
                (moments, Some(histogram))
            })?
        }
    };
}

number!(f16, kernel::moments_f16, kernel::moments_with_histogram_f16);
number!(bf16, kernel::moments_bf16, kernel::moments_with_histogram_bf16);
number!(f32, kernel::moments, kernel::moments_with_histogram);
number!(f64, kernel::moments_f64);

impl<'py> Tensor<'py> {
    /// Borrows a tensor of floating-point numbers on the CPU.
    ///
    /// # Errors
    /// `TypeError` for what is no such tensor; `ValueError` for one without memory of its own (a DTensor, a fake tensor).
    pub(crate) fn from(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let lent = Lent::from(object)?;
        let raw = &lent.raw;
        if raw.device.kind != CPU {
            return Err(PyTypeError::new_err("this tensor is on a device; only tensors on the CPU are read in place"));
        }
        let element = Element::of(raw.element).ok_or_else(|| {
            PyTypeError::new_err("needs floating-point numbers: float16, bfloat16, float32 or float64")
        })?;
        let mut tensor = Self { lent, element, count: 0 };
        tensor.count = tensor.shape().iter().map(|&size| size.max(0) as usize).product();
        if tensor.count > 0 && tensor.lent.raw.data.is_null() {
            let message = "this tensor has a shape but no memory; of a DTensor, take the local part (`.to_local()`)";
            return Err(PyValueError::new_err(message));
        }
        Ok(tensor)
    }

    /// Sizes of the axes.
    pub(crate) fn shape(&self) -> &[i64] {
        let raw = &self.lent.raw;
        if raw.dimensions <= 0 || raw.shape.is_null() {
            return &[];
        }
        // SAFETY: DLPack: `shape` points to `ndim` values, which live as long as the tensor is lent.
        unsafe { std::slice::from_raw_parts(raw.shape, raw.dimensions as usize) }
    }

    /// Distances between neighbours along each axis, in elements; `None` says that the tensor is dense and row-major.
    fn strides(&self) -> Option<&[i64]> {
        let raw = &self.lent.raw;
        if raw.dimensions <= 0 || raw.strides.is_null() {
            return None;
        }
        // SAFETY: as for `shape`.
        Some(unsafe { std::slice::from_raw_parts(raw.strides, raw.dimensions as usize) })
    }

    /// Whether the elements fill one piece of memory without gaps or overlaps, in the order of the axes given.
    fn is_dense_in(&self, axes: impl Iterator<Item = usize>) -> bool {
        let Some(strides) = self.strides() else { return true };
        let shape = self.shape();
        let mut expected = 1;
        for axis in axes {
            if shape[axis] != 1 {
                if strides[axis] != expected {
                    return false;
                }
                expected *= shape[axis];
            }
        }
        true
    }

    fn is_row_major(&self) -> bool {
        self.is_dense_in((0..self.shape().len()).rev())
    }

    /// Whether it is dense in any order of its axes (a transposed matrix, channels last): enough for statistics.
    fn is_dense(&self) -> bool {
        if self.is_row_major() {
            return true;
        }
        let Some(strides) = self.strides() else { return true };
        let mut axes: Vec<usize> = (0..strides.len()).collect();
        axes.sort_by_key(|&axis| strides[axis]);
        self.is_dense_in(axes.into_iter())
    }

    /// The elements in memory order; only for a dense tensor.
    fn memory<T>(&self) -> &[T] {
        if self.count == 0 {
            return &[];
        }
        let raw = &self.lent.raw;
        // SAFETY: dense, so its `count` elements of this type start here; the data is not null, and nothing writes to it
        // while Python waits for this call.
        unsafe {
            let start = raw.data.cast::<u8>().add(raw.byte_offset as usize);
            std::slice::from_raw_parts(start.cast::<T>(), self.count)
        }
    }

    /// The elements in row-major order.
    fn elements<T: Copy>(&self) -> Cow<'_, [T]> {
        if self.is_row_major() { self.memory().into() } else { self.gathered().into() }
    }

    /// A row-major copy of a tensor with any strides.
    fn gathered<T: Copy>(&self) -> Vec<T> {
        let (Some(strides), shape) = (self.strides(), self.shape()) else { return self.memory().to_vec() };
        let mut found = Vec::with_capacity(self.count);
        if self.count == 0 {
            return found;
        }
        let raw = &self.lent.raw;
        // SAFETY: as for `memory`; strides lead to elements of the same tensor.
        let start = unsafe { raw.data.cast::<u8>().add(raw.byte_offset as usize) }.cast::<T>();
        let mut position = vec![0_i64; shape.len()];
        loop {
            let offset: i64 = position.iter().zip(strides).map(|(at, stride)| at * stride).sum();
            // SAFETY: every position is within the shape.
            found.push(unsafe { start.offset(offset as isize).read_unaligned() });
            let Some(axis) = (0..shape.len()).rev().find(|&axis| position[axis] + 1 < shape[axis]) else {
                return found;
            };
            position[axis] += 1;
            position[axis + 1..].fill(0);
        }
    }

    /// The elements in any order.
    fn in_memory_order<T: Copy>(&self) -> Cow<'_, [T]> {
        if self.is_dense() { self.memory().into() } else { self.gathered().into() }
    }

    /// Moments of all elements; dense tensors of any axis order are read in place.
    pub(crate) fn moments(&self) -> Moments {
        match self.element {
            Element::F16 => f16::moments(&self.in_memory_order()),
            Element::BF16 => bf16::moments(&self.in_memory_order()),
            Element::F32 => f32::moments(&self.in_memory_order()),
            Element::F64 => f64::moments(&self.in_memory_order()),
        }
    }

    /// Moments and, except of float64, the histogram of binary exponents.
    pub(crate) fn moments_with_histogram(&self) -> (Moments, Option<ExponentHistogram>) {
        match self.element {
            Element::F16 => f16::moments_with_histogram(&self.in_memory_order()),
            Element::BF16 => bf16::moments_with_histogram(&self.in_memory_order()),
            Element::F32 => f32::moments_with_histogram(&self.in_memory_order()),
            Element::F64 => f64::moments_with_histogram(&self.in_memory_order()),
        }
    }

    /// Moments and the histogram of binary exponents; those of float64 are counted as float32 holds its values.
    pub(crate) fn moments_and_histogram(&self) -> (Moments, ExponentHistogram) {
        let (moments, histogram) = self.moments_with_histogram();
        let narrowed = || {
            let values: Vec<f32> = self.in_memory_order::<f64>().iter().map(|&value| value as f32).collect();
            kernel::moments_with_histogram(&values).1
        };
        (moments, histogram.unwrap_or_else(narrowed))
    }

    /// Slots along `axis` that are exactly zero everywhere else: units that no sample turned on.
    pub(crate) fn zero_slots(&self, axis: usize) -> usize {
        match self.element {
            Element::F16 => zero_slots(&self.elements::<f16>(), self.shape(), axis),
            Element::BF16 => zero_slots(&self.elements::<bf16>(), self.shape(), axis),
            Element::F32 => zero_slots(&self.elements::<f32>(), self.shape(), axis),
            Element::F64 => zero_slots(&self.elements::<f64>(), self.shape(), axis),
        }
    }

    /// Number of elements.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The only element; `None` of a tensor with more or without any.
    pub(crate) fn single(&self) -> Option<f64> {
        if self.count == 1 { self.values().to_f64().first().copied() } else { None }
    }

    /// Where the elements start; equal for a tensor and a view of it from its start on.
    pub(crate) fn address(&self) -> usize {
        self.lent.raw.data as usize + self.lent.raw.byte_offset as usize
    }

    /// Whether the elements are IEEE half-precision numbers.
    pub(crate) fn is_half(&self) -> bool {
        self.element == Element::F16
    }

    /// Copies the elements in memory order into `kept`, whose earlier contents go.
    pub(crate) fn keep(&self, kept: &mut Vec<u8>) {
        match self.element {
            Element::F16 => keep(&self.in_memory_order::<f16>(), kept),
            Element::BF16 => keep(&self.in_memory_order::<bf16>(), kept),
            Element::F32 => keep(&self.in_memory_order::<f32>(), kept),
            Element::F64 => keep(&self.in_memory_order::<f64>(), kept),
        }
    }

    /// Moments of what changed since [`Self::keep`]; `None` where the tensor is another one now.
    pub(crate) fn change(&self, kept: &[u8]) -> Option<Moments> {
        match self.element {
            Element::F16 => change(&self.in_memory_order::<f16>(), kept, |value| f64::from(value.to_f32())),
            Element::BF16 => change(&self.in_memory_order::<bf16>(), kept, |value| f64::from(value.to_f32())),
            Element::F32 => change_f32(&self.in_memory_order::<f32>(), kept),
            Element::F64 => change(&self.in_memory_order::<f64>(), kept, |value| value),
        }
    }

    /// The values in row-major order; half precisions are widened.
    pub(crate) fn values(&self) -> Values {
        match self.element {
            Element::F16 => widened(&self.elements::<f16>()),
            Element::BF16 => widened(&self.elements::<bf16>()),
            Element::F32 => Values::from(self.elements::<f32>().into_owned()),
            Element::F64 => Values::from(self.elements::<f64>().into_owned()),
        }
    }
}

/// Elements of a block in which a change is worked out: it stays in the first cache.
const BLOCK: usize = 4096;

fn keep<T: Copy>(elements: &[T], kept: &mut Vec<u8>) {
    // SAFETY: numbers without padding; every byte of them is initialised.
    let bytes = unsafe { std::slice::from_raw_parts(elements.as_ptr().cast::<u8>(), size_of_val(elements)) };
    kept.clear();
    kept.extend_from_slice(bytes);
}

fn change_f32(elements: &[f32], kept: &[u8]) -> Option<Moments> {
    let (before, rest) = kept.as_chunks::<4>();
    if before.len() != elements.len() || !rest.is_empty() {
        return None;
    }
    let (mut moments, mut block) = (Moments::default(), [0.0_f32; BLOCK]);
    for (now, before) in elements.chunks(BLOCK).zip(before.chunks(BLOCK)) {
        for ((change, now), before) in block.iter_mut().zip(now).zip(before) {
            *change = now - f32::from_ne_bytes(*before);
        }
        moments.merge(&kernel::moments(&block[..now.len()]));
    }
    Some(moments)
}

fn change<T: Copy>(elements: &[T], kept: &[u8], widen: impl Fn(T) -> f64) -> Option<Moments> {
    if kept.len() != size_of_val(elements) {
        return None;
    }
    let size = size_of::<T>();
    let (mut moments, mut block) = (Moments::default(), Vec::with_capacity(BLOCK));
    for (now, before) in elements.chunks(BLOCK).zip(kept.chunks(BLOCK * size)) {
        block.clear();
        block.extend(now.iter().zip(before.chunks(size)).map(|(now, before)| {
            // SAFETY: `keep` wrote a whole number of this type there.
            widen(*now) - widen(unsafe { before.as_ptr().cast::<T>().read_unaligned() })
        }));
        moments.merge(&kernel::moments_f64(&block));
    }
    Some(moments)
}

fn zero_slots<T: Copy + PartialEq + Default>(elements: &[T], shape: &[i64], axis: usize) -> usize {
    let size = |sizes: &[i64]| sizes.iter().map(|&size| size.max(0) as usize).product::<usize>();
    let (outer, slots, inner) = (size(&shape[..axis]), shape[axis].max(0) as usize, size(&shape[axis + 1..]));
    let zero = T::default();
    let is_off = |slot: &usize| {
        (0..outer).all(|at| {
            let start = (at * slots + slot) * inner;
            elements[start..start + inner].iter().all(|value| *value == zero)
        })
    };
    if elements.is_empty() { 0 } else { (0..slots).filter(is_off).count() }
}

fn widened<T: Copy + Into<f32>>(elements: &[T]) -> Values {
    Values::from(elements.iter().map(|&element| element.into()).collect::<Vec<f32>>())
}

/// Statistics of one tensor: `count`, `sum`, `sum_of_squares`, `min`, `max`, `abs_max`, `zeros`, `non_finite`, and with
/// `histogram` the counts of the 256 binary exponents (`None` for float64).
#[pyfunction]
#[pyo3(signature = (tensor, *, histogram = false))]
pub(crate) fn statistics<'py>(tensor: &Bound<'py, PyAny>, histogram: bool) -> PyResult<Bound<'py, PyDict>> {
    let read = Tensor::from(tensor)?;
    let (moments, counts) = if histogram { read.moments_with_histogram() } else { (read.moments(), None) };
    let found = PyDict::new(tensor.py());
    found.set_item("count", moments.count)?;
    found.set_item("sum", moments.sum)?;
    found.set_item("sum_of_squares", moments.sum_of_squares)?;
    found.set_item("min", moments.min)?;
    found.set_item("max", moments.max)?;
    found.set_item("abs_max", moments.abs_max)?;
    found.set_item("zeros", moments.zeros)?;
    found.set_item("non_finite", moments.non_finite)?;
    if histogram {
        found.set_item("histogram", counts.map(|counts| counts.counts().to_vec()))?;
    }
    Ok(found)
}
