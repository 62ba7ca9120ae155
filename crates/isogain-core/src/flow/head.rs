//! The head: where the cotangent comes from, with the loss and the reduction constant told apart from the network.

use super::capture::Capture;
use super::values::rms;
use super::{Head, Joint};

/// Outputs, their spread over the batch, and the cotangent they start with.
pub(super) fn head(capture: &Capture, joints: Vec<Joint>) -> Head {
    let batch = capture.batch();
    let Some(last) = capture.ops().last() else {
        return Head { loss: capture.loss(), output_rms: 0.0, output_spread_rms: 0.0, cotangent_rms: 0.0, joints };
    };
    Head {
        loss: capture.loss(),
        output_rms: last.output.rms(),
        output_spread_rms: spread(&last.output.to_f64(), last.rows.max(1)),
        cotangent_rms: last.cotangent_out.rms() * batch as f64,
        joints,
    }
}

/// RMS of each value's deviation from its column's mean over the rows.
fn spread(values: &[f64], rows: usize) -> f64 {
    let features = values.len() / rows;
    let mut means = vec![0.0; features];
    for row in values.chunks_exact(features.max(1)) {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += value / rows as f64;
        }
    }
    let deviations: Vec<f64> =
        values.iter().enumerate().map(|(index, value)| value - means[index % features]).collect();
    rms(&deviations)
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn spread_forgets_the_mean() {
        assert_eq!(spread(&[1.0, 7.0, 1.0, 7.0], 2), 0.0);
        assert_eq!(spread(&[1.0, 9.0, 3.0, 7.0], 2), 1.0);
        assert_eq!(spread(&[], 2), 0.0);
    }
}
