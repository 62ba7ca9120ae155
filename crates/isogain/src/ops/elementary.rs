//! Elementary functions of f32 without branches, so that a loop over them becomes vector instructions. Each is within
//! a few units in the last place (the normal distribution function: 3e-7 relative) of the true value.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// ln 2 in two parts; the product of a small integer with the first is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Adding 1.5 * 2^23 rounds to an integer and leaves it in the last bits.
const ROUND: f32 = 12_582_912.0;

/// e^x: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor series.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Beyond, the result is 0 or infinite in any case. Keeps a NaN.
    let x = x.clamp(-105.0, 89.0);
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let series = 1.0 / 720.0 + r * (1.0 / 5040.0);
    let series = 1.0 / 24.0 + r * (1.0 / 120.0 + r * series);
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * series)));
    // 2^n in two factors: n reaches from -152, where the result is subnormal, to 128.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    series * power_of_two(half) * power_of_two(n - half)
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// e^x - 1: by its Taylor series near 0, where the difference would lose its digits.
#[inline(always)]
pub(super) fn exp_m1(x: f32) -> f32 {
    let series = 1.0 / 5040.0 + x * (1.0 / 40_320.0 + x * (1.0 / 362_880.0));
    let series = 1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0 + x * series));
    let series = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * series)));
    if x.abs() < 0.5 { series } else { exp(x) - 1.0 }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// tanh x, from e^(-2|x|) - 1, so that small arguments keep their digits.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let e = exp_m1(-2.0 * x.abs());
    (-e / (2.0 + e)).copysign(x)
}

/// Density of the standard normal distribution.
#[inline(always)]
pub(super) fn normal_pdf(x: f32) -> f32 {
    0.398_942_3 * exp(-0.5 * x * x)
}

/// Distribution function of the standard normal distribution, with its relative precision kept in the lower tail.
///
/// e^(z^2) erfc z = t P(t) with t = 1 / (1 + 0.4 z); P is a least-squares fit of degree 9 on 0 <= z <= 12, relative error
/// 1.5e-8.
#[inline(always)]
pub(super) fn normal_cdf(x: f32) -> f32 {
    const P: [f32; 10] = [
        0.225_697_45,
        0.225_138_33,
        0.213_357_37,
        0.137_004_25,
        0.250_84,
        -0.244_854_98,
        0.500_068_1,
        -0.463_454_38,
        0.183_063_95,
        -0.026_860_048,
    ];
    let z = FRAC_1_SQRT_2 * x.abs();
    let t = 1.0 / (1.0 + 0.4 * z);
    let mut series = P[9];
    for &coefficient in P[..9].iter().rev() {
        series = coefficient + t * series;
    }
    let tail = 0.5 * t * series * exp(-0.5 * x * x);
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest relative error over [-range, range], where the true value is a normal number of f32.
    fn worst(range: f64, fast: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let arguments = (-20_000..=20_000).map(|k| (range * f64::from(k) / 20_000.0) as f32);
        let errors = arguments.filter_map(|x| {
            let truth = exact(f64::from(x));
            (truth.abs() > 1e-37).then(|| (f64::from(fast(x)) / truth - 1.0).abs())
        });
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn close_to_the_true_values() {
        assert!(worst(87.0, exp, f64::exp) < 3e-7);
        assert!(worst(1e-3, exp_m1, f64::exp_m1) < 3e-7);
        assert!(worst(80.0, exp_m1, f64::exp_m1) < 3e-7);
        assert!(worst(2.0, normal_cdf, |x| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)) < 5e-7);
        // The argument x^2 / 2 of the exponential is itself rounded.
        assert!(worst(12.0, normal_cdf, |x| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)) < 1e-5);
        assert!(worst(5.0, normal_pdf, |x| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()) < 3e-6);
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!((exp(0.0), exp(-1000.0), exp(1000.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, f32::INFINITY, 0.0));
        assert!(exp(f32::NAN).is_nan() && exp_m1(f32::NAN).is_nan() && normal_cdf(f32::NAN).is_nan());
        // Subnormal results are not flushed to zero.
        assert!((exp(-100.0) / 3.78e-44 - 1.0).abs() < 0.05);
        assert_eq!((exp_m1(0.0), exp_m1(-1000.0)), (0.0, -1.0));
        assert_eq!((normal_cdf(-40.0), normal_cdf(40.0)), (0.0, 1.0));
    }
}
