//! The element types a statistic can be taken of.

use half::{bf16, f16};

/// A floating-point element that widens to `f64` without rounding.
pub trait Real: Copy + Into<f64> {}

impl Real for f32 {}
impl Real for f64 {}
impl Real for f16 {}
impl Real for bf16 {}
