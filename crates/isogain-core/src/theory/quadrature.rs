//! Expectations over one or two Gaussian variables.
//!
//! Gauss-Legendre on panels that end at the kinks of the integrand. Gauss-Hermite, the usual choice, has nodes on
//! both sides of a kink and keeps an error of 1e-4 for ReLU at 200 nodes.

use std::sync::OnceLock;

use super::special::normal_pdf;

/// Nodes of each panel.
const PANEL_NODES: usize = 40;

/// Ends of the panels in units of the standard deviation, mirrored; beyond the last the density is below 1e-40.
const PANEL_ENDS: [f64; 11] = [0.02, 0.1, 0.3, 0.7, 1.2, 2.0, 3.0, 4.5, 6.5, 9.0, 13.5];

/// Ends of the panels of each of the two axes of a bivariate expectation, where the nodes multiply.
const COARSE_PANEL_ENDS: [f64; 7] = [0.4, 1.0, 1.8, 2.8, 4.2, 6.2, 9.0];

/// Further ends in units of the argument of phi, for a wide Gaussian that makes phi look like a step.
const ARGUMENT_ENDS: [f64; 4] = [1.0, 3.0, 9.0, 27.0];

/// Gauss-Legendre nodes and weights on [-1, 1].
fn legendre() -> &'static [(f64, f64)] {
    static RULE: OnceLock<Vec<(f64, f64)>> = OnceLock::new();
    RULE.get_or_init(|| {
        let n = PANEL_NODES as f64;
        (0..PANEL_NODES)
            .map(|i| {
                // Tricomi's first guess, then Newton on the Legendre polynomial.
                let mut x = -(std::f64::consts::PI * (i as f64 + 0.75) / (n + 0.5)).cos();
                let mut slope = 1.0;
                for _ in 0..8 {
                    let (mut previous, mut current) = (1.0, x);
                    for k in 2..=PANEL_NODES {
                        let k = k as f64;
                        (previous, current) = (current, ((2.0 * k - 1.0) * x * current - (k - 1.0) * previous) / k);
                    }
                    slope = n * (x * current - previous) / (x * x - 1.0);
                    x -= current / slope;
                }
                (x, 2.0 / ((1.0 - x * x) * slope * slope))
            })
            .collect()
    })
}

/// Nodes and weights of a composite rule with panels between neighbours of `ends`, which must ascend.
pub(crate) fn panels(ends: &[f64]) -> impl Iterator<Item = (f64, f64)> + '_ {
    ends.windows(2).flat_map(|ends| {
        let (half, middle) = (0.5 * (ends[1] - ends[0]), 0.5 * (ends[0] + ends[1]));
        legendre().iter().map(move |(x, weight)| (middle + half * x, half * weight))
    })
}

/// Sorts and removes what is outside of [-limit, limit] or doubled, so that [`panels`] can use it.
pub(crate) fn sorted_ends(mut ends: Vec<f64>, limit: f64) -> Vec<f64> {
    ends.retain(|end| end.abs() <= limit);
    ends.sort_by(f64::total_cmp);
    ends.dedup_by(|a, b| (*a - *b).abs() < 1e-14);
    ends
}

/// A rule for Z ~ N(0, 1) under functions of u = sqrt(q) Z that have kinks at given u.
///
/// Built once for a variance and used for several expectations; error about 1e-13 of the integrand's size.
#[derive(Debug, Clone)]
pub struct GaussianRule {
    scale: f64,
    nodes: Vec<(f64, f64)>,
}

impl GaussianRule {
    /// The rule for variance `q` >= 0 and kinks of the integrand at the given values of u.
    pub fn new(q: f64, kinks: &[f64]) -> Self {
        let scale = q.sqrt();
        let ends = axis_ends(&PANEL_ENDS, scale, kinks.iter().map(|kink| kink / scale));
        let nodes = panels(&ends).map(|(z, weight)| (z, weight * normal_pdf(z))).collect();
        Self { scale, nodes }
    }

    /// E f(u).
    pub fn expect(&self, f: impl Fn(f64) -> f64) -> f64 {
        self.expect_with_standard(|u, _| f(u))
    }

    /// E f(u, Z) with Z = u / sqrt(q).
    pub fn expect_with_standard(&self, f: impl Fn(f64, f64) -> f64) -> f64 {
        self.nodes.iter().map(|(z, weight)| weight * f(self.scale * z, *z)).sum()
    }

    /// Whether next to nothing of E |f(u)| lies beyond the outermost nodes.
    pub(crate) fn covers(&self, f: impl Fn(f64) -> f64) -> bool {
        const NEGLIGIBLE: f64 = 1e-9;
        let end = PANEL_ENDS[PANEL_ENDS.len() - 1];
        let outermost = [-end, end].map(|z| f(self.scale * z).abs() * normal_pdf(z)).into_iter().fold(0.0, f64::max);
        let whole = self.expect(|u| f(u).abs());
        whole.is_finite() && outermost <= NEGLIGIBLE * whole
    }

    /// Nodes of Z with their weights, density included.
    pub(crate) fn nodes(&self) -> &[(f64, f64)] {
        &self.nodes
    }
}

/// E f(sqrt(q) Z), Z ~ N(0, 1), for f with kinks at the given arguments.
pub fn gaussian_expectation(q: f64, kinks: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    GaussianRule::new(q, kinks).expect(f)
}

/// E f(u) f(v) for Gaussians u, v of variance `q` and correlation `c` in [-1, 1], f with kinks at the given arguments.
pub fn bivariate_expectation(q: f64, c: f64, kinks: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let scale = q.sqrt();
    let rest = (1.0 - c * c).max(0.0).sqrt();
    if rest < 1e-7 {
        return gaussian_expectation(q, kinks, |u| f(u) * f(c.signum() * u));
    }
    // Seen from the first axis, a kink of f(v) is blurred over rest / |c| around the place where v passes it.
    let blur = rest / c.abs().max(1e-300);
    let outer_kinks = kinks.iter().flat_map(|kink| {
        let (own, crossed) = (kink / scale, kink / (scale * c));
        [own, crossed].into_iter().chain([-6.0, -2.5, -1.0, 1.0, 2.5, 6.0].map(|step| crossed + step * blur))
    });
    let outer_ends = axis_ends(&COARSE_PANEL_ENDS, scale, outer_kinks.filter(|end| end.is_finite()));
    panels(&outer_ends)
        .map(|(z, weight)| {
            let inner_kinks = kinks.iter().map(|kink| (kink / scale - c * z) / rest);
            let inner_ends = axis_ends(&COARSE_PANEL_ENDS, scale * rest, inner_kinks);
            let inner: f64 =
                panels(&inner_ends).map(|(y, weight)| weight * normal_pdf(y) * f(scale * (c * z + rest * y))).sum();
            weight * normal_pdf(z) * f(scale * z) * inner
        })
        .sum()
}

fn axis_ends(base: &[f64], scale: f64, kinks: impl Iterator<Item = f64>) -> Vec<f64> {
    let limit = base[base.len() - 1];
    let mut ends: Vec<f64> = base.iter().flat_map(|end| [-end, *end]).collect();
    ends.push(0.0);
    if scale > 1.0 {
        ends.extend(ARGUMENT_ENDS.iter().flat_map(|end| [-end / scale, end / scale]));
    }
    ends.extend(kinks.filter(|kink| kink.is_finite()));
    sorted_ends(ends, limit)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn moments_of_the_normal_distribution() {
        let rule = GaussianRule::new(2.5, &[]);
        for (power, moment) in [(0, 1.0), (1, 0.0), (2, 1.0), (4, 3.0), (6, 15.0), (8, 105.0)] {
            let expected = moment * 2.5f64.powf(f64::from(power) / 2.0);
            let error = (rule.expect(|u| u.powi(power)) - expected).abs();
            assert!(error < 1e-12 * expected.max(1.0), "moment {power}: {error}");
        }
        // E cos u = exp(-q / 2), here over 30 periods.
        assert!((gaussian_expectation(9.0, &[], |u| u.cos()) - (-4.5f64).exp()).abs() < 1e-13);
    }

    #[test]
    fn what_lies_beyond_the_last_node_is_noticed() {
        let covers = |q: f64| GaussianRule::new(q, &[]).covers(|u| (2.0 * u).exp());
        // E e^(2u) has its mass around Z = 2 sqrt q, 13.5 deviations at q = 46.
        assert!(covers(1.0) && covers(10.0) && !covers(46.0) && !covers(1e6));
        assert!(GaussianRule::new(1e6, &[]).covers(|u| u * u));
    }

    #[test]
    fn kinks_cost_no_precision() {
        // E (u - k)+ = s pdf(k / s) - k (1 - cdf(k / s)).
        for (q, kink) in [(1.0, 0.0), (1.0, 0.37), (4.0, -2.2), (1e-4, 0.013), (1e4, 1.0)] {
            let scale = f64::sqrt(q);
            let z = kink / scale;
            let exact = scale * normal_pdf(z) - kink * crate::theory::special::normal_cdf(-z);
            let value = gaussian_expectation(q, &[kink], |u| (u - kink).max(0.0));
            assert!((value - exact).abs() < 1e-12 * scale, "q {q}, kink {kink}: {value} against {exact}");
        }
    }

    #[test]
    fn a_wide_gaussian_resolves_a_narrow_step() {
        // E tanh^2 u -> 1 - 2 / sqrt(2 pi q) for large q, since the integral of sech^2 is 2; next order q^-3/2.
        for q in [1e4, 1e6, 1e8] {
            let value = 1.0 - gaussian_expectation(q, &[], |u| u.tanh().powi(2));
            let leading = 2.0 / (2.0 * PI * q).sqrt();
            assert!((value / leading - 1.0).abs() < 1.0 / q, "q {q}: {value} against {leading}");
        }
    }

    #[test]
    fn two_variables_give_the_arc_cosine_kernel() {
        // Cho and Saul 2009: E u+ v+ = (sqrt(1 - c^2) + c (pi - acos c)) / (2 pi) for unit variance.
        for c in [-0.99, -0.6, -0.1, 0.0, 0.3, 0.8, 0.97, 0.9999, 1.0] {
            let exact = ((1.0f64 - c * c).sqrt() + c * (PI - f64::acos(c))) / (2.0 * PI);
            let value = bivariate_expectation(3.0, c, &[0.0], |u| u.max(0.0)) / 3.0;
            assert!((value - exact).abs() < 1e-10, "c {c}: {value} against {exact}");
        }
    }

    #[test]
    fn two_variables_give_the_covariance_of_steps() {
        // P(u > 0, v > 0) = 1/4 + asin(c) / (2 pi), a kernel with jumps.
        for c in [-0.9, 0.2, 0.95] {
            let exact = 0.25 + f64::asin(c) / (2.0 * PI);
            let value = bivariate_expectation(1.0, c, &[0.0], |u| if u > 0.0 { 1.0 } else { 0.0 });
            assert!((value - exact).abs() < 1e-10, "c {c}: {value} against {exact}");
        }
    }
}
