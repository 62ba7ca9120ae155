//! NEON (aarch64): 8 values for each turn of the loop.

use std::arch::aarch64::*;

use super::super::moments::Moments;
use super::histogram::WINDOW;
use super::scalar;

/// Turns after which a counter of one byte could overflow.
const MAX_BYTE_TURNS: usize = 255;

/// Moments of a block of finite values, a multiple of 64 and not 0. Its sum of squares is not finite if a value is not.
#[target_feature(enable = "neon")]
pub(super) fn moments_of_finite(block: &[f32]) -> Moments {
    let mut sums = [vdupq_n_f64(0.0); 4];
    let mut squares = [vdupq_n_f64(0.0); 4];
    let mut min = [vdupq_n_f32(f32::INFINITY); 2];
    let mut max = [vdupq_n_f32(f32::NEG_INFINITY); 2];
    let mut zeros = vdupq_n_u32(0);

    let (groups, _) = block.as_chunks::<8>();
    for group in groups {
        let start = group.as_ptr();
        for k in 0..2 {
            // SAFETY: reads the values 4 k .. 4 k + 4 of a group of 8.
            let all = unsafe { vld1q_f32(start.add(4 * k)) };
            let (low, high) = (vcvt_f64_f32(vget_low_f32(all)), vcvt_high_f64_f32(all));
            sums[2 * k] = vaddq_f64(sums[2 * k], low);
            sums[2 * k + 1] = vaddq_f64(sums[2 * k + 1], high);
            squares[2 * k] = vfmaq_f64(squares[2 * k], low, low);
            squares[2 * k + 1] = vfmaq_f64(squares[2 * k + 1], high, high);
            min[k] = vminq_f32(min[k], all);
            max[k] = vmaxq_f32(max[k], all);
            // A lane that compares equal is all ones, which is -1.
            zeros = vsubq_u32(zeros, vceqzq_f32(all));
        }
    }

    let sum = vaddq_f64(vaddq_f64(sums[0], sums[1]), vaddq_f64(sums[2], sums[3]));
    let square = vaddq_f64(vaddq_f64(squares[0], squares[1]), vaddq_f64(squares[2], squares[3]));
    scalar::of_finite(
        block.len() as u64,
        vaddvq_f64(sum),
        vaddvq_f64(square),
        f64::from(vminvq_f32(vminq_f32(min[0], min[1]))),
        f64::from(vmaxvq_f32(vmaxq_f32(max[0], max[1]))),
        u64::from(vaddvq_u32(zeros)),
    )
}

/// Writes the biased exponent of each value into `exponents`, which has the same length.
#[target_feature(enable = "neon")]
pub(super) fn pack_exponents(values: &[f32], exponents: &mut [u8]) {
    // Left to the compiler, which turns it into shifts and narrowing moves.
    for (exponent, value) in exponents.iter_mut().zip(values) {
        *exponent = (value.to_bits() >> 23) as u8;
    }
}

/// Number of `exponents`, a multiple of 16 of them, equal to `first_bin`, `first_bin + 1` and so on.
#[target_feature(enable = "neon")]
pub(super) fn count_window(exponents: &[u8], first_bin: u8) -> [u64; WINDOW] {
    let bins: [uint8x16_t; WINDOW] = std::array::from_fn(|k| vdupq_n_u8(first_bin.wrapping_add(k as u8)));
    let mut totals = [0; WINDOW];
    for part in exponents.as_chunks::<16>().0.chunks(MAX_BYTE_TURNS) {
        let mut counts = [vdupq_n_u8(0); WINDOW];
        for group in part {
            // SAFETY: reads the 16 bytes of the group.
            let exponents = unsafe { vld1q_u8(group.as_ptr()) };
            for (count, bin) in counts.iter_mut().zip(bins) {
                *count = vsubq_u8(*count, vceqq_u8(exponents, bin));
            }
        }
        for (total, count) in totals.iter_mut().zip(counts) {
            *total += u64::from(vaddlvq_u8(count));
        }
    }
    totals
}
