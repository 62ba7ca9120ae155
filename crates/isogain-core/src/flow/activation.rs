//! Activation: how small the slopes are, and whether the cotangent meets the small or the large ones.
//!
//! g_in = phi'(z) g, so ln(rms g_in / rms g) = 1/2 ln mean(phi'^2) + 1/2 ln(mean(g^2 phi'^2) / (mean g^2 mean phi'^2)).

use super::attribute::two_parts;
use super::capture::OpCapture;
use super::values::rms;
use super::{Cause, Part};
use crate::theory::activations::Activation;

/// Slope (known from the forward pass alone) and correlation.
pub(super) fn split(activation: Activation, op: &OpCapture, gain: f64) -> Vec<Part> {
    let slopes: Vec<f64> = op.input.to_f64().iter().map(|&z| activation.derivative(z)).collect();
    two_parts(Cause::ActivationSlope, rms(&slopes).ln(), Cause::SlopeCorrelation, gain)
}
