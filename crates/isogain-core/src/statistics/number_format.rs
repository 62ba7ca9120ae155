//! The narrow number formats that training casts to, by the magnitudes at which they lose a value.

/// The edges of a floating-point format under round-to-nearest, ties to even.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberFormat {
    /// The name used in messages.
    pub name: &'static str,
    /// Largest magnitude that rounds to zero: half of the smallest subnormal, because the tie goes to the even 0.
    pub flush_edge: f64,
    /// Smallest magnitude with full precision.
    pub min_normal: f64,
    /// Smallest magnitude that rounds to infinity: half a unit above the largest finite value.
    pub overflow_edge: f64,
}

impl NumberFormat {
    /// IEEE binary16: smallest subnormal 2^-24, smallest normal 2^-14, largest value 65504.
    pub const FP16: NumberFormat = NumberFormat {
        name: "fp16",
        flush_edge: 1.0 / (1u64 << 25) as f64,
        min_normal: 1.0 / (1u64 << 14) as f64,
        overflow_edge: 65520.0,
    };

    /// bfloat16: smallest subnormal 2^-133, smallest normal 2^-126, largest value (2 - 2^-7) 2^127.
    pub const BF16: NumberFormat = NumberFormat {
        name: "bf16",
        flush_edge: 1.0 / ((1u128 << 67) as f64 * (1u128 << 67) as f64),
        min_normal: f32::MIN_POSITIVE as f64,
        overflow_edge: (2.0 - 1.0 / 256.0) * (1u128 << 127) as f64,
    };
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn after(x: f64) -> f64 {
        x * (1.0 + 1e-6)
    }

    fn before(x: f64) -> f64 {
        x * (1.0 - 1e-6)
    }

    #[test]
    fn edges_are_where_a_cast_changes() {
        let edges = NumberFormat::FP16;
        assert_eq!(f16::from_f64(edges.flush_edge).to_f64(), 0.0);
        assert_ne!(f16::from_f64(after(edges.flush_edge)).to_f64(), 0.0);
        assert!(f16::from_f64(edges.overflow_edge).is_infinite());
        assert!(f16::from_f64(before(edges.overflow_edge)).is_finite());
        assert_eq!(f16::MIN_POSITIVE.to_f64(), edges.min_normal);

        let edges = NumberFormat::BF16;
        assert_eq!(bf16::from_f64(edges.flush_edge).to_f64(), 0.0);
        assert_ne!(bf16::from_f64(after(edges.flush_edge)).to_f64(), 0.0);
        assert!(bf16::from_f64(edges.overflow_edge).is_infinite());
        assert!(bf16::from_f64(before(edges.overflow_edge)).is_finite());
        assert_eq!(bf16::MIN_POSITIVE.to_f64(), edges.min_normal);
    }
}
