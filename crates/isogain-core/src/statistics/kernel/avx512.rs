//! AVX-512 (F and BW): 64 values for each turn of the loop.

use std::arch::x86_64::*;
use std::hint::black_box;

use super::super::moments::Moments;
use super::histogram::WINDOW;
use super::{PREFETCH_AHEAD, scalar};

/// Turns after which a counter of one byte could overflow.
const MAX_BYTE_TURNS: usize = 255;

/// Moments of a block of finite values, a multiple of 64 and not 0. Its sum of squares is not finite if a value is not.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn moments_of_finite(block: &[f32]) -> Moments {
    let mut sums = [_mm512_setzero_pd(); 4];
    let mut squares = [_mm512_setzero_pd(); 4];
    let mut min = [_mm512_set1_ps(f32::INFINITY); 2];
    let mut max = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
    let mut zeros = _mm512_setzero_si512();
    let one = _mm512_set1_epi32(1);

    // The same address, hidden from the compiler: otherwise it takes the two halves that are widened out of the
    // register that holds the whole, which halves the speed; a conversion that reads memory needs no such step.
    let again = black_box(block.as_ptr());
    for (group, values) in block.as_chunks::<32>().0.iter().enumerate() {
        for k in 0..2 {
            let at = 32 * group + 16 * k;
            // SAFETY: both pointers are to the start of the block, and the values at .. at + 16 lie in this group of
            // 32; the loads need no alignment.
            let (all, low, high) = unsafe {
                let whole = _mm512_loadu_ps(values.as_ptr().add(16 * k));
                (whole, _mm256_loadu_ps(again.add(at)), _mm256_loadu_ps(again.add(at + 8)))
            };
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
