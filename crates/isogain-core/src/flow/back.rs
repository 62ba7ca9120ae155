//! One operation's way back for any cotangent, from its buffers alone, the forward pass being what it was.

use super::capture::{OpCapture, OpCaptureKind};
use super::convolution::Patches;
use super::values::rms;
use super::{attention, linear, norm, pool, qk_norm};

/// Largest deviation, relative to the cotangent, of what counts as a product with one number: rounding in f32 leaves 1e-7.
const SAME: f64 = 1e-5;

/// A linear map of buffers: a cotangent at an operation's output to that at its input, a change of its input to that of its
/// output.
pub(super) type Through<'a> = Box<dyn Fn(&[f64]) -> Vec<f64> + 'a>;

/// g to J^T g; `None` for an operation whose buffers do not tell it (a recurrence, most of what is taken whole, weights
/// in an unknown order) and for a residual one, which is a sum of two ways.
pub(super) fn back(op: &OpCapture) -> Option<Through<'_>> {
    match &op.kind {
        OpCaptureKind::Linear { weight, units, .. } => linear::back(weight, *units, op),
        OpCaptureKind::Activation(activation) => {
            let slopes: Vec<f64> = op.input.to_f64().iter().map(|&z| activation.derivative(z)).collect();
            Some(Box::new(move |g| g.iter().zip(&slopes).map(|(g, slope)| g * slope).collect()))
        }
        OpCaptureKind::Norm { norm, gamma, eps, groups, samples, ratio } => {
            let statistics = norm::Statistics::new(*norm, *eps, *groups, *samples, ratio.as_ref());
            Some(Box::new(move |g| norm::back(&statistics, gamma, op, g)))
        }
        // Its head adds a cotangent that depends on none.
        OpCaptureKind::AuxiliaryHead { .. } => Some(Box::new(<[f64]>::to_vec)),
        OpCaptureKind::Other { weighted: false } => {
            let factor = one_number(op)?;
            Some(Box::new(move |g| g.iter().map(|g| factor * g).collect()))
        }
        OpCaptureKind::Convolution { weight, window, .. } => {
            let patches = Patches::of(weight, (*window)?, op);
            Some(Box::new(move |g| patches.back(g)))
        }
        OpCaptureKind::Pool(pool) => {
            let links = pool::links(pool, op);
            Some(Box::new(move |g| pool::back(&links, op, g)))
        }
        OpCaptureKind::QkNorm { gammas, eps } => Some(Box::new(move |g| qk_norm::back(gammas, *eps, op, g))),
        OpCaptureKind::Attention { attention, .. } => {
            let heads = attention::Heads::of(attention.as_ref()?, op);
            Some(Box::new(move |g| heads.back(g)))
        }
        OpCaptureKind::Residual { .. } | OpCaptureKind::Recurrent { .. } | OpCaptureKind::Other { .. } => None,
    }
}

/// The number that an operation of an unknown kind multiplies every value with, which its two cotangents show: a scale, a new
/// shape, dropout that is switched off.
fn one_number(op: &OpCapture) -> Option<f64> {
    let (before, after) = (op.cotangent_in.to_f64(), op.cotangent_out.to_f64());
    let size = rms(&after);
    if before.len() != after.len() || !(size > 0.0 && size.is_finite()) {
        return None;
    }
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        before.iter().zip(after.iter()).map(|(b, a)| of(b / size, a / size)).sum::<f64>() / after.len() as f64
    };
    let factor = mean(&|b, a| b * a);
    let apart = mean(&|b, a| (b - factor * a).powi(2)).sqrt();
    (apart <= SAME * factor.abs()).then_some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Values;

    fn whole(before: &[f64], after: &[f64]) -> OpCapture {
        let values = |values: &[f64]| Values::from(values.to_vec());
        OpCapture {
            name: "mul".into(),
            rows: 1,
            kind: OpCaptureKind::Other { weighted: false },
            input: values(before),
            output: values(after),
            cotangent_in: values(before),
            cotangent_out: values(after),
        }
    }

    #[test]
    fn a_product_with_one_number_is_known_by_its_cotangents() {
        for scale in [1.0, 1e-200] {
            let found = whole(&[-1.0, 2.0, 0.5].map(|g| scale * g), &[2.0, -4.0, -1.0].map(|g| scale * g));
            let back = back(&found).unwrap()(&[3.0, 0.0, 8.0]);
            // The number is a quotient of sums.
            assert!(back.iter().zip([-1.5, 0.0, -4.0]).all(|(g, expected)| (g - expected).abs() < 1e-14), "{back:?}");
        }
        // A mask, another order, a part: not one number.
        for (before, after) in [([1.0, 0.0, 3.0], [1.0, 2.0, 3.0]), ([2.0, 1.0, 3.0], [1.0, 2.0, 3.0])] {
            assert!(back(&whole(&before, &after)).is_none());
        }
        assert!(back(&whole(&[1.0], &[1.0, 2.0])).is_none() && back(&whole(&[0.0; 2], &[0.0; 2])).is_none());
        // Zero times a gradient is zero.
        assert_eq!(back(&whole(&[0.0; 2], &[1.0, 2.0])).unwrap()(&[1.0, 1.0]), [0.0, 0.0]);
    }
}
