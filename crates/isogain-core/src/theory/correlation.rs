//! The correlation map: how similar two inputs still are one layer on.
//!
//! C(c) = (sw2 E phi(u) phi(v) + sb2) / q for u, v of variance q and correlation c (Poole et al. 2016). Closed form
//! for homogeneous phi (Cho and Saul 2009); else the Hermite series sum a_k^2 c^k, and two-dimensional quadrature
//! where that series is too slow: kinked phi near c = 1.

use std::f64::consts::FRAC_2_PI;

use super::activations::Activation;
use super::quadrature::{GaussianRule, bivariate_expectation};
use super::solve::root;

/// Terms of the Hermite series.
const TERMS: usize = 600;

/// Share of E phi^2 that the cut-off part of the series may hold before quadrature takes over.
const SERIES_TOLERANCE: f64 = 1e-12;

/// E phi(u) phi(v) as a function of the correlation, for u and v of one variance q.
#[derive(Debug, Clone)]
pub struct Kernel {
    activation: Activation,
    q: f64,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// phi(u) = odd u + even |u|.
    Homogeneous { odd: f64, even: f64 },
    /// Squared Hermite coefficients, and what is missing of their sum.
    Series { squares: Vec<f64>, missing: f64 },
}

impl Kernel {
    /// The kernel of `activation` at pre-activation variance `q` > 0.
    pub fn new(activation: Activation, q: f64) -> Self {
        let form = match activation.slopes() {
            Some((below, above)) => Form::Homogeneous { odd: 0.5 * (above + below), even: 0.5 * (above - below) },
            None => series(activation, q),
        };
        Self { activation, q, form }
    }

    /// E phi(u) phi(v) at correlation `c` in [-1, 1].
    pub fn value(&self, c: f64) -> f64 {
        match &self.form {
            Form::Homogeneous { odd, even } => {
                let folded = FRAC_2_PI * ((1.0 - c * c).max(0.0).sqrt() + c * c.clamp(-1.0, 1.0).asin());
                self.q * (odd * odd * c + even * even * folded)
            }
            Form::Series { squares, missing } if self.series_reaches(*missing, c) => {
                squares.iter().rev().fold(0.0, |sum, square| sum * c + square)
            }
            Form::Series { .. } => {
                bivariate_expectation(self.q, c, self.activation.kinks(), |u| self.activation.value(u))
            }
        }
    }

    /// d/dc E phi(u) phi(v) = q E phi'(u) phi'(v) at correlation `c` in [-1, 1].
    pub fn slope(&self, c: f64) -> f64 {
        match &self.form {
            Form::Homogeneous { odd, even } => {
                self.q * (odd * odd + even * even * FRAC_2_PI * c.clamp(-1.0, 1.0).asin())
            }
            Form::Series { squares, missing } if self.series_reaches(TERMS as f64 * missing, c) => {
                let terms = squares.iter().enumerate().skip(1).rev();
                terms.fold(0.0, |sum, (k, square)| sum * c + k as f64 * square)
            }
            Form::Series { .. } => {
                let slope = |u| self.activation.derivative(u);
                self.q * bivariate_expectation(self.q, c, self.activation.kinks(), slope)
            }
        }
    }

    fn series_reaches(&self, missing: f64, c: f64) -> bool {
        missing * c.abs().powi(TERMS as i32) < SERIES_TOLERANCE
    }
}

fn series(activation: Activation, q: f64) -> Form {
    let rule = GaussianRule::new(q, activation.kinks());
    let scale = q.sqrt();
    let mut squares = vec![0.0; TERMS];
    // Columns: z, weight x phi, and the normalised Hermite polynomials of the last two degrees.
    let mut points: Vec<(f64, f64, f64, f64)> =
        rule.nodes().iter().map(|&(z, weight)| (z, weight * activation.value(scale * z), 0.0, 1.0)).collect();
    for (k, square) in squares.iter_mut().enumerate() {
        let coefficient: f64 = points.iter().map(|(_, weighted, _, hermite)| weighted * hermite).sum();
        *square = coefficient * coefficient;
        let (next, last) = ((k as f64 + 1.0).sqrt(), (k as f64).sqrt());
        for (z, _, before, current) in &mut points {
            (*before, *current) = (*current, (*z * *current - last * *before) / next);
        }
    }
    let total = rule.expect(|u| activation.value(u).powi(2));
    let missing = ((total - squares.iter().sum::<f64>()) / total).max(0.0);
    Form::Series { squares, missing }
}

/// The fixed point c* that correlations approach, with the slope C'(c*) of the approach.
///
/// `q` must be the fixed point of the length map, q = sw2 E phi^2 + sb2, and `chi` = C'(1). In the ordered phase
/// (chi <= 1) all inputs become one: c* = 1.
pub(super) fn fixed_point(
    activation: Activation,
    q: f64,
    weight_variance: f64,
    bias_variance: f64,
    chi: f64,
) -> (f64, f64) {
    if chi <= 1.0 {
        return (1.0, chi);
    }
    let kernel = Kernel::new(activation, q);
    let map = |c: f64| (weight_variance * kernel.value(c) + bias_variance) / q;
    let slope = |c: f64| weight_variance * kernel.slope(c) / q;
    if map(0.0) < 1e-14 {
        return (0.0, slope(0.0));
    }
    // The map is convex, above the diagonal at 0 and below it just left of 1, where its slope is chi > 1.
    let c = [1e-2, 1e-4, 1e-6].iter().find_map(|gap| root(|c| map(c) - c, 0.0, 1.0 - gap)).unwrap_or(1.0);
    (c, if c < 1.0 { slope(c) } else { chi })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_the_two_dimensional_integral() {
        for activation in Activation::all() {
            // Of e^u at q = 12 the quadrature below sees all but what lies beyond 9 deviations, and most of it does.
            let variances: &[f64] = if activation.name() == "exponential" { &[0.2, 1.0] } else { &[0.2, 1.0, 12.0] };
            for &q in variances {
                let kernel = Kernel::new(activation, q);
                for c in [-0.7, 0.0, 0.3, 0.9, 0.97] {
                    let exact = bivariate_expectation(q, c, activation.kinks(), |u| activation.value(u));
                    let slope = q * bivariate_expectation(q, c, activation.kinks(), |u| activation.derivative(u));
                    assert!((kernel.value(c) - exact).abs() < 1e-9 * q, "{activation} q {q} c {c}");
                    assert!((kernel.slope(c) - slope).abs() < 1e-8 * q, "{activation} q {q} c {c}");
                }
            }
        }
    }

    /// E e^u e^v = e^(q (1 + c)), by its Hermite series.
    #[test]
    fn the_exponential_has_a_closed_form() {
        let exponential = Activation::named("exponential").unwrap();
        for q in [0.2, 1.0, 3.0, 12.0] {
            let kernel = Kernel::new(exponential, q);
            for c in [-0.9, 0.0, 0.5, 1.0_f64] {
                let exact = (q * (1.0 + c)).exp();
                // Below c = 0 the terms alternate; rounding is relative to their largest.
                let terms = (q * (1.0 + c.abs())).exp();
                assert!((kernel.value(c) - exact).abs() < 1e-14 * terms + 1e-9 * exact, "q {q} c {c}");
                assert!((kernel.slope(c) - q * exact).abs() < q * (1e-14 * terms + 1e-8 * exact), "q {q} c {c}");
            }
        }
    }

    #[test]
    fn ends_of_the_map() {
        for activation in Activation::all() {
            let rule = GaussianRule::new(1.0, activation.kinks());
            let kernel = Kernel::new(activation, 1.0);
            let mean = rule.expect(|u| activation.value(u));
            assert!((kernel.value(0.0) - mean * mean).abs() < 1e-11, "{activation}");
            let second = rule.expect(|u| activation.value(u).powi(2));
            assert!((kernel.value(1.0) - second).abs() < 1e-10, "{activation}");
            let slope = rule.expect(|u| activation.derivative(u).powi(2));
            assert!((kernel.slope(1.0) - slope).abs() < 1e-10, "{activation}");
        }
    }
}
