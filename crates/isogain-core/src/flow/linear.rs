//! Linear: how large the weights are, and whether the cotangent lies along their large or small singular directions.
//!
//! g_in = g W^T, so ln(rms g_in / rms g) = 1/2 ln(|W|_F^2 / fan_in) + 1/2 ln(fan_out |g W^T|^2 / (|g|^2 |W|_F^2)). For
//! independent weights the first is 1/2 ln(fan_out Var W) and the second is near 0; training makes the second grow.
//!
//! A convolution is the same matrix once at every output position, its patches overlapping in the input. An output of
//! independent elements puts |W|_F^2 into the input from each position, so the first part is 1/2 ln(|W|_F^2 positions /
//! input values), which for a linear operation is the formula above; taps that padding cuts off are part of the second.

use std::cell::OnceCell;

use super::attribute::two_parts;
use super::capture::OpCapture;
use super::map::Map;
use super::{Cause, Part, Values};
use crate::conservation::Units;
use crate::matmul::{product, transpose};

/// Scale and alignment.
pub(super) fn split(weight: &Values, op: &OpCapture, gain: f64) -> Vec<Part> {
    two_parts(Cause::WeightScale, scale(weight, op), Cause::Alignment, gain)
}

/// 1/2 ln(|W|_F^2 rows / input values): what the size of the weights does to a cotangent without preferred direction.
pub(super) fn scale(weight: &Values, op: &OpCapture) -> f64 {
    // |W|_F^2 = values * mean W^2
    weight.rms().ln() + 0.5 * (weight.len() as f64 * op.rows as f64 / op.input.len() as f64).ln()
}

/// Rows times W, and back times its transpose.
pub(super) struct Product<'a> {
    weight: &'a Values,
    /// Whether W is held as `[fan_out, fan_in]`.
    is_transposed: bool,
    rows: usize,
    /// Of W as it multiplies.
    fans: [usize; 2],
    /// `[fan_in, fan_out]` and `[fan_out, fan_in]`, once they are asked for.
    matrices: [OnceCell<Vec<f64>>; 2],
}

impl<'a> Product<'a> {
    /// `None` where nobody says which way round W is.
    pub(super) fn of(weight: &'a Values, units: Units, op: &OpCapture) -> Option<Self> {
        let fans = [op.input.len(), op.output.len()].map(|values| values / op.rows.max(1));
        let matrices = [OnceCell::new(), OnceCell::new()];
        let is_transposed = units == Units::Rows;
        (units != Units::Unknown).then_some(Self { weight, is_transposed, rows: op.rows, fans, matrices })
    }

    /// Values times W, or its transpose.
    fn times(&self, values: &[f64], transposed: bool) -> Vec<f64> {
        let [from, to] = if transposed { [self.fans[1], self.fans[0]] } else { self.fans };
        let held = || self.weight.to_f64();
        let right = self.matrices[usize::from(transposed)].get_or_init(|| {
            if transposed == self.is_transposed { held().into_owned() } else { transpose(&held(), to, from) }
        });
        product(values, right, [self.rows, from, to])
    }
}

impl Map for Product<'_> {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        self.times(u, false)
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        self.times(g, true)
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::capture::{Capture, OpCapture, OpCaptureKind};
    use crate::flow::{Cause, Values, attribute};

    /// Cotangent at the input of a circular convolution with one input channel, stride 1, no padding to cut taps off:
    /// `[positions, channels]` back to `[positions]`.
    fn back(weight: &[f64], taps: usize, cotangent: &[f64]) -> Vec<f64> {
        let channels = weight.len() / taps;
        let positions = cotangent.len() / channels;
        let mut found = vec![0.0; positions];
        for position in 0..positions {
            for tap in 0..taps {
                for channel in 0..channels {
                    found[(position + tap) % positions] +=
                        cotangent[position * channels + channel] * weight[channel * taps + tap];
                }
            }
        }
        found
    }

    /// A cotangent that is 1 at one place spreads |W_o|^2, whichever way: the scale alone describes it when all channels
    /// weigh the same, and nothing is left to alignment.
    #[test]
    fn a_convolution_of_an_impulse_has_no_alignment() {
        let (taps, channels, positions) = (3, 2, 8);
        let weight = [0.5, -1.0, 2.0, 2.0, 1.0, -0.5];
        let mut cotangent = vec![0.0; positions * channels];
        cotangent[5] = 1.0;
        let input = back(&weight, taps, &cotangent);
        let op = OpCapture {
            name: "conv1".into(),
            rows: positions,
            kind: OpCaptureKind::Convolution {
                window: None,
                weight: Values::from(weight.to_vec()),
                weight_gradient: Values::from(vec![1.0; weight.len()]),
            },
            input: Values::from(vec![1.0; positions]),
            output: Values::from(vec![1.0; positions * channels]),
            cotangent_in: Values::from(input.clone()),
            cotangent_out: Values::from(cotangent),
        };
        let flow = attribute(&Capture::new(1, vec![op], 0.0).unwrap());
        let joint = &flow.head.joints[0];
        let energy: f64 = input.iter().map(|g| g * g).sum();
        assert!((energy - 5.25).abs() < 1e-15);
        // rms of 5.25 over 8 positions against rms of 1 over 16 values
        let gain = 0.5 * ((5.25 / 8.0) / (1.0 / 16.0_f64)).ln();
        assert_eq!(joint.kind, "convolution");
        assert!((joint.log_gain.unwrap() - gain).abs() < 1e-14);
        let part = |cause: Cause| joint.split.iter().find(|part| part.cause == cause).unwrap().log_gain;
        assert!((part(Cause::WeightScale) - gain).abs() < 1e-14, "{:?}", joint.split);
        assert!(part(Cause::Alignment).abs() < 1e-14, "{:?}", joint.split);
        // 6 = 3 taps of 1 channel, times 2 channels
        let weight = &flow.weights[0];
        let expected = [6.0_f64.ln() / 2.0, (1.0 / 4.0_f64).ln() + 2.0_f64.ln() / 2.0, 3.0_f64.ln() / 2.0];
        let found = [weight.log_norm.unwrap(), weight.backward_signal.unwrap(), weight.input_size.unwrap()];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-14, "{weight:?}");
        }
    }
}
