//! Batch norm's factor on the gradient, for any batch size.
//!
//! In a plain net h = BN(W phi(h')), unit scale and no epsilon, of large width, every layer multiplies the mean
//! squared gradient by a number above 1 that only depends on phi and on the batch size B (Yang et al. 2019 for the
//! limit of large B). A layer's pre-activations of one unit over the batch are a direction u, uniform on the unit
//! sphere of the B - 1 dimensions that are left without the mean, times a length; normalised they are s = sqrt(B) u,
//! and with D = diag phi'(s), G = I - 11^T / B
//!
//! factor = B / (lambda (B - 3)) E tr(D G D (G - u u^T)) / (B - 1),  lambda = E phi(s_1)^2 - E phi(s_1) phi(s_2),
//!
//! where B - 3 comes from the mean of the inverse chi-square: it is infinite for B = 3. For B = 2 the normalised pair
//! is (1, -1) whatever comes in, and the gradient is exactly zero.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use super::activations::Activation;
use super::quadrature::{panels, sorted_ends};
use super::special::arc;

/// Factor of the mean squared gradient per layer of a plain net with batch norm before `activation`.
///
/// `batch` counts the values that share one mean: samples, times positions in a convolution. 0 for up to two,
/// infinite for three (the mean is; typical runs see large finite factors).
pub fn gradient_factor(activation: Activation, batch: usize) -> f64 {
    match batch {
        0..=2 => 0.0,
        3 => f64::INFINITY,
        _ if activation == Activation::linear() => linear(batch as f64),
        _ if activation == Activation::relu() => relu(batch as f64),
        _ => by_quadrature(activation, batch as f64),
    }
}

fn linear(b: f64) -> f64 {
    (b - 2.0) / (b - 3.0)
}

/// Two values of a batch have correlation -1 / (B - 1); the arc-cosine kernels at that angle give every moment.
fn relu(b: f64) -> f64 {
    let rho = -1.0 / (b - 1.0);
    let kernel = ((1.0 - rho * rho).sqrt() + rho * arc(rho)) / TAU;
    let both_positive = 0.25 + rho.asin() / TAU;
    let diagonal = (b - 1.0) * (0.5 * (1.0 - 1.0 / b) - 0.5 / b);
    let off_diagonal = (b - 1.0) * (both_positive / b + (1.0 - 1.0 / b) * kernel / (b - 1.0));
    b / ((0.5 - kernel) * (b - 3.0)) * (diagonal + off_diagonal) / (b - 1.0)
}

fn by_quadrature(activation: Activation, b: f64) -> f64 {
    let m = pair_moments(activation, b);
    let slopes = b * m.slope2;
    let centred = slopes - slopes / b;
    let mean_part = (slopes - (slopes + b * (b - 1.0) * m.slope_slope) / b) / b;
    let own_part = m.slope2_s2 - (m.slope2_s2 + (b - 1.0) * m.slope_s_slope_s) / b;
    let lambda = m.phi2 - m.phi_phi;
    b / (lambda * (b - 3.0)) * (centred - mean_part - own_part) / (b - 1.0)
}

/// Expectations over two values s_1, s_2 of one normalised batch.
#[derive(Default)]
struct PairMoments {
    phi2: f64,
    phi_phi: f64,
    slope2: f64,
    slope_slope: f64,
    slope2_s2: f64,
    slope_s_slope_s: f64,
}

/// (s_1, s_2) is sqrt(B - 1) times the projection of a uniform unit vector of B - 1 dimensions onto two unit vectors at
/// correlation -1 / (B - 1). The projection onto their plane has a uniform angle and a radius sin(psi) with density
/// (B - 3) sin(psi) cos(psi)^(B - 4), smooth down to B = 4.
fn pair_moments(activation: Activation, b: f64) -> PairMoments {
    let dimension = b - 1.0;
    let between = (-1.0 / dimension).acos();
    let kinks = activation.kinks();
    let mut moments = PairMoments::default();
    let mut radial_ends = vec![0.0, FRAC_PI_2];
    radial_ends.extend([0.5, 1.0, 1.7, 2.5, 3.5, 5.0, 7.0, 10.0].map(|x| x / dimension.sqrt()));
    radial_ends.extend(kinks.iter().map(|kink| (kink.abs() / dimension.sqrt()).min(1.0).asin()));
    for (psi, radial_weight) in panels(&sorted_ends(radial_ends, FRAC_PI_2)) {
        let radius = dimension.sqrt() * psi.sin();
        let density = (dimension - 2.0) * psi.sin() * psi.cos().powf(dimension - 3.0);
        if density == 0.0 {
            continue;
        }
        let mut angular_ends = vec![0.0, FRAC_PI_2, PI, PI + FRAC_PI_2, TAU];
        for kink in kinks.iter().filter(|kink| kink.abs() < radius) {
            let half = (kink / radius).acos();
            angular_ends.extend([half, -half, between + half, between - half].map(|angle| angle.rem_euclid(TAU)));
        }
        for (theta, weight) in panels(&sorted_ends(angular_ends, TAU)) {
            let weight = weight / TAU * radial_weight * density;
            let (s1, s2) = (radius * theta.cos(), radius * (theta - between).cos());
            let (phi1, phi2) = (activation.value(s1), activation.value(s2));
            let (slope1, slope2) = (activation.derivative(s1), activation.derivative(s2));
            moments.phi2 += weight * phi1 * phi1;
            moments.phi_phi += weight * phi1 * phi2;
            moments.slope2 += weight * slope1 * slope1;
            moments.slope_slope += weight * slope1 * slope2;
            moments.slope2_s2 += weight * slope1 * slope1 * s1 * s1;
            moments.slope_s_slope_s += weight * slope1 * s1 * slope2 * s2;
        }
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::gains::Gains;

    fn named(name: &str) -> Activation {
        Activation::named(name).unwrap()
    }

    const BATCHES: [usize; 10] = [4, 5, 6, 8, 10, 16, 32, 64, 128, 256];

    #[test]
    fn closed_forms() {
        let linear = [2.0, 1.5, 1.33333, 1.2, 1.142857, 1.076923, 1.034483, 1.016393, 1.008, 1.003953];
        let relu = [3.084061, 2.273707, 2.003779, 1.788190, 1.696010, 1.589950, 1.521953, 1.493063, 1.479681, 1.473234];
        for (i, batch) in BATCHES.into_iter().enumerate() {
            assert!((gradient_factor(named("linear"), batch) - linear[i]).abs() < 4e-6, "{batch}");
            assert!((gradient_factor(named("relu"), batch) - relu[i]).abs() < 6e-7, "{batch}");
        }
    }

    #[test]
    fn quadrature_agrees_with_the_closed_forms() {
        for batch in [4.0, 5.0, 8.0, 33.0, 1000.0, 1e5] {
            assert!((by_quadrature(named("linear"), batch) / linear(batch) - 1.0).abs() < 1e-9, "{batch}");
            assert!((by_quadrature(named("relu"), batch) / relu(batch) - 1.0).abs() < 1e-9, "{batch}");
        }
    }

    #[test]
    fn quadrature_agrees_with_sampling() {
        // 40 000 to 400 000 sampled batches each in an independent program; the larger batches carry about 0.2 %.
        for (name, sampled) in [
            ("tanh", [2.12947, 1.64201, 1.48257, 1.35853, 1.30609, 1.24619, 1.20845, 1.19278, 1.18552, 1.18171]),
            ("gelu", [2.81733, 2.07460, 1.82610, 1.62361, 1.53573, 1.43468, 1.37042, 1.34440, 1.33021, 1.32398]),
            ("silu", [2.48911, 1.85634, 1.64499, 1.47316, 1.39826, 1.31186, 1.25677, 1.23416, 1.22195, 1.21664]),
        ] {
            for (batch, sampled) in BATCHES.into_iter().zip(sampled) {
                let factor = gradient_factor(named(name), batch);
                assert!((factor / sampled - 1.0).abs() < 3e-3, "{name} batch {batch}: {factor} against {sampled}");
            }
        }
    }

    #[test]
    fn large_batches_reach_the_limit_and_tiny_ones_are_degenerate() {
        for activation in Activation::all() {
            let limit = Gains::at(activation, 1.0).batch_norm_factor();
            let factor = gradient_factor(activation, 1_000_000);
            assert!((factor / limit - 1.0).abs() < 1e-5, "{activation}: {factor} against {limit}");
            assert_eq!(gradient_factor(activation, 2), 0.0);
            assert_eq!(gradient_factor(activation, 3), f64::INFINITY);
            assert!(gradient_factor(activation, 4) > gradient_factor(activation, 8), "{activation}");
        }
    }

    #[test]
    fn layers_until_the_gradient_has_grown_ten_thousandfold() {
        let layers = |factor: f64| 2.0 * 1e4f64.ln() / factor.ln();
        assert!((layers(gradient_factor(named("relu"), 1 << 30)) - 48.1).abs() < 0.05);
        assert!((layers(gradient_factor(named("relu"), 64)) - 46.0).abs() < 0.05);
        assert!((layers(gradient_factor(named("relu"), 8)) - 31.7).abs() < 0.05);
        assert!((layers(Gains::at(named("tanh"), 1.0).batch_norm_factor()) - 112.6).abs() < 0.05);
    }
}
