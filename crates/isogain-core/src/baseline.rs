//! The loss of a network that knows how often each class occurs and nothing else: what every loss is compared with.

use crate::network::Loss;

/// Of classes that occur so often: their entropy in nats for cross-entropy; for losses that compare numbers, the mean
/// over classes of the variance, or the entropy in nats, of each against the others.
pub fn of_classes(loss: Loss, counts: &[usize]) -> f64 {
    let total = counts.iter().sum::<usize>() as f64;
    let entropy = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    let each = |p: f64| match loss {
        Loss::CrossEntropy | Loss::Other => entropy(p),
        Loss::MeanSquaredError => p * (1.0 - p) / counts.len() as f64,
        Loss::BinaryCrossEntropy => (entropy(p) + entropy(1.0 - p)) / counts.len() as f64,
    };
    counts.iter().map(|&count| each(count as f64 / total)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_known_frequencies() {
        let ten = [7; 10];
        assert!((of_classes(Loss::CrossEntropy, &ten) - 10f64.ln()).abs() < 1e-12);
        assert!((of_classes(Loss::MeanSquaredError, &ten) - 0.09).abs() < 1e-12);
        // -0.1 ln 0.1 - 0.9 ln 0.9
        assert!((of_classes(Loss::BinaryCrossEntropy, &ten) - 0.325_082_973_391_448_2).abs() < 1e-12);
        // Two classes and one output, or two: the same.
        assert_eq!(of_classes(Loss::BinaryCrossEntropy, &[1, 1]), 2f64.ln());
        assert_eq!(of_classes(Loss::CrossEntropy, &[3, 0]), 0.0);
    }
}
