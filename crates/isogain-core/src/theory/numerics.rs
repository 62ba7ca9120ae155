//! Where numbers end: gradients that a float format flushes to zero, and gradients that Adam's epsilon swallows.

use std::f64::consts::SQRT_2;

use serde::{Deserialize, Serialize};

/// A floating-point format of activations and gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE half: 5 exponent bits.
    F16,
    /// bfloat16: the exponent range of f32.
    Bf16,
    /// IEEE single.
    #[default]
    F32,
    /// IEEE double.
    F64,
}

impl Precision {
    /// The largest magnitude that rounds to zero (ties to even): half of the smallest subnormal number.
    pub fn flush_threshold(self) -> f64 {
        match self {
            Self::F16 => 2f64.powi(-25),
            Self::Bf16 => 2f64.powi(-134),
            Self::F32 => 2f64.powi(-150),
            // Half of f64's smallest subnormal is not a number of f64; the subnormal itself stands in.
            Self::F64 => f64::from_bits(1),
        }
    }

    /// The largest finite number.
    pub fn largest(self) -> f64 {
        match self {
            Self::F16 => 65504.0,
            Self::Bf16 => 2f64.powi(127) * (2.0 - 2f64.powi(-7)),
            Self::F32 => f64::from(f32::MAX),
            Self::F64 => f64::MAX,
        }
    }

    /// |update| / |weight| at or below which adding the update changes nothing: half of a unit in the last place.
    pub fn lost_update_ratio(self) -> f64 {
        match self {
            Self::F16 => 2f64.powi(-11),
            Self::Bf16 => 2f64.powi(-8),
            Self::F32 => 2f64.powi(-24),
            Self::F64 => 2f64.powi(-53),
        }
    }
}

/// P(a centred Gaussian of the given deviation is flushed to zero): erf(threshold / (deviation sqrt 2)).
pub fn flush_probability(deviation: f64, precision: Precision) -> f64 {
    libm::erf(precision.flush_threshold() / (deviation * SQRT_2))
}

/// Layers until an RMS that starts at `start` falls to `floor`, losing a factor sqrt(chi) per layer; 0 when it starts
/// there, `None` when it never falls.
pub fn depth_to_fall(start: f64, floor: f64, chi: f64) -> Option<f64> {
    if start <= floor { Some(0.0) } else { (chi < 1.0).then(|| (start / floor).ln() / (-0.5 * chi.ln())) }
}

/// Layers until an RMS that starts at `start` rises to `ceiling`; `None` when it never does.
pub fn depth_to_rise(start: f64, ceiling: f64, chi: f64) -> Option<f64> {
    if start >= ceiling { Some(0.0) } else { (chi > 1.0).then(|| (ceiling / start).ln() / (0.5 * chi.ln())) }
}

/// Adam's step over its learning rate for a steady gradient g: g / (|g| + epsilon).
pub fn adam_step_fraction(gradient: f64, epsilon: f64) -> f64 {
    gradient / (gradient.abs() + epsilon)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::sampling::standard_normal;

    #[test]
    fn share_of_half_precision_gradients_that_vanish() {
        for (exponent, share) in [(-20, 0.024930), (-22, 0.099476), (-24, 0.382925), (-25, 0.682689), (-26, 0.954500)] {
            let probability = flush_probability(2f64.powi(exponent), Precision::F16);
            assert!((probability - share).abs() < 6e-7, "2^{exponent}: {probability}");
        }
    }

    #[test]
    fn thresholds_are_those_of_the_formats() {
        let (half_zero, half_kept) = (2f64.powi(-25), 2f64.powi(-25) * (1.0 + 1e-3));
        assert_eq!(half::f16::from_f64(half_zero).to_f64(), 0.0);
        assert!(half::f16::from_f64(half_kept).to_f64() > 0.0);
        assert_eq!(half::bf16::from_f64(Precision::Bf16.flush_threshold()).to_f64(), 0.0);
        assert!(half::bf16::from_f64(Precision::Bf16.flush_threshold() * 1.01).to_f64() > 0.0);
        assert_eq!(Precision::F32.flush_threshold() as f32, 0.0);
        assert!((Precision::F32.flush_threshold() * 1.01) as f32 > 0.0);
        assert_eq!(half::f16::MAX.to_f64(), Precision::F16.largest());
        assert_eq!(half::bf16::MAX.to_f64(), Precision::Bf16.largest());
        for (kept, precision) in
            [(f64::from(half::f16::EPSILON), Precision::F16), (f64::from(f32::EPSILON), Precision::F32)]
        {
            assert_eq!(precision.lost_update_ratio(), kept / 2.0);
        }
    }

    #[test]
    fn rounding_a_sample_agrees_with_the_formula() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let n = 100_000;
        let deviation = 2f64.powi(-24);
        let zeros =
            (0..n).filter(|_| half::f16::from_f64(deviation * standard_normal(&mut rng)) == half::f16::ZERO).count();
        let expected = flush_probability(deviation, Precision::F16);
        let error = (expected * (1.0 - expected) / f64::from(n)).sqrt();
        assert!((zeros as f64 / f64::from(n) - expected).abs() < 4.0 * error);
    }

    #[test]
    fn depth_at_which_the_library_default_underflows() {
        let floor = Precision::F16.flush_threshold();
        let depth = |chi: f64| depth_to_fall(1e-3, floor, chi).unwrap();
        assert!((depth(1.0 / 6.0) - 11.632057108096268).abs() < 1e-9);
        assert!((depth(0.01754894) - 5.155349).abs() < 1e-5);
        assert_eq!(depth_to_fall(1e-3, floor, 1.0), None);
        assert_eq!(depth_to_fall(1e-9, floor, 0.5), Some(0.0));
        assert!((depth_to_rise(1.0, 65504.0, 4.0).unwrap() - 65504f64.log2()).abs() < 1e-12);
    }

    #[test]
    fn adams_epsilon_swallows_small_gradients() {
        assert_eq!(adam_step_fraction(1e-8, 1e-8), 0.5);
        assert!((adam_step_fraction(1e-10, 1e-8) - 0.009_900_990_099_009_901).abs() < 1e-15);
        assert!((adam_step_fraction(-1e-6, 1e-8) + 0.990_099_009_900_990_1).abs() < 1e-15);
        assert_eq!(adam_step_fraction(1e-10, 1e-30), 1.0);
    }
}
