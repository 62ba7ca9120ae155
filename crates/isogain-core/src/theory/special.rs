//! Special functions that the formulas need: the normal distribution, and logarithmic moments of a chi-square.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// 1 / sqrt(2 pi).
const FRAC_1_SQRT_2PI: f64 = 0.398_942_280_401_432_7;

/// Density of the standard normal distribution.
pub(crate) fn normal_pdf(x: f64) -> f64 {
    FRAC_1_SQRT_2PI * (-0.5 * x * x).exp()
}

/// Distribution function of the standard normal distribution, with full relative precision in the lower tail.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// psi(x), the derivative of ln Gamma, for x > 0: upward recurrence, then the asymptotic series (DLMF 5.11.2).
pub(crate) fn digamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 12.0 {
        shift -= 1.0 / x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = y
        * (1.0 / 12.0
            - y * (1.0 / 120.0 - y * (1.0 / 252.0 - y * (1.0 / 240.0 - y * (1.0 / 132.0 - y * 691.0 / 32760.0)))));
    shift + x.ln() - 0.5 / x - series
}

/// psi'(x) for x > 0, by the same two steps.
pub(crate) fn trigamma(mut x: f64) -> f64 {
    let mut shift = 0.0;
    while x < 12.0 {
        shift += 1.0 / (x * x);
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = y
        * (1.0 / 6.0 - y * (1.0 / 30.0 - y * (1.0 / 42.0 - y * (1.0 / 30.0 - y * (5.0 / 66.0 - y * 691.0 / 2730.0)))));
    shift + 1.0 / x + 0.5 * y + series / x
}

/// ln of the binomial probability of k heads in n throws of a fair coin.
pub(crate) fn ln_fair_binomial(n: usize, k: usize) -> f64 {
    let (n, k) = (n as f64, k as f64);
    libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0) - n * 2f64.ln()
}

/// Mean arc of a random direction, used by the arc-cosine kernels: pi - acos(c), kept in [0, pi].
pub(crate) fn arc(c: f64) -> f64 {
    PI - c.clamp(-1.0, 1.0).acos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        assert!((digamma(1.0) + EULER).abs() < 1e-14);
        assert!((digamma(0.5) + EULER + 2.0 * 2f64.ln()).abs() < 1e-13);
        assert!((trigamma(1.0) - PI * PI / 6.0).abs() < 1e-14);
        assert!((trigamma(0.5) - PI * PI / 2.0).abs() < 1e-13);
        assert!((digamma(40.0) - digamma(39.0) - 1.0 / 39.0).abs() < 1e-14);
        assert!((normal_cdf(1.959_963_984_540_054) - 0.975).abs() < 1e-15);
        let total: f64 = (0..=50).map(|k| ln_fair_binomial(50, k).exp()).sum();
        assert!((total - 1.0).abs() < 1e-12);
    }
}
