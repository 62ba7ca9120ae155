//! Gains of an activation: by how much it shrinks a Gaussian signal and a gradient, and which weight scale undoes it.

use serde::Serialize;

use super::activations::Activation;
use super::quadrature::GaussianRule;

/// Gaussian integrals of an activation at pre-activation variance q, and the gains that follow from them.
///
/// A gain g means Var W = g^2 / fan_in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gains {
    /// Variance q of the pre-activation.
    pub q: f64,
    /// E phi(u).
    pub mean: f64,
    /// E phi(u)^2.
    pub second_moment: f64,
    /// E phi'(u)^2: the factor of the mean squared gradient through the activation alone.
    pub slope_second_moment: f64,
    /// E phi'(u)^4, which sets the spread between units and between nets.
    pub slope_fourth_moment: f64,
}

impl Gains {
    /// The integrals at pre-activation variance `q` > 0, to about 1e-12.
    pub fn at(activation: Activation, q: f64) -> Self {
        let rule = GaussianRule::new(q, activation.kinks());
        Self {
            q,
            mean: rule.expect(|u| activation.value(u)),
            second_moment: rule.expect(|u| activation.value(u).powi(2)),
            slope_second_moment: rule.expect(|u| activation.derivative(u).powi(2)),
            slope_fourth_moment: rule.expect(|u| activation.derivative(u).powi(4)),
        }
    }

    /// Var phi(u).
    pub fn variance(&self) -> f64 {
        self.second_moment - self.mean * self.mean
    }

    /// The gain that keeps the pre-activation variance at q from layer to layer: sqrt(q / E phi^2), zero biases.
    pub fn forward(&self) -> f64 {
        (self.q / self.second_moment).sqrt()
    }

    /// The gain that keeps the RMS of the back-propagated gradient: 1 / sqrt(E phi'^2).
    pub fn backward(&self) -> f64 {
        1.0 / self.slope_second_moment.sqrt()
    }

    /// The gain of norm-free nets, whose weights are centred: sqrt(q / Var phi) (Brock et al. 2021).
    pub fn norm_free(&self) -> f64 {
        (self.q / self.variance()).sqrt()
    }

    /// Factor of the gradient's RMS per layer when the forward gain holds the signal, as layer norm does.
    pub fn gradient_rms_when_forward_is_held(&self) -> f64 {
        self.forward() / self.backward()
    }

    /// Factor of the mean squared gradient per layer of batch norm over an infinite batch, q E phi'^2 / Var phi
    /// (Yang et al. 2019); finite batches are in [`super::batch_norm`].
    pub fn batch_norm_factor(&self) -> f64 {
        self.q * self.slope_second_moment / self.variance()
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::SQRT_2;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::sampling::standard_normal;

    /// name, parameter, E phi, E phi^2, E phi'^2, forward, backward, norm-free, gradient RMS, batch-norm factor.
    type Row = (&'static str, Option<f64>, [f64; 8]);

    /// Quadrature in an independent program, printed to the digits shown; the hard-tanh row is the closed form
    /// E phi^2 = P - 2 pdf(1) + 2 cdf(-1), E phi'^2 = P with P = P(|Z| < 1).
    const TABLE: [Row; 12] = [
        ("tanh", None, [0.0, 0.39429449, 0.46440290, 1.59253742, 1.46741359, 1.59253742, 1.085268, 1.17780723]),
        ("sigmoid", None, [0.5, 0.29337904, 0.04483624, 1.84622855, 4.72264609, 4.80131337, 0.390931, 1.03359239]),
        ("relu", None, [0.39894228, 0.5, 0.5, SQRT_2, SQRT_2, 1.71285855, 1.0, 1.46694221]),
        ("leaky-relu", Some(0.01), [0.39495286, 0.50005, 0.50005, 1.41414286, 1.41414286, 1.70483163, 1.0, 1.45337076]),
        ("leaky-relu", Some(0.2), [0.31915382, 0.52, 0.52, 1.38675049, 1.38675049, 1.54646006, 1.0, 1.24360013]),
        ("elu", None, [0.16052057, 0.64494542, 0.66810200, 1.24519830, 1.22342856, 1.27084342, 1.017794, 1.07901346]),
        ("selu", None, [0.0, 1.0, 1.07157499, 1.0, 0.96602578, 1.0, 1.035169, 1.07157499]),
        ("gelu", None, [0.28209479, 0.42522148, 0.45585087, 1.53353044, 1.48111441, 1.70092624, 1.035390, 1.31884497]),
        ("silu", None, [0.20662096, 0.35577552, 0.37948235, 1.67653247, 1.62332026, 1.78718722, 1.032780, 1.21208111]),
        (
            "softplus",
            None,
            [0.80605918, 0.92124591, 0.29337904, 1.04186684, 1.84622855, 1.91912598, 0.564322, 1.08052805],
        ),
        ("softsign", None, [0.0, 0.18301402, 0.22767134, 2.33753336, 2.09578061, 2.33753336, 1.115352, 1.24401037]),
        ("hard-tanh", None, [0.0, 0.51605855, 0.68268949, 1.39203614, 1.21028706, 1.39203614, 1.150170, 1.32289154]),
    ];

    fn activation(name: &str, parameter: Option<f64>) -> Activation {
        let activation = Activation::named(name).unwrap();
        parameter.map_or(activation, |slope| activation.with_parameter("slope", slope).unwrap())
    }

    #[test]
    fn gains_of_every_activation() {
        for (name, parameter, row) in TABLE {
            let g = Gains::at(activation(name, parameter), 1.0);
            let got = [
                g.mean,
                g.second_moment,
                g.slope_second_moment,
                g.forward(),
                g.backward(),
                g.norm_free(),
                g.gradient_rms_when_forward_is_held(),
                g.batch_norm_factor(),
            ];
            for (column, (got, expected)) in got.iter().zip(row).enumerate() {
                // 1e-8, with the rounding of the printed digits on top; column 6 has six of them.
                let tolerance = if column == 6 { 5.1e-7 } else { 1.01e-8 };
                assert!((got - expected).abs() < tolerance, "{name} column {column}: {got} against {expected}");
            }
        }
    }

    #[test]
    fn closed_forms() {
        let pi = std::f64::consts::PI;
        let relu = Gains::at(Activation::relu(), 1.0);
        assert!((relu.batch_norm_factor() - pi / (pi - 1.0)).abs() < 1e-12);
        assert!((relu.mean - (2.0 * pi).sqrt().recip()).abs() < 1e-13);
        // E [u Phi(u)] = 1 / sqrt(4 pi); E softplus'^2 = E sigmoid^2.
        assert!((Gains::at(activation("gelu", None), 1.0).mean - (4.0 * pi).sqrt().recip()).abs() < 1e-13);
        let softplus = Gains::at(activation("softplus", None), 1.0).slope_second_moment;
        assert!((softplus - Gains::at(activation("sigmoid", None), 1.0).second_moment).abs() < 1e-13);
        let selu = Gains::at(activation("selu", None), 1.0);
        assert!(selu.mean.abs() < 1e-12 && (selu.second_moment - 1.0).abs() < 1e-12);
    }

    /// E e^(k u) = e^(k^2 q / 2).
    #[test]
    fn the_exponential_has_closed_forms() {
        for q in [0.1f64, 1.0, 3.0] {
            let gains = Gains::at(activation("exponential", None), q);
            for (found, log) in [
                (gains.mean, 0.5 * q),
                (gains.second_moment, 2.0 * q),
                (gains.slope_second_moment, 2.0 * q),
                (gains.slope_fourth_moment, 8.0 * q),
            ] {
                assert!((found.ln() - log).abs() < 1e-9, "q {q}: {found} against {}", log.exp());
            }
        }
    }

    #[test]
    fn selu_map_has_the_published_jacobian() {
        // Klambauer et al. 2017: d(mean, variance)/d(variance) at (0, 1) is (0.088834, 0.782648).
        let h = 1e-4;
        let at = |q: f64| Gains::at(activation("selu", None), q);
        let (low, high) = (at(1.0 - h), at(1.0 + h));
        assert!(((high.mean - low.mean) / (2.0 * h) - 0.088_834).abs() < 2e-6);
        assert!(((high.variance() - low.variance()) / (2.0 * h) - 0.782_648).abs() < 1e-6);
    }

    #[test]
    fn published_norm_free_constants_are_within_a_thousandth() {
        // Brock et al. 2021 sampled them; the exact values differ from the fourth digit on.
        for (name, published) in [
            ("elu", 1.2716004848480225),
            ("gelu", 1.7015043497085571),
            ("leaky-relu", 1.70590341091156),
            ("relu", 1.7139588594436646),
            ("selu", 1.0008515119552612),
            ("sigmoid", 4.803835391998291),
            ("silu", 1.7881293296813965),
            ("softsign", 2.338853120803833),
            ("softplus", 1.9203323125839233),
            ("tanh", 1.5939117670059204),
        ] {
            let error = published / Gains::at(activation(name, None), 1.0).norm_free() - 1.0;
            assert!(error > 2e-4 && error < 1e-3, "{name}: {error}");
        }
    }

    #[test]
    fn monte_carlo_agrees() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let draws: Vec<f64> = (0..100_000).map(|_| standard_normal(&mut rng)).collect();
        let n = draws.len() as f64;
        // A sample says nothing of the exponential's moments, which hang on its largest draws; they have closed forms.
        for activation in Activation::all().filter(|activation| activation.name() != "exponential") {
            for q in [0.3f64, 1.0, 5.0] {
                let gains = Gains::at(activation, q);
                let check = |what: &str, f: &dyn Fn(f64) -> f64, expected: f64| {
                    let values: Vec<f64> = draws.iter().map(|z| f(q.sqrt() * z)).collect();
                    let mean = values.iter().sum::<f64>() / n;
                    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
                    let error = (mean - expected).abs();
                    assert!(
                        error <= 5.0 * (variance / n).sqrt() + 1e-12,
                        "{activation} q {q} {what}: {mean}, {expected}"
                    );
                };
                check("E phi", &|u| activation.value(u), gains.mean);
                check("E phi^2", &|u| activation.value(u).powi(2), gains.second_moment);
                check("E phi'^2", &|u| activation.derivative(u).powi(2), gains.slope_second_moment);
                check("E phi'^4", &|u| activation.derivative(u).powi(4), gains.slope_fourth_moment);
            }
        }
    }
}
