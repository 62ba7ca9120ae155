//! Softmax attention: what goes back through the values, and what through queries and keys, past the softmax.
//!
//! The input is [q, k, v], and so is its cotangent: |g_in|^2 = |dq|^2 + |dk|^2 + |dv|^2 exactly, whatever happens to
//! queries and keys before they are compared (rotation, a norm of their own). The values' part is told
//! as if they were alone, the others as what they add:
//! ln(rms g_in / rms g) = ln(rms dv / rms g) + 1/2 ln(1 + |dq|^2 / |dv|^2) + 1/2 ln(1 + |dk|^2 / (|dv|^2 + |dq|^2)),
//! the first with dv spread over the three parts of the input.

use super::capture::OpCapture;
use super::values::rms;
use super::{Cause, Part};

/// Values, queries, keys; `features` are those of queries, keys and values in a row of the input.
pub(super) fn split(features: [usize; 3], op: &OpCapture, gain: f64) -> Vec<Part> {
    let cotangent = op.cotangent_in.to_f64();
    let all: usize = features.iter().sum();
    // Root of the energy over that of one number in each row.
    let part = |place: usize| -> f64 {
        let from: usize = features[..place].iter().sum();
        let rows = cotangent.chunks_exact(all.max(1));
        let values = rows.flat_map(|row| row[from..][..features[place]].iter().copied()).collect::<Vec<f64>>();
        rms(&values) * (features[place] as f64).sqrt()
    };
    let (query, key, value) = (part(0), part(1), part(2));
    let queries = (query / value).powi(2).ln_1p() / 2.0;
    let keys = (key / value.hypot(query)).powi(2).ln_1p() / 2.0;
    if !(queries.is_finite() && keys.is_finite()) {
        return vec![Part { cause: Cause::ValuePath, log_gain: gain }];
    }
    vec![
        Part { cause: Cause::ValuePath, log_gain: gain - queries - keys },
        Part { cause: Cause::QueryPath, log_gain: queries },
        Part { cause: Cause::KeyPath, log_gain: keys },
    ]
}

#[cfg(test)]
mod tests {
    use crate::flow::capture::{Capture, OpCapture, OpCaptureKind};
    use crate::flow::{Cause, Values, attribute};

    /// One row, two features: |dv|^2 = 2, |dq|^2 = 1, |dk|^2 = 5.
    #[test]
    fn the_three_ways_add_up() {
        let values = |values: &[f64]| Values::from(values.to_vec());
        let op = OpCapture {
            name: "attention".into(),
            rows: 1,
            kind: OpCaptureKind::Attention { features: [2; 3] },
            input: values(&[0.0; 6]),
            output: values(&[0.0; 2]),
            cotangent_in: values(&[1.0, 0.0, 2.0, -1.0, 1.0, 1.0]),
            cotangent_out: values(&[3.0, 1.0]),
        };
        let flow = attribute(&Capture::new(1, vec![op], 0.0).unwrap());
        let joint = &flow.joints[0];
        assert_eq!(joint.kind, "attention");
        let part = |cause: Cause| joint.split.iter().find(|part| part.cause == cause).unwrap().log_gain;
        // rms over 6 values of the values' part alone, against rms over 2 values of the cotangent
        let expected = [0.5 * ((2.0 / 6.0) / (10.0 / 2.0_f64)).ln(), 0.5 * 1.5_f64.ln(), 0.5 * (8.0 / 3.0_f64).ln()];
        for (cause, expected) in [Cause::ValuePath, Cause::QueryPath, Cause::KeyPath].into_iter().zip(expected) {
            assert!((part(cause) - expected).abs() < 1e-14, "{cause:?}: {:?}", joint.split);
        }
        let sum: f64 = joint.split.iter().map(|part| part.log_gain).sum();
        assert!((sum - joint.log_gain.unwrap()).abs() < 1e-14);
    }
}
