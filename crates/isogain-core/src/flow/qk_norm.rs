//! RMS norm of queries and keys, head by head: the factor gamma / rms, and what the statistics' own dependence on the input
//! takes away.
//!
//! As for any norm, with r = gamma g / rms where a query or a key was divided and r = g where a value passed:
//! ln(rms g_in / rms g) = ln(rms r / rms g) + ln(rms g_in / rms r).

use super::attribute::{log_ratio, two_parts};
use super::capture::OpCapture;
use super::map::Map;
use super::values::{dot, rms};
use super::{Cause, Part, Values};

/// Rescaling and projection; `gammas` are those of queries and of keys.
pub(super) fn split(gammas: &[Values; 2], eps: f64, op: &OpCapture, rms_out: f64, gain: f64) -> Vec<Part> {
    let width = gammas[0].len().max(1);
    let gammas = gammas.each_ref().map(Values::to_f64);
    let input = op.input.to_f64();
    let heads = input.len() / (op.rows.max(1) * 3 * width);
    let mut rescaled = op.cotangent_out.to_f64().into_owned();
    // Heads of queries, of keys, of values, row by row.
    for (index, (x, g)) in input.chunks_exact(width).zip(rescaled.chunks_exact_mut(width)).enumerate() {
        let Some(gamma) = gammas.get(index / heads.max(1) % 3) else { continue };
        let square = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let factor = (square + eps).sqrt().recip();
        for (g, gamma) in g.iter_mut().zip(gamma.iter()) {
            *g *= gamma * factor;
        }
    }
    let rescale = log_ratio(rms(&rescaled), rms_out).unwrap_or(f64::NAN);
    two_parts(Cause::Rescale, rescale, Cause::Projection, gain)
}

/// The map of all heads' norms, as it was; values pass.
pub(super) struct HeadNorms<'a> {
    pub(super) gammas: &'a [Values; 2],
    pub(super) eps: f64,
    pub(super) op: &'a OpCapture,
}

impl Map for HeadNorms<'_> {
    /// Without gamma the map is symmetric.
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        self.through(u, |normalise, gamma, u| {
            normalise(u);
            multiply(u, gamma);
        })
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        self.through(g, |normalise, gamma, g| {
            multiply(g, gamma);
            normalise(g);
        })
    }
}

impl HeadNorms<'_> {
    /// Each query and key x with RMS s and x' = x / s: `both` of a product with gamma and of u to (u - x' mean(x' u)) / s.
    fn through(&self, values: &[f64], both: impl Fn(&dyn Fn(&mut [f64]), &[f64], &mut [f64])) -> Vec<f64> {
        let Self { gammas, eps, op } = *self;
        let width = gammas[0].len().max(1);
        let gammas = gammas.each_ref().map(Values::to_f64);
        let input = op.input.to_f64();
        let heads = input.len() / (op.rows.max(1) * 3 * width);
        let mut values = values.to_vec();
        for (index, (x, part)) in input.chunks_exact(width).zip(values.chunks_exact_mut(width)).enumerate() {
            let Some(gamma) = gammas.get(index / heads.max(1) % 3) else { continue };
            let square = x.iter().map(|x| x * x).sum::<f64>() / width as f64 + eps;
            let normalise = |u: &mut [f64]| {
                let along = dot(x, u) / (width as f64 * square);
                u.iter_mut().zip(x).for_each(|(u, x)| *u = (*u - x * along) / square.sqrt());
            };
            both(&normalise, gamma, part);
        }
        values
    }
}

fn multiply(values: &mut [f64], factors: &[f64]) {
    values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
}

#[cfg(test)]
mod tests {
    use crate::flow::capture::{Capture, OpCapture, OpCaptureKind};
    use crate::flow::{Cause, Values, attribute};

    /// One row, one head of two features: the query (3, 4) has RMS sqrt(12.5), the key (1, 1) has 1.
    #[test]
    fn values_pass_and_the_rest_is_divided() {
        let values = |values: &[f64]| Values::from(values.to_vec());
        let (query_rms, g) = (12.5_f64.sqrt(), [4.0, -3.0, 1.0, 1.0, 2.0, 5.0]);
        // The query's cotangent is at right angles to the query: nothing is projected away. The key's lies along the key.
        let back = [8.0 / query_rms, -6.0 / query_rms, 0.0, 0.0, 2.0, 5.0];
        let op = OpCapture {
            name: "qk_norm".into(),
            rows: 1,
            kind: OpCaptureKind::QkNorm { gammas: [values(&[2.0, 2.0]), values(&[3.0, 3.0])], eps: 0.0 },
            input: values(&[3.0, 4.0, 1.0, 1.0, 7.0, 7.0]),
            output: values(&[0.0; 6]),
            cotangent_in: values(&back),
            cotangent_out: values(&g),
        };
        let flow = attribute(&Capture::new(1, vec![op], 0.0).unwrap());
        let joint = &flow.joints[0];
        let energy = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let part = |cause: Cause| joint.split.iter().find(|part| part.cause == cause).unwrap().log_gain;
        let rescaled = 100.0 / 12.5 + 18.0 + 29.0;
        assert_eq!(joint.kind, "norm");
        assert!((part(Cause::Rescale) - 0.5 * (rescaled / energy(&g)).ln()).abs() < 1e-14, "{:?}", joint.split);
        assert!((part(Cause::Projection) - 0.5 * (energy(&back) / rescaled).ln()).abs() < 1e-14, "{:?}", joint.split);
    }
}
