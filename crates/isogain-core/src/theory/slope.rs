//! Is this slope real, or what random weights do now and then? A test of the gradient's change through a chain of ReLU-like
//! layers against healthy He initialisation, with the false-alarm rate that it claims.
//!
//! The increments of ln|delta_l|^2 from layer to layer are independent, and their mean and variance at a given width are
//! known exactly ([`super::finite_width`]). Their sum is tested. A line fitted through the cumulated curve would have a
//! standard error that is too small by about the root of the depth: the curve is a random walk.

use std::f64::consts::FRAC_1_SQRT_2;

use super::activations::Activation;
use super::finite_width::{LogSquaredGain, layer};

/// The change of a gradient, compared with healthy networks of the same widths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlopeTest {
    /// What healthy networks change ln RMS by on average, nepers.
    pub mean: f64,
    /// Its standard deviation over networks, nepers.
    pub deviation: f64,
    /// Deviations from that mean; from the nearer end of what it may be, where there is a batch.
    pub z: f64,
    /// Probability of so large a |z| in a healthy network.
    pub p_value: f64,
}

impl SlopeTest {
    /// `log_gain` is ln(rms delta of the first layer / rms delta of the last), delta being dL/dz; `widths` are those of
    /// all layers from the first to the last, whose slopes are those of `activation`. `None` with fewer than two layers or
    /// a change that is not finite.
    ///
    /// With more than one sample the RMS is over them too. Samples share the weights, so the variance is at most that of
    /// one sample; the mean of the logarithm of an average lies between that of one sample and 0, and a change between
    /// the two counts as healthy. The test is then on the safe side.
    pub fn new(log_gain: f64, activation: Activation, widths: &[usize], samples: usize) -> Option<Self> {
        let [first, .., last] = *widths else { return None };
        let crossed = &widths[..widths.len() - 1];
        let law = LogSquaredGain::in_a_row(crossed.iter().map(|width| layer(activation, 1.0, *width)));
        // RMS is per unit: where widths differ, a kept length is another RMS.
        let shape = 0.5 * (last as f64 / first as f64).ln();
        let (mean, deviation) = (0.5 * law.mean, 0.5 * law.variance.sqrt());
        let observed = log_gain - shape;
        let nearest = if samples > 1 { observed.clamp(mean.min(0.0), mean.max(0.0)) } else { mean };
        let z = (observed - nearest) / deviation;
        let p_value = libm::erfc(z.abs() * FRAC_1_SQRT_2);
        z.is_finite().then_some(Self { mean: mean + shape, deviation, z, p_value })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::network::Linear;
    use crate::theory::initializers::Initializer;
    use crate::theory::sampling::standard_normal;

    /// ln(rms delta_1 / rms delta_L) of one random ReLU network under a random cotangent, over `samples` inputs.
    fn change(widths: &[usize], init: &str, samples: usize, rng: &mut ChaCha8Rng) -> f64 {
        let (init, relu) = (Initializer::named(init).unwrap(), Activation::relu());
        let weights: Vec<Vec<f64>> =
            widths.windows(2).map(|pair| Linear::new(pair[0], pair[1], init, relu).sample(1, rng).0).collect();
        let mut ends = [0.0; 2];
        for _ in 0..samples {
            // Pre-activations of the first layer, and then of all.
            let mut z: Vec<f64> = (0..widths[0]).map(|_| standard_normal(rng)).collect();
            let mut actives = Vec::new();
            for (weight, pair) in weights.iter().zip(widths.windows(2)) {
                actives.push(z.iter().map(|z| *z > 0.0).collect::<Vec<bool>>());
                let mut next = vec![0.0; pair[1]];
                for (x, row) in z.iter().zip(weight.chunks_exact(pair[1])) {
                    next.iter_mut().zip(row).for_each(|(next, w)| *next += x.max(0.0) * w);
                }
                z = next;
            }
            let mut delta: Vec<f64> = (0..widths[widths.len() - 1]).map(|_| standard_normal(rng)).collect();
            ends[1] += mean_square(&delta);
            for ((weight, pair), active) in weights.iter().zip(widths.windows(2)).zip(&actives).rev() {
                let rows = weight.chunks_exact(pair[1]).zip(active);
                let back = |(row, active): (&[f64], &bool)| {
                    let sum: f64 = row.iter().zip(&delta).map(|(w, g)| w * g).sum();
                    if *active { sum } else { 0.0 }
                };
                delta = rows.map(back).collect();
            }
            ends[0] += mean_square(&delta);
        }
        0.5 * (ends[0] / ends[1]).ln()
    }

    fn mean_square(values: &[f64]) -> f64 {
        values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64
    }

    fn alarms(widths: &[usize], init: &str, samples: usize, nets: usize) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let alarm = |_| {
            let log_gain = change(widths, init, samples, &mut rng);
            SlopeTest::new(log_gain, Activation::relu(), widths, samples).unwrap().p_value < 0.05
        };
        let count = (0..nets).map(alarm).filter(|alarm| *alarm).count();
        let rate = count as f64 / nets as f64;
        println!("{init}, {} layers, {samples} samples: {rate}", widths.len());
        rate
    }

    /// 2000 networks put the rate of a test at 5 % within 1 % in two standard errors.
    #[test]
    fn five_percent_of_healthy_networks_raise_an_alarm() {
        for widths in [&[24; 12][..], &[64; 20], &[40, 20, 30, 40, 25, 35, 20, 40]] {
            let rate = alarms(widths, "he-normal", 1, 2000);
            assert!((rate - 0.05).abs() <= 0.01, "{widths:?}: {rate}");
        }
    }

    /// Samples that share weights: on the safe side, and not useless.
    #[test]
    fn a_batch_raises_no_more() {
        let rate = alarms(&[24; 12], "he-normal", 16, 1000);
        assert!(rate <= 0.05, "{rate}");
    }

    #[test]
    fn ten_layers_of_xavier_are_noticed() {
        for samples in [1, 16] {
            let rate = alarms(&[32; 10], "glorot-normal", samples, 500);
            assert!(rate > 0.95, "{samples}: {rate}");
        }
    }

    #[test]
    fn numbers_by_hand() {
        // 20 crossed layers of 50: mean -1.035 / 2 and variance 2.163 / 4, of which T7 has the digits.
        let test = |log_gain: f64, samples| SlopeTest::new(log_gain, Activation::relu(), &[50; 21], samples).unwrap();
        let healthy = test(-0.5174, 1);
        assert!((healthy.mean + 0.51739).abs() < 1e-4 && (healthy.deviation - 0.73542).abs() < 1e-4, "{healthy:?}");
        assert!(healthy.z.abs() < 1e-3 && healthy.p_value > 0.999);
        let two = test(healthy.mean - 1.959_964 * healthy.deviation, 1);
        assert!((two.p_value - 0.05).abs() < 1e-6, "{two:?}");
        // Anything between the mean of one sample and 0 is healthy for a batch; beyond, the nearer end counts.
        assert_eq!((test(-0.3, 64).z, test(0.0, 64).p_value), (0.0, 1.0));
        assert!((test(0.5, 64).z - 0.5 / healthy.deviation).abs() < 1e-12);
        assert_eq!(SlopeTest::new(0.1, Activation::relu(), &[50], 1), None);
        assert_eq!(SlopeTest::new(f64::NAN, Activation::relu(), &[50, 50], 1), None);
    }
}
