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

/// 16-bit values whose sums are taken in f32 before they go on in f64: 24 for each of 16 lanes.
const SHORT: usize = 384;

/// Largest magnitudes between which sums of squares in f32 neither overflow nor lose what matters: 2^-50 and 2^50. All of
/// f16 lies between them.
const SHORT_SUMS_HOLD: RangeInclusive<f64> = 8.881_784_197_001_252e-16..=1.125_899_906_842_624e15;

/// Moments of a block of f16 values, a multiple of 64 and not 0; see [`moments_of_halves`].
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn moments_of_f16(block: &[f16]) -> Option<Moments> {
    // Read again by halves, as in `moments_of_finite`.
    let again = black_box(block.as_ptr());
    let add = |sum: &mut __m512, square: &mut __m512, at: usize, _: __m512i| {
        for half in 0..2 {
            // SAFETY: 16 of the 32 values of the block from `at` on; the load needs no alignment.
            let wide = unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(again.add(at + 16 * half).cast())) };
            *sum = _mm512_add_ps(*sum, wide);
            *square = _mm512_fmadd_ps(wide, wide, *square);
        }
    };
    moments_of_halves(block, f16::INFINITY.to_bits(), add, |bits| f16::from_bits(bits).to_f64())
}

/// Moments of a block of bf16 values, a multiple of 64 and not 0; see [`moments_of_halves`].
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn moments_of_bf16(block: &[bf16]) -> Option<Moments> {
    // Which are the upper halves of f32 values: those at odd places already stand where they belong.
    let odd = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let add = |sum: &mut __m512, square: &mut __m512, _: usize, bits: __m512i| {
        for wide in [_mm512_slli_epi32::<16>(bits), _mm512_and_si512(bits, odd)] {
            let wide = _mm512_castsi512_ps(wide);
            *sum = _mm512_add_ps(*sum, wide);
            *square = _mm512_fmadd_ps(wide, wide, *square);
        }
    };
    moments_of_halves(block, bf16::INFINITY.to_bits(), add, |bits| bf16::from_bits(bits).to_f64())
}

/// Moments of a block of 16-bit floats whose positive infinity has the bits `infinity`; `None` where a value is not finite,
/// or where sums in f32 do not hold. `add` adds 32 values, those of the block from a place on, whose
/// bits it is given too, to a sum and to one of squares.
///
/// Sums are taken in f32 over 24 values, and then in f64: each is good to 8 x 2^-24 of the sum of magnitudes, where a value
/// itself is good to 2^-11 (f16) or 2^-8 (bf16). Everything else is exact, and found without widening: as integers,
/// floats of one sign stand in the order of their magnitudes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn moments_of_halves<T>(
    block: &[T],
    infinity: u16,
    add: impl Fn(&mut __m512, &mut __m512, usize, __m512i),
    value: impl Fn(u16) -> f64,
) -> Option<Moments> {
    const { assert!(size_of::<T>() == 2) };
    let mut sums = [_mm512_setzero_pd(); 2];
    let mut squares = [_mm512_setzero_pd(); 2];
    let (mut largest_signed, mut largest) = (_mm512_set1_epi16(i16::MIN), _mm512_setzero_si512());
    let mut zeros = _mm512_setzero_si512();
    // Hidden from the compiler, which would make vectors of ones out of masks to subtract them: an operation more.
    let one = black_box(_mm512_set1_epi16(1));
    let magnitude = _mm512_set1_epi16(i16::MAX);

    for from in (0..block.len()).step_by(SHORT) {
        // Several chains of each: a sum waits for the one before it.
        let mut sum = [_mm512_setzero_ps(); 4];
        let mut square = [_mm512_setzero_ps(); 4];
        let mut take = |at: usize, sum: &mut __m512, square: &mut __m512| {
            let values = block.as_ptr().wrapping_add(at);
            // SAFETY: reads the 64 bytes of 32 values of the block; the load needs no alignment.
            let bits = unsafe { _mm512_loadu_si512(values.cast()) };
            // Asks for what comes later, at an address that may lie behind the buffer: it is never read through.
            _mm_prefetch::<_MM_HINT_T0>(values.wrapping_add(2 * PREFETCH_AHEAD).cast());
            add(sum, square, at, bits);
            largest_signed = _mm512_max_epi16(largest_signed, bits);
            largest = _mm512_max_epu16(largest, bits);
            zeros = _mm512_mask_add_epi16(zeros, _mm512_testn_epi16_mask(bits, magnitude), zeros, one);
        };
        let end = block.len().min(from + SHORT);
        let (mut at, [a, b, c, d], [e, f, g, h]) = (from, &mut sum, &mut square);
        while at + 128 <= end {
            take(at, a, e);
            take(at + 32, b, f);
            take(at + 64, c, g);
            take(at + 96, d, h);
            at += 128;
        }
        if at < end {
            take(at, a, e);
            take(at + 32, b, f);
        }
        add_to(&mut sums, sum);
        add_to(&mut squares, square);
    }

    let sign = 1 << 15;
    // The other way round, and the signed ones moved to where the unsigned are.
    let largest_signed = (!smallest_lane(_mm512_xor_si512(magnitude, largest_signed)) ^ sign).cast_signed();
    let largest = !smallest_lane(_mm512_xor_si512(_mm512_set1_epi16(-1), largest));
    let zeros = _mm512_reduce_add_epi32(_mm512_madd_epi16(zeros, _mm512_set1_epi16(1))) as u64;
    // Where all have a sign the one nearest to zero is the largest; where none has, it is the smallest.
    let (max, min) = match (largest_signed < 0, largest < sign) {
        (true, _) => (nearest_to_zero(block, zeros), largest),
        (_, true) => (largest_signed.cast_unsigned(), nearest_to_zero(block, zeros)),
        _ => (largest_signed.cast_unsigned(), largest),
    };
    let is_finite = max & !sign < infinity && min & !sign < infinity;
    let moments = scalar::of_finite(block.len() as u64, total(sums), total(squares), value(min), value(max), zeros);
    (is_finite && (moments.abs_max == 0.0 || SHORT_SUMS_HOLD.contains(&moments.abs_max))).then_some(moments)
}

/// The bits of the smallest magnitude of a block, a multiple of 64 values of one sign, of which so many are zeros.
#[target_feature(enable = "avx512f,avx512bw")]
fn nearest_to_zero<T>(block: &[T], zeros: u64) -> u16 {
    if zeros > 0 {
        return 0;
    }
    let mut smallest = _mm512_set1_epi16(-1);
    for values in block.as_chunks::<32>().0 {
        // SAFETY: reads the 64 bytes of the values; the load needs no alignment.
        smallest = _mm512_min_epu16(smallest, unsafe { _mm512_loadu_si512(values.as_ptr().cast()) });
    }
    smallest_lane(smallest)
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
fn smallest_lane(words: __m512i) -> u16 {
    let half = _mm256_min_epu16(_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64::<1>(words));
    let quarter = _mm_min_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    _mm_extract_epi16::<0>(_mm_minpos_epu16(quarter)) as u16
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

/// Writes the biased exponent of each value into `exponents`, which has the same length, a multiple of 64. In which order
/// those of 64 values stand is left open.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack_exponents(values: &[f32], exponents: &mut [u8]) {
    for (values, exponents) in values.as_chunks::<64>().0.iter().zip(exponents.as_chunks_mut::<64>().0) {
        let upper_halves = |at: usize| {
            let from = values.as_ptr().wrapping_add(at).cast::<u16>();
            // SAFETY: reads 32 of the values, the first 16 from the upper half of the first one on; no load needs
            // alignment.
            let [moved, next] = unsafe { [from.add(1), from.add(32)].map(|from| _mm512_loadu_si512(from.cast())) };
            _mm512_mask_blend_epi16(ODD, moved, next)
        };
        // SAFETY: writes the 64 bytes of the group; the store needs no alignment.
        unsafe { _mm512_storeu_si512(exponents.as_mut_ptr().cast(), exponents_of([0, 32].map(upper_halves))) };
    }
}

/// The same of the exponents that f16 values have as f32.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack_exponents_of_f16(values: &[f16], exponents: &mut [u8]) {
    for (values, exponents) in values.as_chunks::<64>().0.iter().zip(exponents.as_chunks_mut::<64>().0) {
        let upper_halves = |at: usize| {
            let wide = |at: usize| {
                // SAFETY: reads 16 of the values; the load needs no alignment.
                let values = unsafe { _mm256_loadu_si256(values.as_ptr().add(at).cast()) };
                _mm512_castps_si512(_mm512_cvtph_ps(values))
            };
            _mm512_mask_blend_epi16(ODD, _mm512_srli_epi32::<16>(wide(at)), wide(at + 16))
        };
        // SAFETY: writes the 64 bytes of the group; the store needs no alignment.
        unsafe { _mm512_storeu_si512(exponents.as_mut_ptr().cast(), exponents_of([0, 32].map(upper_halves))) };
    }
}

/// The same of bf16 values, which are the upper halves of f32 values.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pack_exponents_of_bf16(values: &[bf16], exponents: &mut [u8]) {
    for (values, exponents) in values.as_chunks::<64>().0.iter().zip(exponents.as_chunks_mut::<64>().0) {
        // SAFETY: reads 32 of the values; the load needs no alignment.
        let upper_halves = |at: usize| unsafe { _mm512_loadu_si512(values.as_ptr().add(at).cast()) };
        // SAFETY: writes the 64 bytes of the group; the store needs no alignment.
        unsafe { _mm512_storeu_si512(exponents.as_mut_ptr().cast(), exponents_of([0, 32].map(upper_halves))) };
    }
}

/// The words at odd places.
const ODD: __mmask32 = 0xaaaa_aaaa;

/// The biased exponents of 64 values whose upper halves these are: without the sign, each is the upper byte of its word.
#[target_feature(enable = "avx512f,avx512bw")]
fn exponents_of(upper_halves: [__m512i; 2]) -> __m512i {
    let [low, high] = upper_halves.map(|words| _mm512_add_epi16(words, words));
    // low | (high & upper bytes)
    _mm512_ternarylogic_epi32::<0xf8>(_mm512_srli_epi16::<8>(low), high, _mm512_set1_epi16(!0xff))
}

/// Number of `exponents`, a multiple of 64 of them, equal to `first_bin`, `first_bin + 1` and so on.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn count_window(exponents: &[u8], first_bin: u8) -> [u64; WINDOW] {
    let bins: [__m512i; WINDOW] = std::array::from_fn(|k| _mm512_set1_epi8(first_bin.wrapping_add(k as u8) as i8));
    // Hidden from the compiler, as above.
    let one = black_box(_mm512_set1_epi8(1));
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

/// Moves the `exponents`, a multiple of 64, that are below `end` and not zero to the front, and puts zeros behind them: how
/// many those are together, again a multiple of 64.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
pub(super) fn keep_below(exponents: &mut [u8], end: u8) -> usize {
    let (all, end, mut kept) = (exponents.as_mut_ptr(), _mm512_set1_epi8(end.cast_signed()), 0);
    for from in (0..exponents.len()).step_by(64) {
        // SAFETY: reads a group, and writes as many bytes to where no later group is: no more are kept than were read.
        unsafe {
            let group = _mm512_loadu_si512(all.add(from).cast());
            let below = _mm512_mask_cmplt_epu8_mask(_mm512_test_epi8_mask(group, group), group, end);
            _mm512_storeu_si512(all.add(kept).cast(), _mm512_maskz_compress_epi8(below, group));
            kept += below.count_ones() as usize;
        }
    }
    let length = kept.next_multiple_of(64);
    exponents[kept..length].fill(0);
    length
}
