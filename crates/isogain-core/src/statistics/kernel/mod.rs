//! The kernel that reads a tensor once and leaves its [`Moments`], and its [`ExponentHistogram`] when asked for.
//!
//! The fastest instruction set of the machine is chosen at run time: AVX-512, AVX2 with FMA, NEON, or plain scalar
//! code. All sums are kept in f64, because squares of gradients below 1e-19 leave the range of f32; of 16-bit values with
//! AVX-512 a few at a time are added up in f32 before, where that range allows it. On one machine the same values in the same
//! order always give the same bits, with or without the histogram and wherever the buffer is aligned.
//!
//! The vector code takes values as finite and works in blocks. A block with a NaN or an infinity shows itself by a sum
//! of squares that is not finite (squares of finite f32 values cannot overflow f64), and is read again by the scalar
//! code, which leaves such values out.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod half_precision;
mod histogram;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

use std::sync::OnceLock;

use half::{bf16, f16};

use super::exponent_histogram::ExponentHistogram;
use super::moments::Moments;

/// Values in a block: 64 kB of f32. Large enough that the end of a block costs nothing, small enough to be still in the
/// cache when it is read again for the histogram.
const BLOCK: usize = 16 * 1024;

/// Vector code is given multiples of this many values; the rest of a tensor goes to the scalar code.
const VECTOR_GROUP: usize = 64;

/// Values that x86 code asks the memory for ahead of time: 16 kB, the best of 4 to 32 kB on
/// a Zen 5. The processor's own prefetching stops at the end of a
/// page of 4 kB, and the loads of the kernel wait for it at every one.
#[cfg(target_arch = "x86_64")]
const PREFETCH_AHEAD: usize = 4096;

/// Moments of f32 values of any shape.
pub fn moments(values: &[f32]) -> Moments {
    moments_on(InstructionSet::best(), values)
}

/// Moments and exponent histogram of f32 values of any shape. The moments are the same bits as those of [`moments`].
pub fn moments_with_histogram(values: &[f32]) -> (Moments, ExponentHistogram) {
    moments_with_histogram_on(InstructionSet::best(), values)
}

/// Moments of f64 values of any shape.
pub fn moments_f64(values: &[f64]) -> Moments {
    let mut total = Moments::default();
    for block in values.chunks(BLOCK) {
        total.merge(&scalar::moments(block));
    }
    total
}

/// Moments of f16 values of any shape.
pub fn moments_f16(values: &[f16]) -> Moments {
    half_precision::moments(values)
}

/// Moments of bf16 values of any shape.
pub fn moments_bf16(values: &[bf16]) -> Moments {
    half_precision::moments(values)
}

/// Moments and exponent histogram of f16 values of any shape; the bins are those of the values widened to f32.
pub fn moments_with_histogram_f16(values: &[f16]) -> (Moments, ExponentHistogram) {
    half_precision::moments_with_histogram(values)
}

/// Moments and exponent histogram of bf16 values of any shape; the bins are those of the values widened to f32.
pub fn moments_with_histogram_bf16(values: &[bf16]) -> (Moments, ExponentHistogram) {
    half_precision::moments_with_histogram(values)
}

/// The instruction set in use on this machine: `avx512`, `avx2`, `neon` or `scalar`.
pub fn instruction_set() -> &'static str {
    match InstructionSet::best() {
        InstructionSet::Scalar => "scalar",
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => "avx2",
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => "avx512",
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => "neon",
    }
}

/// An instruction set that this machine was found to have. Values other than `Scalar` come only from
/// [`InstructionSet::available`]: the vector code is sound because of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InstructionSet {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl InstructionSet {
    /// All that this machine has, slowest first.
    fn available() -> Vec<InstructionSet> {
        let mut found = vec![InstructionSet::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                found.push(InstructionSet::Avx2);
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                found.push(InstructionSet::Avx512);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(InstructionSet::Neon);
        }
        found
    }

    fn best() -> InstructionSet {
        static BEST: OnceLock<InstructionSet> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().last().copied().unwrap_or(InstructionSet::Scalar))
    }

    /// Moments of one block. For vector code the length is a multiple of [`VECTOR_GROUP`] and not 0, and the result
    /// holds only if its sum of squares is finite.
    fn block_moments(self, block: &[f32]) -> Moments {
        match self {
            InstructionSet::Scalar => scalar::moments(block),
            // SAFETY: `Avx2` exists only where AVX2, FMA and F16C were detected.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { avx2::moments_of_finite(block) },
            // SAFETY: `Avx512` exists only where AVX-512 F and BW were detected.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512::moments_of_finite(block) },
            // SAFETY: `Neon` exists only where NEON was detected.
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon => unsafe { neon::moments_of_finite(block) },
        }
    }
}

fn moments_on(set: InstructionSet, values: &[f32]) -> Moments {
    let mut total = Moments::default();
    for_each_block(set, values, |_, block| total.merge(block));
    total
}

fn moments_with_histogram_on(set: InstructionSet, values: &[f32]) -> (Moments, ExponentHistogram) {
    let mut total = Moments::default();
    let mut counts = [0; 256];
    for_each_block(set, values, |block, moments| {
        histogram::count(set, block, moments, &mut counts);
        total.merge(moments);
    });
    (total, ExponentHistogram::from_counts(counts))
}

/// The parts that the kernel takes values in, in order. Their [`moments`], merged in this order, are those of the whole to the
/// last bit: so several threads may share the work.
pub fn blocks(values: &[f32]) -> impl Iterator<Item = &[f32]> {
    let (grouped, rest) = values.split_at(values.len() - values.len() % VECTOR_GROUP);
    grouped.chunks(BLOCK).chain((!rest.is_empty()).then_some(rest))
}

/// Calls `visit` with each block and its moments, in order.
fn for_each_block(set: InstructionSet, values: &[f32], mut visit: impl FnMut(&[f32], &Moments)) {
    for block in blocks(values) {
        if !block.len().is_multiple_of(VECTOR_GROUP) {
            visit(block, &scalar::moments(block));
            continue;
        }
        let mut moments = set.block_moments(block);
        if !moments.sum_of_squares.is_finite() {
            moments = scalar::moments(block);
        }
        visit(block, &moments);
    }
}

#[cfg(test)]
mod tests;
