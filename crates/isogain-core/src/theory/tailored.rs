//! Tailored ReLU: the leaky slope that lets a plain net of a given depth keep its inputs apart.
//!
//! With the output scale sqrt(2 / (1 + a^2)) a leaky ReLU keeps the mean square, and per layer the correlation of two
//! inputs becomes C(c) = c + (1 - a)^2 / (pi (1 + a^2)) (sqrt(1 - c^2) - c acos c). The slope is chosen so that
//! orthogonal inputs come out with correlation eta after all layers (Zhang, Botev and Martens 2022).

use std::f64::consts::PI;

use super::activations::Activation;
use super::solve::root;

/// The correlation eta at the output that the paper's experiments use.
pub const DEFAULT_OUTPUT_CORRELATION: f64 = 0.9;

/// C(c): correlation of two inputs after a layer, from `correlation` before it.
pub fn correlation_after_layer(correlation: f64, slope: f64) -> f64 {
    let c = correlation.clamp(-1.0, 1.0);
    c + (1.0 - slope).powi(2) / (PI * (1.0 + slope * slope)) * ((1.0 - c * c).sqrt() - c * c.acos())
}

/// Correlation of orthogonal inputs after `layers` layers.
pub fn correlation_after(layers: usize, slope: f64) -> f64 {
    (0..layers).fold(0.0, |c, _| correlation_after_layer(c, slope))
}

/// The slope in [0, 1) with which orthogonal inputs have correlation `eta` in (0, 1) after `layers` layers.
///
/// 0 (a plain ReLU) where the net is shallow enough to stay below `eta` anyway.
pub fn slope(layers: usize, eta: f64) -> f64 {
    slope_for(|slope| correlation_after(layers, slope), eta)
}

/// The slope for any network, given how strongly its most correlating path maps orthogonal inputs together.
fn slope_for(output_correlation: impl Fn(f64) -> f64, eta: f64) -> f64 {
    if output_correlation(0.0) <= eta {
        return 0.0;
    }
    root(|slope| output_correlation(slope) - eta, 0.0, 1.0).unwrap_or(1.0)
}

/// The tailored activation for a plain net of `layers` hidden layers at the default eta.
pub fn activation(layers: usize) -> Activation {
    Activation::tailored_relu(slope(layers, DEFAULT_OUTPUT_CORRELATION))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::correlation::Kernel;
    use crate::theory::gains::Gains;

    #[test]
    fn slopes_of_plain_nets() {
        for (layers, expected) in
            [(20, 0.18138028), (50, 0.43052295), (101, 0.57220841), (152, 0.63965940), (200, 0.67959964)]
        {
            assert!((slope(layers, 0.9) - expected).abs() < 1e-8, "{layers}: {}", slope(layers, 0.9));
        }
        for (layers, eta, expected) in [(10, 0.75, 0.21832303), (1000, 0.5, 0.92968768), (50, 0.95, 0.30829582)] {
            assert!((slope(layers, eta) - expected).abs() < 1e-8, "{layers} {eta}");
        }
        assert_eq!(slope(10, 0.9), 0.0);
        let default = Activation::named("tailored-relu").unwrap().parameter().unwrap().1;
        assert!((slope(30, 0.9) - default).abs() < 1e-6, "{}", slope(30, 0.9));
    }

    #[test]
    fn slope_of_the_authors_residual_test_network() {
        // Groups of 3, 4, 23 and 3 blocks of three layers, shortcut weight 0.6, the first shortcut of a group with a
        // layer of its own; a target of 0.75. The authors' test expects 0.6291800290346146 and the scale
        // 1.196996549778802.
        let output = |slope: f64| {
            let layer = |c: f64| correlation_after_layer(c, slope);
            let mut c = 0.0;
            for blocks in [3, 4, 23, 3] {
                for block in 0..blocks {
                    let shortcut = if block == 0 { layer(c) } else { c };
                    c = 0.36 * shortcut + 0.64 * layer(layer(layer(c)));
                }
            }
            layer(c).max(layer(layer(layer(0.0))))
        };
        let slope = slope_for(output, 0.75);
        assert!((slope - 0.629_180_029_034_614_6).abs() < 1e-8, "{slope}");
        let scale = Activation::tailored_relu(slope).value(1.0);
        assert!((scale - 1.196_996_549_778_802).abs() < 1e-8, "{scale}");
    }

    #[test]
    fn the_map_is_the_kernel_of_the_activation() {
        for slope in [0.0, 0.3, 0.9] {
            let activation = Activation::tailored_relu(slope);
            assert!((Gains::at(activation, 1.7).forward() - 1.0).abs() < 1e-12);
            let kernel = Kernel::new(activation, 1.0);
            for c in [-0.8, 0.0, 0.5, 0.99] {
                assert!((kernel.value(c) - correlation_after_layer(c, slope)).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn plain_relu_collapses_like_one_over_depth_squared() {
        for (layers, expected) in [(1, PI.recip()), (10, 0.8715355160), (100, 0.9964231467)] {
            assert!((correlation_after(layers, 0.0) - expected).abs() < 1e-9);
        }
    }
}
