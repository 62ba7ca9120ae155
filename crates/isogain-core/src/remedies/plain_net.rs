//! What mean-field theory says of a plain net of this width and depth: how far signal and gradient drift. Orders the
//! initialisers that a remedy may choose from.

use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::activations::Activation;
use crate::theory::gains::Gains;
use crate::theory::initializers::Initializer;

/// Variances outside of this range are as good as zero or infinite.
const VARIANCE_RANGE: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

/// The hidden part of a network as theory sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainNet {
    /// Linear layers before the head.
    pub depth: usize,
    /// Inputs of a hidden layer's unit.
    pub fan_in: usize,
    /// Units of a hidden layer.
    pub fan_out: usize,
    /// The hidden activation.
    pub activation: Activation,
}

impl PlainNet {
    /// Depth and width of the case's network, with the first hidden activation of `recipe`. `None` without a hidden layer
    /// or without an activation.
    pub(super) fn of(case: &Case<'_>, recipe: &Recipe) -> Option<Self> {
        let fans: Vec<(usize, usize)> =
            case.network.linears().map(|(_, linear)| (linear.fan_in, linear.fan_out)).collect();
        let (_head, hidden) = fans.split_last()?;
        // The first layer's fan-in is that of the data; the second is like the others.
        let (fan_in, fan_out) = *hidden.get(1).or(hidden.first())?;
        let activation = edit::activations(&recipe.network).first().copied()?;
        Some(Self { depth: hidden.len(), fan_in, fan_out, activation })
    }

    /// sw2 = fan_in Var W and sb2 = Var b under `init`.
    pub(super) fn variances(&self, init: Initializer) -> (f64, f64) {
        let weight = init.weight_variance(self.fan_in, self.fan_out, self.activation);
        (self.fan_in as f64 * weight, init.bias_variance(self.fan_in, self.activation))
    }

    /// Largest of |ln RMS of the last pre-activation over the first| and |ln RMS of the first cotangent over the last|,
    /// nepers, for inputs of unit variance: 0 is a net that keeps both. Infinite where either is lost.
    ///
    /// Length map q' = sw2 E phi(sqrt(q) Z)^2 + sb2 and chi = sw2 E phi'(sqrt(q) Z)^2 (Poole et al. 2016; Schoenholz et
    /// al. 2017).
    pub(super) fn drift(&self, init: Initializer) -> f64 {
        let (sw2, sb2) = self.variances(init);
        let first = sw2 + sb2;
        let (mut q, mut backward) = (first, 0.0);
        for _ in 1..self.depth {
            if !VARIANCE_RANGE.contains(&q) {
                return f64::INFINITY;
            }
            let gains = Gains::at(self.activation, q);
            backward += 0.5 * (sw2 * gains.slope_second_moment).ln();
            q = sw2 * gains.second_moment + sb2;
        }
        let drift = (0.5 * (q / first).ln()).abs().max(backward.abs());
        if drift.is_nan() { f64::INFINITY } else { drift }
    }
}
