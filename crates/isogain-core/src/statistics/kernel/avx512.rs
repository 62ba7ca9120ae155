//! AVX-512 (F and BW): 64 values for each turn of the loop.

use std::arch::x86_64::*;
use std::hint::black_box;

use half::{bf16, f16};

use super::super::moments::Moments;
use super::histogram::WINDOW;
use super::{PREFETCH_AHEAD, scalar};

/// Turns after which a counter of one byte could overflow.
const MAX_BYTE_TURNS: usize = 255;

/// A function that computes the moments of a block of finite values, a multiple of 64 and not 0; its sum of squares is not
/// finite if a value is not. `$load` reads 16 values: all of them, and the two halves of them.
macro_rules! moments_of_finite {
    ($(#[$doc:meta])* $name:ident($value:ty), $load:ident) => {
        $(#[$doc])*
        #[target_feature(enable = "avx512f,avx512bw")]
        pub(super) fn $name(block: &[$value]) -> Moments {
            let mut sums = [_mm512_setzero_pd(); 4];
            let mut squares = [_mm512_setzero_pd(); 4];
            let mut min = [_mm512_set1_ps(f32::INFINITY); 2];
            let mut max = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
            let mut zeros = _mm512_setzero_si512();
            let one = _mm512_set1_epi32(1);

            // The same address, hidden from the compiler: see `load_f32`.
            let again = black_box(block.as_ptr());
            for (group, values) in block.as_chunks::<32>().0.iter().enumerate() {
                for k in 0..2 {
                    let at = 32 * group + 16 * k;
                    // SAFETY: both pointers are to the start of the block, and the values at .. at + 16 lie in this group
                    // of 32.
                    let (all, low, high) = unsafe { $load(values.as_ptr().add(16 * k), again.add(at)) };
                    // Asks for what comes later, at an address that may lie behind the buffer: it is never read through.
                    _mm_prefetch::<_MM_HINT_T0>(again.wrapping_add(at + PREFETCH_AHEAD).cast());
                    let (low, high) = (_mm512_cvtps_pd(low), _mm512_cvtps_pd(high));
                    sums[2 * k] = _mm512_add_pd(sums[2 * k], low);
                    sums[2 * k + 1] = _mm512_add_pd(sums[2 * k + 1], high);
                    squares[2 * k] = _mm512_fmadd_pd(low, low, squares[2 * k]);
                    squares[2 * k + 1] = _mm512_fmadd_pd(high, high, squares[2 * k + 1]);
                    min[k] = _mm512_min_ps(min[k], all);
                    max[k] = _mm512_max_ps(max[k], all);
                    let is_zero = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(all, _mm512_setzero_ps());
                    zeros = _mm512_mask_add_epi32(zeros, is_zero, zeros, one);
                }
            }

            let sum = _mm512_add_pd(_mm512_add_pd(sums[0], sums[1]), _mm512_add_pd(sums[2], sums[3]));
            let square = _mm512_add_pd(_mm512_add_pd(squares[0], squares[1]), _mm512_add_pd(squares[2], squares[3]));
            scalar::of_finite(
                block.len() as u64,
                _mm512_reduce_add_pd(sum),
                _mm512_reduce_add_pd(square),
                f64::from(_mm512_reduce_min_ps(_mm512_min_ps(min[0], min[1]))),
                f64::from(_mm512_reduce_max_ps(_mm512_max_ps(max[0], max[1]))),
                _mm512_reduce_add_epi32(zeros) as u64,
            )
        }
    };
}

moments_of_finite! {
    /// Of f32 values.
    moments_of_finite(f32), load_f32
}

moments_of_finite! {
    /// Of f16 values.
    moments_of_finite_f16(f16), load_f16
}

moments_of_finite! {
    /// Of bf16 values.
    moments_of_finite_bf16(bf16), load_bf16
}

/// 16 values and their halves, read again at an address that the compiler does not know to be the same: it would take the
/// halves out of the register that holds the whole, which halves the speed; a conversion that reads memory needs no such
/// step. The loads need no alignment.
///
/// # Safety
/// 16 values can be read at both addresses.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load_f32(values: *const f32, again: *const f32) -> (__m512, __m256, __m256) {
    // SAFETY: the caller's.
    unsafe { (_mm512_loadu_ps(values), _mm256_loadu_ps(again), _mm256_loadu_ps(again.add(8))) }
}

/// 16 values, widened, and their halves.
///
/// # Safety
/// 16 values can be read at the first address.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load_f16(values: *const f16, _: *const f16) -> (__m512, __m256, __m256) {
    // SAFETY: the caller's.
    halves(_mm512_cvtph_ps(unsafe { _mm256_loadu_si256(values.cast()) }))
}

/// 16 values, widened, and their halves.
///
/// # Safety
/// 16 values can be read at the first address.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load_bf16(values: *const bf16, _: *const bf16) -> (__m512, __m256, __m256) {
    // SAFETY: the caller's.
    let bits = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(values.cast()) });
    halves(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)))
}

/// All, the first and the second half.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn halves(all: __m512) -> (__m512, __m256, __m256) {
    let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(all));
    (all, _mm512_castps512_ps256(all), _mm256_castpd_ps(high))
}

/// Widens `values` into `wide`, which has the same length.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn widen_f16(values: &[f16], wide: &mut [f32]) {
    let (groups, rest) = values.as_chunks::<16>();
    let (wide_groups, wide_rest) = wide.as_chunks_mut::<16>();
    for (values, wide) in groups.iter().zip(wide_groups) {
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(PREFETCH_AHEAD).cast());
        // SAFETY: reads the 32 bytes and writes the 64 of a group; neither needs alignment.
        unsafe { _mm512_storeu_ps(wide.as_mut_ptr(), _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast()))) };
    }
    wide_rest.iter_mut().zip(rest).for_each(|(wide, value)| *wide = value.to_f32());
}

/// Widens `values` into `wide`, which has the same length.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn widen_bf16(values: &[bf16], wide: &mut [f32]) {
    let (groups, rest) = values.as_chunks::<16>();
    let (wide_groups, wide_rest) = wide.as_chunks_mut::<16>();
    for (values, wide) in groups.iter().zip(wide_groups) {
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(PREFETCH_AHEAD).cast());
        // SAFETY: reads the 32 bytes and writes the 64 of a group; neither needs alignment.
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(values.as_ptr().cast()));
            _mm512_storeu_si512(wide.as_mut_ptr().cast(), _mm512_slli_epi32::<16>(bits));
        }
    }
    wide_rest.iter_mut().zip(rest).for_each(|(wide, value)| *wide = value.to_f32());
}

/// Writes the biased exponent of each value into `exponents`, which has the same length.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack_exponents(values: &[f32], exponents: &mut [u8]) {
    // Left to the compiler, which turns it into shifts and narrowing moves of 16 values.
    for (exponent, value) in exponents.iter_mut().zip(values) {
        *exponent = (value.to_bits() >> 23) as u8;
    }
}

/// Number of `exponents`, a multiple of 64 of them, equal to `first_bin`, `first_bin + 1` and so on.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn count_window(exponents: &[u8], first_bin: u8) -> [u64; WINDOW] {
    let bins: [__m512i; WINDOW] = std::array::from_fn(|k| _mm512_set1_epi8(first_bin.wrapping_add(k as u8) as i8));
    let one = _mm512_set1_epi8(1);
    let mut totals = [0; WINDOW];
    for part in exponents.as_chunks::<64>().0.chunks(MAX_BYTE_TURNS) {
        let mut counts = [_mm512_setzero_si512(); WINDOW];
        for group in part {
            // SAFETY: reads the 64 bytes of the group; the load needs no alignment.
            let exponents = unsafe { _mm512_loadu_si512(group.as_ptr().cast()) };
            for (count, bin) in counts.iter_mut().zip(bins) {
                *count = _mm512_mask_add_epi8(*count, _mm512_cmpeq_epi8_mask(exponents, bin), *count, one);
            }
        }
        for (total, count) in totals.iter_mut().zip(counts) {
            *total += _mm512_reduce_add_epi64(_mm512_sad_epu8(count, _mm512_setzero_si512())) as u64;
        }
    }
    totals
}
