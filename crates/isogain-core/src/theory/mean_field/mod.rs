//! Mean-field theory of a plain net: what depth does to the size of a signal, to the similarity of two signals and to
//! the gradient (Poole et al. 2016, Schoenholz et al. 2017).

use serde::Serialize;

use super::activations::Activation;
use super::correlation;
use super::quadrature::GaussianRule;
use super::solve::root;

/// A layer that repeats: z_l = W_l phi(z_{l-1}) + b_l.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanField {
    /// phi.
    pub activation: Activation,
    /// sw2 = fan_in Var W.
    pub weight_variance: f64,
    /// sb2 = Var b.
    pub bias_variance: f64,
}

/// Where the pre-activation variance ends up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FixedPoint {
    /// It returns to q from both sides, exponentially fast.
    Stable {
        /// The variance.
        q: f64,
    },
    /// It stays at q or creeps towards it by a power of the depth: V'(q) = 1.
    Marginal {
        /// The variance; 0 when the signal dies slowly.
        q: f64,
    },
    /// It grows without bound.
    Diverges,
    /// It shrinks to nothing, exponentially fast.
    Vanishes,
}

/// How gradients and differences between inputs behave at depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// chi < 1: inputs become one, gradients vanish.
    Ordered,
    /// chi = 1.
    Critical,
    /// chi > 1: inputs drift apart, gradients explode.
    Chaotic,
}

/// What mean-field theory says about the layer at depth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Propagation {
    /// Fate of the pre-activation variance.
    pub fixed_point: FixedPoint,
    /// Factor of the mean squared gradient per layer, at the fixed point (or in the limit it runs to).
    pub chi: f64,
    /// Phase by chi.
    pub phase: Phase,
    /// c*: the correlation that any two inputs approach; `None` without a stable variance.
    pub correlation: Option<f64>,
    /// xi_c in layers, the e-folding depth of that approach; `None` where it is not exponential.
    pub correlation_depth: Option<f64>,
    /// xi_q in layers, the e-folding depth of the variance's approach; `None` where it is not exponential.
    pub length_depth: Option<f64>,
}

/// |chi - 1| below which a layer counts as critical: over 1000 layers the gradient then changes by less than 0.1 %.
const CRITICAL: f64 = 1e-6;

/// Variances below and above these count as zero and infinite.
const VANISHED: f64 = 1e-12;
const DIVERGED: f64 = 1e12;

/// Stands in for the limit q -> 0, so far down that corrections of order sqrt q are below [`CRITICAL`].
const NEXT_TO_ZERO: f64 = 1e-26;

impl MeanField {
    /// V(q) = sw2 E phi^2 + sb2: the next layer's pre-activation variance.
    pub fn length_map(&self, q: f64) -> f64 {
        let second = GaussianRule::new(q, self.activation.kinks()).expect(|u| self.activation.value(u).powi(2));
        self.weight_variance * second + self.bias_variance
    }

    /// V'(q) for q > 0, as sw2 E[phi phi' z] / sqrt q, which needs no second derivative.
    pub fn length_slope(&self, q: f64) -> f64 {
        let phi = self.activation;
        let rule = GaussianRule::new(q, phi.kinks());
        self.weight_variance * rule.expect_with_standard(|u, z| phi.value(u) * phi.derivative(u) * z) / q.sqrt()
    }

    /// chi(q) = sw2 E phi'^2: the factor of the mean squared gradient through a layer at pre-activation variance q.
    pub fn chi(&self, q: f64) -> f64 {
        let slopes = GaussianRule::new(q, self.activation.kinks()).expect(|u| self.activation.derivative(u).powi(2));
        self.weight_variance * slopes
    }

    /// Pre-activation variances of `layers` layers, the first being `q`.
    pub fn trajectory(&self, q: f64, layers: usize) -> Vec<f64> {
        std::iter::successors(Some(q), |q| Some(self.length_map(*q))).take(layers).collect()
    }

    /// Where the variance goes when the first layer has `start` > 0.
    ///
    /// V rises with q for every activation here, so a trajectory never jumps over a fixed point: the first one met on
    /// the way is the answer. Slow approaches (V' near 1) are walked in geometric steps instead of layer by layer.
    pub fn fixed_point(&self, start: f64) -> FixedPoint {
        if let Some(fate) = self.homogeneous_fixed_point(start) {
            return fate;
        }
        let mut q = start;
        for _ in 0..100 {
            let next = self.length_map(q);
            if (next - q).abs() <= 1e-13 * q {
                return self.classified(next);
            }
            if !(VANISHED..DIVERGED).contains(&next) {
                return self.limit(next);
            }
            q = next;
        }
        self.walk(q)
    }

    /// The answer to everything above, for a first layer of variance `start` > 0.
    pub fn propagation(&self, start: f64) -> Propagation {
        let fixed_point = self.fixed_point(start);
        let chi = self.chi_at(fixed_point);
        let phase = match chi - 1.0 {
            off if off.abs() < CRITICAL => Phase::Critical,
            off if off < 0.0 => Phase::Ordered,
            _ => Phase::Chaotic,
        };
        let mut propagation =
            Propagation { fixed_point, chi, phase, correlation: None, correlation_depth: None, length_depth: None };
        if let FixedPoint::Stable { q } = fixed_point {
            let (c, slope) =
                correlation::fixed_point(self.activation, q, self.weight_variance, self.bias_variance, chi);
            propagation.correlation = Some(c);
            propagation.correlation_depth = e_folding_depth(slope);
            propagation.length_depth = e_folding_depth(self.length_slope(q));
        }
        propagation
    }

    /// chi at depth: where the variance of a first layer of `start` > 0 ends up, or in the limit that it runs to.
    pub fn chi_at_depth(&self, start: f64) -> f64 {
        self.chi_at(self.fixed_point(start))
    }

    fn chi_at(&self, fixed_point: FixedPoint) -> f64 {
        self.chi(match fixed_point {
            FixedPoint::Stable { q } | FixedPoint::Marginal { q } => q.max(NEXT_TO_ZERO),
            FixedPoint::Vanishes => NEXT_TO_ZERO,
            FixedPoint::Diverges => DIVERGED,
        })
    }

    /// V is a straight line for homogeneous phi.
    fn homogeneous_fixed_point(&self, start: f64) -> Option<FixedPoint> {
        let (below, above) = self.activation.slopes()?;
        let slope = 0.5 * self.weight_variance * (below * below + above * above);
        Some(if (slope - 1.0).abs() < 1e-12 && self.bias_variance == 0.0 {
            FixedPoint::Marginal { q: start }
        } else if slope >= 1.0 - 1e-12 {
            FixedPoint::Diverges
        } else if self.bias_variance == 0.0 {
            FixedPoint::Vanishes
        } else {
            FixedPoint::Stable { q: self.bias_variance / (1.0 - slope) }
        })
    }

    /// Steps of 5 % in the direction that the map points to, until it points back.
    fn walk(&self, start: f64) -> FixedPoint {
        const STEP: f64 = 1.05;
        let drift = |q: f64| self.length_map(q) / q - 1.0;
        if drift(start).abs() < 1e-9 && (self.length_slope(start) - 1.0).abs() < CRITICAL {
            return FixedPoint::Marginal { q: start };
        }
        let ratio = if drift(start) > 0.0 { STEP } else { 1.0 / STEP };
        let (mut before, mut q) = (start, start);
        loop {
            let next = q * ratio;
            if !(VANISHED..DIVERGED).contains(&next) {
                return self.limit(next);
            }
            if drift(q) * drift(next) <= 0.0 {
                return root(drift, q.min(next), q.max(next))
                    .map_or(FixedPoint::Marginal { q }, |q| self.classified(q));
            }
            // A drift that all but stops and then resumes: the map touches the diagonal (GELU and SiLU).
            if drift(q).abs() < drift(before).abs().min(drift(next).abs()) {
                let slowest = first_minimum(|q| drift(q).abs(), before, next);
                if drift(slowest).abs() < CRITICAL {
                    return FixedPoint::Marginal { q: slowest };
                }
            }
            (before, q) = (q, next);
        }
    }

    fn classified(&self, q: f64) -> FixedPoint {
        if (self.length_slope(q) - 1.0).abs() < CRITICAL {
            FixedPoint::Marginal { q }
        } else {
            FixedPoint::Stable { q }
        }
    }

    fn limit(&self, q: f64) -> FixedPoint {
        if q >= DIVERGED || q.is_nan() {
            FixedPoint::Diverges
        } else if (self.length_slope(NEXT_TO_ZERO) - 1.0).abs() < CRITICAL {
            FixedPoint::Marginal { q: 0.0 }
        } else {
            FixedPoint::Vanishes
        }
    }
}

/// -1 / ln(slope): layers in which a distance shrinks e-fold; `None` when it does not shrink exponentially.
pub fn e_folding_depth(slope: f64) -> Option<f64> {
    (slope < 1.0 - CRITICAL).then(|| -1.0 / slope.max(f64::MIN_POSITIVE).ln())
}

/// The first local minimum of `f` on the way from `a` to `b`, to a hundredth of a step of 5 %.
fn first_minimum(f: impl Fn(f64) -> f64, a: f64, b: f64) -> f64 {
    const POINTS: i32 = 200;
    let at = |i: i32| a * (b / a).powf(f64::from(i) / f64::from(POINTS));
    let values: Vec<f64> = (0..=POINTS).map(|i| f(at(i))).collect();
    let first = values.windows(3).position(|v| v[1] <= v[0] && v[1] <= v[2]);
    at(first.map_or(POINTS, |before| before as i32 + 1))
}

#[cfg(test)]
mod tests;
