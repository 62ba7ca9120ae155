//! AVX2 with FMA: 16 values for each turn of the loop.

use std::arch::x86_64::*;
use std::hint::black_box;

use half::{bf16, f16};

use super::super::moments::Moments;
use super::histogram::WINDOW;
use super::{PREFETCH_AHEAD, scalar};

/// Turns after which a counter of one byte could overflow.
const MAX_BYTE_TURNS: usize = 255;

/// Moments of a block of finite values, a multiple of 64 and not 0. Its sum of squares is not finite if a value is not.
#[target_feature(enable = "avx2,fma")]
pub(super) fn moments_of_finite(block: &[f32]) -> Moments {
    let mut sums = [_mm256_setzero_pd(); 4];
    let mut squares = [_mm256_setzero_pd(); 4];
    let mut min = _mm256_set1_ps(f32::INFINITY);
    let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
    let mut zeros = _mm256_setzero_si256();

    // The same address, hidden from the compiler: otherwise it takes the two halves that are widened out of the
    // register that holds the whole, which halves the speed; a conversion that reads memory needs no such step.
    let again = black_box(block.as_ptr());
    for (group, values) in block.as_chunks::<16>().0.iter().enumerate() {
        for k in 0..2 {
            let at = 16 * group + 8 * k;
            // SAFETY: both pointers are to the start of the block, and the values at .. at + 8 lie in this group of
            // 16; the loads need no alignment.
            let (all, low, high) = unsafe {
                let whole = _mm256_loadu_ps(values.as_ptr().add(8 * k));
                (whole, _mm_loadu_ps(again.add(at)), _mm_loadu_ps(again.add(at + 4)))
            };
            // Asks for what comes later, at an address that may lie behind the buffer: it is never read through.
            _mm_prefetch::<_MM_HINT_T0>(again.wrapping_add(at + PREFETCH_AHEAD).cast());
            let (low, high) = (_mm256_cvtps_pd(low), _mm256_cvtps_pd(high));
            sums[2 * k] = _mm256_add_pd(sums[2 * k], low);
            sums[2 * k + 1] = _mm256_add_pd(sums[2 * k + 1], high);
            squares[2 * k] = _mm256_fmadd_pd(low, low, squares[2 * k]);
            squares[2 * k + 1] = _mm256_fmadd_pd(high, high, squares[2 * k + 1]);
            min = _mm256_min_ps(min, all);
            max = _mm256_max_ps(max, all);
            // A lane that compares equal is all ones, which is -1.
            let is_zero = _mm256_cmp_ps::<_CMP_EQ_OQ>(all, _mm256_setzero_ps());
            zeros = _mm256_sub_epi32(zeros, _mm256_castps_si256(is_zero));
        }
    }

    let sum = _mm256_add_pd(_mm256_add_pd(sums[0], sums[1]), _mm256_add_pd(sums[2], sums[3]));
    let square = _mm256_add_pd(_mm256_add_pd(squares[0], squares[1]), _mm256_add_pd(squares[2], squares[3]));
    let (mut min_lanes, mut max_lanes, mut zero_lanes) = ([0f32; 8], [0f32; 8], [0u32; 8]);
    // SAFETY: each array has the 32 bytes that are written; the stores need no alignment.
    unsafe {
        _mm256_storeu_ps(min_lanes.as_mut_ptr(), min);
        _mm256_storeu_ps(max_lanes.as_mut_ptr(), max);
        _mm256_storeu_si256(zero_lanes.as_mut_ptr().cast(), zeros);
    }
    scalar::of_finite(
        block.len() as u64,
        sum_of_lanes(sum),
        sum_of_lanes(square),
        f64::from(min_lanes.into_iter().fold(f32::INFINITY, f32::min)),
        f64::from(max_lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)),
        zero_lanes.into_iter().map(u64::from).sum(),
    )
}

#[target_feature(enable = "avx2,fma")]
fn sum_of_lanes(lanes: __m256d) -> f64 {
    let pair = _mm_add_pd(_mm256_castpd256_pd128(lanes), _mm256_extractf128_pd::<1>(lanes));
    _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)))
}

/// Widens `values` into `wide`, which has the same length.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen_f16(values: &[f16], wide: &mut [f32]) {
    let (groups, rest) = values.as_chunks::<8>();
    let (wide_groups, wide_rest) = wide.as_chunks_mut::<8>();
    for (values, wide) in groups.iter().zip(wide_groups) {
        // SAFETY: reads the 16 bytes and writes the 32 of a group; neither needs alignment.
        unsafe { _mm256_storeu_ps(wide.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(values.as_ptr().cast()))) };
    }
    wide_rest.iter_mut().zip(rest).for_each(|(wide, value)| *wide = value.to_f32());
}

/// Widens `values` into `wide`, which has the same length.
#[target_feature(enable = "avx2,fma")]
pub(super) fn widen_bf16(values: &[bf16], wide: &mut [f32]) {
    // Left to the compiler, which turns it into widening moves and shifts.
    for (wide, value) in wide.iter_mut().zip(values) {
        *wide = f32::from_bits(u32::from(value.to_bits()) << 16);
    }
}

/// Writes the biased exponent of each value into `exponents`, which has the same length.
#[target_feature(enable = "avx2,fma")]
pub(super) fn pack_exponents(values: &[f32], exponents: &mut [u8]) {
    // Left to the compiler, which turns it into shifts and packs of 8 values.
    for (exponent, value) in exponents.iter_mut().zip(values) {
        *exponent = (value.to_bits() >> 23) as u8;
    }
}

/// Number of `exponents`, a multiple of 32 of them, equal to `first_bin`, `first_bin + 1` and so on.
#[target_feature(enable = "avx2,fma")]
pub(super) fn count_window(exponents: &[u8], first_bin: u8) -> [u64; WINDOW] {
    let bins: [__m256i; WINDOW] = std::array::from_fn(|k| _mm256_set1_epi8(first_bin.wrapping_add(k as u8) as i8));
    let mut totals = [0; WINDOW];
    for part in exponents.as_chunks::<32>().0.chunks(MAX_BYTE_TURNS) {
        let mut counts = [_mm256_setzero_si256(); WINDOW];
        for group in part {
            // SAFETY: reads the 32 bytes of the group; the load needs no alignment.
            let exponents = unsafe { _mm256_loadu_si256(group.as_ptr().cast()) };
            for (count, bin) in counts.iter_mut().zip(bins) {
                *count = _mm256_sub_epi8(*count, _mm256_cmpeq_epi8(exponents, bin));
            }
        }
        for (total, count) in totals.iter_mut().zip(counts) {
            let mut lanes = [0u64; 4];
            // SAFETY: the array has the 32 bytes that are written; the store needs no alignment.
            unsafe {
                let sums = _mm256_sad_epu8(count, _mm256_setzero_si256());
                _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums);
            }
            *total += lanes.iter().sum::<u64>();
        }
    }
    totals
}
