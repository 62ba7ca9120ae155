//! What finite width does: gradients of random nets scatter, and the typical one is smaller than the mean.
//!
//! In a ReLU net with He initialisation and no biases the squared length of a signal, or of a gradient, is multiplied
//! at each layer by (2/n) chi2_k with k ~ Binomial(n, 1/2), independent of everything before: an exact law (Hanin and
//! Rolnick 2018; Hanin and Nica 2020). The logarithm is a random walk of drift about -5/(2n) and variance about 5/n
//! per layer, so the squared length is log-normal with its width set by the sum of 1/n.

use std::f64::consts::LN_2;

use serde::Serialize;

use super::activations::Activation;
use super::gains::Gains;
use super::special::{digamma, ln_fair_binomial, trigamma};

/// Mean and variance of the logarithm of a squared gain, in nepers; independent layers add up.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LogSquaredGain {
    /// Mean of ln(|after|^2 / |before|^2).
    pub mean: f64,
    /// Variance of the same.
    pub variance: f64,
}

impl LogSquaredGain {
    /// The law of independent layers in a row.
    pub fn in_a_row(layers: impl IntoIterator<Item = Self>) -> Self {
        layers.into_iter().fold(Self::default(), |sum, layer| Self {
            mean: sum.mean + layer.mean,
            variance: sum.variance + layer.variance,
        })
    }

    /// How many deviations an observed total ln(|after|^2 / |before|^2) lies from its mean.
    pub fn deviations(&self, observed: f64) -> f64 {
        (observed - self.mean) / self.variance.sqrt()
    }
}

/// The law of one ReLU layer of `width` units with Var W = 2 / fan_in, given that the layer is not all zero: exact.
pub fn relu_layer(width: usize) -> LogSquaredGain {
    // Beyond 12 deviations of the binomial its probabilities are below 1e-30.
    let reach = (6.0 * (width as f64).sqrt()).ceil() as usize + 1;
    let active = (width / 2).saturating_sub(reach).max(1)..=(width / 2 + reach).min(width);
    let scale = LN_2 + (2.0 / width as f64).ln();
    let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
    for k in active {
        let probability = ln_fair_binomial(width, k).exp();
        let half = k as f64 / 2.0;
        let mean = scale + digamma(half);
        mass += probability;
        first += probability * mean;
        second += probability * (trigamma(half) + mean * mean);
    }
    let mean = first / mass;
    LogSquaredGain { mean, variance: second / mass - mean * mean }
}

/// The law of one linear layer of `width` units with Var W = 1 / fan_in: ln of chi2_n / n, exact.
pub fn linear_layer(width: usize) -> LogSquaredGain {
    let n = width as f64;
    LogSquaredGain { mean: digamma(n / 2.0) + (2.0 / n).ln(), variance: trigamma(n / 2.0) }
}

/// kappa: the relative variance that one layer of `width` units adds to a squared gain of mean 1.
///
/// (3 m4 / m2^2 - 1) / n with the moments m2, m4 of the slopes at pre-activation variance `q`: 5/n for ReLU, 2/n for a
/// linear layer. Exact for homogeneous activations, the gradient's leading order for others.
pub fn excess(activation: Activation, q: f64, width: usize) -> f64 {
    let gains = Gains::at(activation, q);
    (3.0 * gains.slope_fourth_moment / gains.slope_second_moment.powi(2) - 1.0) / width as f64
}

/// The law of one layer of `width` units at pre-activation variance `q`, its mean squared gain held at 1.
///
/// Exact for ReLU and linear layers; for others the log-normal law with the variance [`excess`].
pub fn layer(activation: Activation, q: f64, width: usize) -> LogSquaredGain {
    if activation == Activation::relu() {
        relu_layer(width)
    } else if activation == Activation::linear() {
        linear_layer(width)
    } else {
        let variance = excess(activation, q, width).ln_1p();
        LogSquaredGain { mean: -0.5 * variance, variance }
    }
}

/// E|x_L|^4 / (E|x_L|^2)^2 of a He-initialised ReLU net: the product of 1 + 5/n over its layers, exact.
pub fn relu_moment_ratio(widths: &[usize]) -> f64 {
    widths.iter().map(|n| 1.0 + 5.0 / *n as f64).product()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::sampling::standard_normal;

    #[test]
    fn exact_moments_of_a_relu_layer() {
        for (width, mean, variance) in [
            (5, -0.62339286, 2.36226876),
            (10, -0.30746101, 0.86673425),
            (20, -0.13718672, 0.31175808),
            (50, -0.05173878, 0.10816813),
            (100, -0.02542089, 0.05193999),
            (256, -0.00982866, 0.01981871),
            (512, -0.00489848, 0.00983684),
        ] {
            let law = relu_layer(width);
            assert!((law.mean - mean).abs() < 1e-8, "{width}: {law:?}");
            assert!((law.variance - variance).abs() < 1e-8, "{width}: {law:?}");
        }
    }

    #[test]
    fn wide_layers_reach_the_leading_order() {
        for width in [1_000, 10_000, 100_000] {
            let n = width as f64;
            let relu = relu_layer(width);
            assert!((relu.mean * n + 2.5).abs() < 20.0 / n && (relu.variance * n - 5.0).abs() < 60.0 / n, "{relu:?}");
            let linear = linear_layer(width);
            assert!((linear.mean * n + 1.0).abs() < 2.0 / n && (linear.variance * n - 2.0).abs() < 4.0 / n);
            assert!((excess(Activation::relu(), 1.0, width) * n - 5.0).abs() < 1e-9);
            assert!((excess(Activation::linear(), 1.0, width) * n - 2.0).abs() < 1e-9);
        }
    }

    #[test]
    fn leaky_slope_in_closed_form() {
        for slope in [0.0f64, 0.01, 0.3, 1.0] {
            let leaky = Activation::named("leaky-relu").unwrap().with_parameter("slope", slope).unwrap();
            let ratio = 2.0 * (1.0 + slope.powi(4)) / (1.0 + slope * slope).powi(2);
            assert!((excess(leaky, 2.0, 40) - (3.0 * ratio - 1.0) / 40.0).abs() < 1e-12);
        }
    }

    /// ln|x_L|^2 forward and ln|J^T v|^2 backward of one net with every matrix drawn.
    fn one_net(width: usize, layers: usize, rng: &mut ChaCha8Rng) -> (f64, f64) {
        let scale = (2.0 / width as f64).sqrt();
        let mut x = vec![(width as f64).sqrt().recip(); width];
        let mut tape = Vec::new();
        for _ in 0..layers {
            let w: Vec<f64> = (0..width * width).map(|_| scale * standard_normal(rng)).collect();
            x = w.chunks(width).map(|row| row.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>().max(0.0)).collect();
            tape.push((w, x.clone()));
        }
        let mut g: Vec<f64> = (0..width).map(|_| standard_normal(rng)).collect();
        let start: f64 = g.iter().map(|g| g * g).sum();
        for (w, x) in tape.iter().rev() {
            let mut before = vec![0.0; width];
            for (row, g) in w.chunks(width).zip(g.iter().zip(x).map(|(g, x)| if *x > 0.0 { *g } else { 0.0 })) {
                before.iter_mut().zip(row).for_each(|(b, w)| *b += g * w);
            }
            g = before;
        }
        let squared = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
        (squared(&x).ln(), (squared(&g) / start).ln())
    }

    #[test]
    fn random_nets_follow_the_law() {
        let (width, layers, nets) = (24, 6, 4000);
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let runs: Vec<(f64, f64)> = (0..nets).map(|_| one_net(width, layers, &mut rng)).collect();
        let law = LogSquaredGain::in_a_row((0..layers).map(|_| relu_layer(width)));
        let n = f64::from(nets);
        for logs in [runs.iter().map(|r| r.0).collect::<Vec<_>>(), runs.iter().map(|r| r.1).collect()] {
            let mean = logs.iter().sum::<f64>() / n;
            let variance = logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n;
            assert!((mean - law.mean).abs() < 4.0 * (law.variance / n).sqrt(), "{mean} against {law:?}");
            assert!((variance / law.variance - 1.0).abs() < 0.12, "{variance} against {law:?}");
        }
        let squares: Vec<f64> = runs.iter().map(|r| r.0.exp()).collect();
        let mean = squares.iter().sum::<f64>() / n;
        let ratio = squares.iter().map(|s| s * s).sum::<f64>() / n / (mean * mean);
        let exact = relu_moment_ratio(&[width; 6]);
        assert!((ratio / exact - 1.0).abs() < 0.25, "{ratio} against {exact}");
    }

    #[test]
    fn the_law_of_twenty_layers_of_fifty() {
        let law = LogSquaredGain::in_a_row((0..20).map(|_| relu_layer(50)));
        assert!((law.mean + 1.035).abs() < 5e-4 && (law.variance - 2.163).abs() < 5e-4);
        assert!((relu_moment_ratio(&[50; 20]) - 6.727).abs() < 1e-3);
    }
}
