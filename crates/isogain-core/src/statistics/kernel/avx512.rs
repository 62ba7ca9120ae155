//! AVX-512 (F and BW): 64 values for each turn of the loop.

use std::arch::x86_64::*;
use std::hint::black_box;
use std::ops::RangeInclusive;

use half::{bf16, f16};

use super::super::moments::Moments;
use super::histogram::WINDOW;
use super::{PREFETCH_AHEAD, scalar};

/// Turns after which a counter of one byte could overflow.
const MAX_BYTE_TURNS: usize = 255;

/// Moments of a block of finite values, a multiple of 64 and not 0; its sum of squares is not finite if a value is not.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn moments_of_finite(block: &[f32]) -> Moments {
    let mut sums = [_mm512_setzero_pd(); 4];
    let mut squares = [_mm512_setzero_pd(); 4];
    let mut min = [_mm512_set1_ps(f32::INFINITY); 2];
    let mut max = [_mm512_set1_ps(f32::NEG_INFINITY); 2];
    let mut zeros = _mm512_setzero_si512();
    let one = _mm512_set1_epi32(1);

    // The halves of a group are read again at the same address, hidden from the compiler: it would take them out of the
    // register that holds the whole, which halves the speed; a conversion that reads memory needs no such step.
    let again = black_box(block.as_ptr());
    for (group, values) in block.as_chunks::<32>().0.iter().enumerate() {
        for k in 0..2 {
            let at = 32 * group + 16 * k;
            // SAFETY: both pointers are to the start of the block, and the values at .. at + 16 lie in this group of 32. The
            // loads need no alignment.
            let (all, low, high) = unsafe {
                let (values, again) = (values.as_ptr().add(16 * k), again.add(at));
                (_mm512_loadu_ps(values), _mm256_loadu_ps(again), _mm256_loadu_ps(again.add(8)))
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

    scalar::of_finite(
        block.len() as u64,
        total([_mm512_add_pd(sums[0], sums[1]), _mm512_add_pd(sums[2], sums[3])]),
        total([_mm512_add_pd(squares[0], squares[1]), _mm512_add_pd(squares[2], squares[3])]),
        f64::from(_mm512_reduce_min_ps(_mm512_min_ps(min[0], min[1]))),
        f64::from(_mm512_reduce_max_ps(_mm512_max_ps(max[0], max[1]))),
        _mm512_reduce_add_epi32(zeros) as u64,
    )
}

#[target_feature(enable = "avx512f,avx512bw")]
fn total(sums: [__m512d; 2]) -> f64 {
    _mm512_reduce_add_pd(_mm512_add_pd(sums[0], sums[1]))
}

/// Groups of 64 16-bit values whose sums are taken in f32.
const SHORT: usize = 6;

/// Largest magnitudes between which sums of squares in f32 neither overflow nor lose what matters: 2^-50 and 2^50. All of
/// f16 lies between them.
const SHORT_SUMS_HOLD: RangeInclusive<f64> = 8.881_784_197_001_252e-16..=1.125_899_906_842_624e15;

/// Moments of a block of f16 values, a multiple of 64 and not 0; see [`moments_of_halves`].
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn moments_of_f16(block: &[f16]) -> Option<Moments> {
    let widen = |values: __m512i| {
        let high = _mm512_extracti64x4_epi64::<1>(values);
        [_mm512_cvtph_ps(_mm512_castsi512_si256(values)), _mm512_cvtph_ps(high)]
    };
    moments_of_halves(block, f16::INFINITY.to_bits(), widen, |bits| f16::from_bits(bits).to_f64())
}

/// Moments of a block of bf16 values, a multiple of 64 and not 0; see [`moments_of_halves`].
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn moments_of_bf16(block: &[bf16]) -> Option<Moments> {
    // Which are the upper halves of f32 values: those at odd places already stand where they belong.
    let odd = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let widen = |values: __m512i| {
        let even = _mm512_slli_epi32::<16>(values);
        [_mm512_castsi512_ps(even), _mm512_castsi512_ps(_mm512_and_si512(values, odd))]
    };
    moments_of_halves(block, bf16::INFINITY.to_bits(), widen, |bits| bf16::from_bits(bits).to_f64())
}

/// Moments of a block of 16-bit floats whose positive infinity has the bits `infinity`; `None` where a value is not finite,
/// or where sums in f32 do not hold.
///
/// Sums are taken in f32 over 24 values, and then in f64: each is good to 8 x 2^-24 of the sum of magnitudes, where a value
/// itself is good to 2^-11 (f16) or 2^-8 (bf16). Everything else is exact, and found without widening: as integers,
/// floats of one sign stand in the order of their magnitudes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn moments_of_halves<T>(
    block: &[T],
    infinity: u16,
    widen: impl Fn(__m512i) -> [__m512; 2],
    value: impl Fn(u16) -> f64,
) -> Option<Moments> {
    const { assert!(size_of::<T>() == 2) };
    let mut sums = [_mm512_setzero_pd(); 2];
    let mut squares = [_mm512_setzero_pd(); 2];
    let (mut largest_signed, mut largest) = (_mm512_set1_epi16(i16::MIN), _mm512_setzero_si512());
    let mut smallest = _mm512_set1_epi16(-1);
    let mut zeros = _mm512_setzero_si512();
    let (one, magnitude) = (_mm512_set1_epi16(1), _mm512_set1_epi16(i16::MAX));

    for part in block.as_chunks::<64>().0.chunks(SHORT) {
        // Two chains of each more than there are halves: a sum waits for the one before it.
        let mut sum = [_mm512_setzero_ps(); 4];
        let mut square = [_mm512_setzero_ps(); 4];
        for group in part {
            for (k, values) in group.as_chunks::<32>().0.iter().enumerate() {
                // SAFETY: reads the 64 bytes of the values; the load needs no alignment.
                let bits = unsafe { _mm512_loadu_si512(values.as_ptr().cast()) };
                // Asks for what comes later, at an address that may lie behind the buffer: it is never read through.
                _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(2 * PREFETCH_AHEAD).cast());
                for (half, wide) in widen(bits).into_iter().enumerate() {
                    let at = 2 * k + half;
                    sum[at] = _mm512_add_ps(sum[at], wide);
                    square[at] = _mm512_fmadd_ps(wide, wide, square[at]);
                }
                largest_signed = _mm512_max_epi16(largest_signed, bits);
                largest = _mm512_max_epu16(largest, bits);
                smallest = _mm512_min_epu16(smallest, bits);
                zeros = _mm512_mask_add_epi16(zeros, _mm512_testn_epi16_mask(bits, magnitude), zeros, one);
            }
        }
        add_to(&mut sums, sum);
        add_to(&mut squares, square);
    }

    let [largest_signed, largest, smallest] = [largest_signed, largest, smallest].map(|vector| lanes(vector));
    let largest_signed = largest_signed.into_iter().map(u16::cast_signed).fold(i16::MIN, i16::max);
    let (largest, smallest) = (largest.into_iter().fold(0, u16::max), smallest.into_iter().fold(u16::MAX, u16::min));
    let sign = 1 << 15;
    // Where all have a sign the smallest is nearest to zero; where none has, it is the smallest.
    let max = if largest_signed < 0 { smallest } else { largest_signed.cast_unsigned() };
    let min = if largest < sign { smallest } else { largest };
    let is_finite = max & !sign < infinity && min & !sign < infinity;
    let zeros = lanes(zeros).into_iter().map(u64::from).sum();
    let moments = scalar::of_finite(block.len() as u64, total(sums), total(squares), value(min), value(max), zeros);
    (is_finite && (moments.abs_max == 0.0 || SHORT_SUMS_HOLD.contains(&moments.abs_max))).then_some(moments)
}

/// Adds up four times 16 values in f32, and those to as many sums in f64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_to(sums: &mut [__m512d; 2], values: [__m512; 4]) {
    let values = _mm512_add_ps(_mm512_add_ps(values[0], values[1]), _mm512_add_ps(values[2], values[3]));
    let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(values)));
    sums[0] = _mm512_add_pd(sums[0], _mm512_cvtps_pd(_mm512_castps512_ps256(values)));
    sums[1] = _mm512_add_pd(sums[1], _mm512_cvtps_pd(high));
}

#[target_feature(enable = "avx512f,avx512bw")]
fn lanes(vector: __m512i) -> [u16; 32] {
    // SAFETY: both are 64 bytes of plain numbers.
    unsafe { std::mem::transmute(vector) }
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

/// Writes the biased exponent that each value has as f32 into `exponents`, which has the same length, a multiple of 16.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack_exponents_of_f16(values: &[f16], exponents: &mut [u8]) {
    for (values, exponents) in values.as_chunks::<16>().0.iter().zip(exponents.as_chunks_mut::<16>().0) {
        // SAFETY: reads the 32 bytes and writes the 16 of a group; neither needs alignment.
        unsafe {
            let wide = _mm512_castps_si512(_mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())));
            _mm_storeu_si128(exponents.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_srli_epi32::<23>(wide)));
        }
    }
}

/// Writes the biased exponent of each value into `exponents`, which has the same length.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack_exponents_of_bf16(values: &[bf16], exponents: &mut [u8]) {
    // Left to the compiler, which turns it into shifts and narrowing moves of 32 values.
    for (exponent, value) in exponents.iter_mut().zip(values) {
        *exponent = (value.to_bits() >> 7) as u8;
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
