//! Rounding of f32 to the 16-bit formats, to nearest with ties to even, as a cast on any processor does it; without
//! branches, so that a loop over it becomes vector instructions.

/// The nearest bfloat16: 8 significant bits, the exponents of f32. NaN stays NaN.
#[inline(always)]
pub fn to_bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    // Half a unit, less one bit where the last kept bit is even; a carry out of the largest number gives infinity.
    let rounded = f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000);
    if x.is_nan() { x } else { rounded }
}

/// Smallest f16 with all of its 11 bits.
const SMALLEST_NORMAL: f32 = 1.0 / 16_384.0;
/// Adding it leaves multiples of 2^-24, the smallest f16.
const UNIT: f32 = 0.75;
/// From here on the nearest f16 is infinite: half a unit above 65504.
const TOO_LARGE: f32 = 65520.0;

/// The nearest IEEE half: 11 significant bits from 2^-14 to 65504, multiples of 2^-24 below, infinity above. NaN stays
/// NaN.
#[inline(always)]
pub fn to_fp16(x: f32) -> f32 {
    let bits = x.to_bits();
    let normal = f32::from_bits(bits.wrapping_add(0x0fff + ((bits >> 13) & 1)) & 0xffff_e000);
    let small = (x.abs() + UNIT - UNIT).copysign(x);
    let finite = if x.abs() < SMALLEST_NORMAL { small } else { normal };
    let result = if x.abs() >= TOO_LARGE { f32::INFINITY.copysign(x) } else { finite };
    if x.is_nan() { x } else { result }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    /// Against the crate `half`, for f32 of all exponents with the mantissas that decide: those around every tie.
    #[test]
    fn every_tie_is_rounded_as_a_cast_does() {
        let tails = [0_u32, 1, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff];
        for high in 0..=0xffff_u32 {
            for tail in tails {
                let x = f32::from_bits((high << 16) | tail);
                let (half, brain) = (f16::from_f32(x).to_f32(), bf16::from_f32(x).to_f32());
                if x.is_nan() {
                    assert!(to_fp16(x).is_nan() && to_bf16(x).is_nan());
                } else {
                    assert_eq!(to_fp16(x).to_bits(), half.to_bits(), "{x:e}");
                    assert_eq!(to_bf16(x).to_bits(), brain.to_bits(), "{x:e}");
                }
            }
        }
    }

    #[test]
    fn edges() {
        assert_eq!((to_fp16(65519.9), to_fp16(65520.0), to_fp16(-1e9)), (65504.0, f32::INFINITY, f32::NEG_INFINITY));
        // The tie at half of the smallest number goes to the even zero.
        let smallest = 2f32.powi(-24);
        assert_eq!((to_fp16(smallest / 2.0), to_fp16(smallest * 0.51)), (0.0, smallest));
        assert_eq!(to_bf16(f32::MAX), f32::INFINITY);
        assert_eq!(to_bf16(1.0 + 2f32.powi(-9)), 1.0);
    }
}
