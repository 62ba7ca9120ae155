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
use super::back::Through;
use super::capture::OpCapture;
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

/// u to u W; `None` where nobody says which way round W is.
pub(super) fn forth<'a>(weight: &'a Values, units: Units, op: &'a OpCapture) -> Option<Through<'a>> {
    (units != Units::Unknown).then(|| times(weight, units == Units::Rows, op.rows, fans(op)))
}

/// g to g W^T; `None` where nobody says which way round W is.
pub(super) fn back<'a>(weight: &'a Values, units: Units, op: &'a OpCapture) -> Option<Through<'a>> {
    let [fan_in, fan_out] = fans(op);
    (units != Units::Unknown).then(|| times(weight, units == Units::Columns, op.rows, [fan_out, fan_in]))
}

fn fans(op: &OpCapture) -> [usize; 2] {
    [op.input.len(), op.output.len()].map(|values| values / op.rows.max(1))
}

/// Rows of `from` values times a matrix `[from, to]`, which is held as `[to, from]` if it is to be transposed.
fn times(matrix: &Values, is_transposed: bool, rows: usize, [from, to]: [usize; 2]) -> Through<'_> {
    let right = OnceCell::new();
    Box::new(move |values| {
        let held = || matrix.to_f64();
        let matrix = right.get_or_init(|| if is_transposed { transpose(&held(), to, from).into() } else { held() });
        product(values, matrix, [rows, from, to])
    })
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
