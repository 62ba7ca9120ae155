//! Linear: how large the weights are, and whether the cotangent lies along their large or small singular directions.
//!
//! g_in = g W^T, so ln(rms g_in / rms g) = 1/2 ln(|W|_F^2 / fan_in) + 1/2 ln(fan_out |g W^T|^2 / (|g|^2 |W|_F^2)). For
//! independent weights the first is 1/2 ln(fan_out Var W) and the second is near 0; training makes the second grow.

use super::attribute::two_parts;
use super::capture::OpCapture;
use super::{Cause, Part, Values};

/// Scale and alignment.
pub(super) fn split(weight: &Values, batch: usize, op: &OpCapture, gain: f64) -> Vec<Part> {
    let fan_out = (op.output.len() / batch) as f64;
    // |W|_F^2 / fan_in = fan_out * mean W^2
    let scale = weight.rms().ln() + 0.5 * fan_out.ln();
    two_parts(Cause::WeightScale, scale, Cause::Alignment, gain)
}
