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
        std::iter::successors(Some(q), |q| Some(self.length_map(*q)))
            .take(layers)
            .collect()
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
        let q = match fixed_point {
            FixedPoint::Stable { q } | FixedPoint::Marginal { q } => q.max(NEXT_TO_ZERO),
            FixedPoint::Vanishes => NEXT_TO_ZERO,
            FixedPoint::Diverges => DIVERGED,
        };
        let chi = self.chi(q);
        let phase = match chi - 1.0 {
            off if off.abs() < CRITICAL => Phase::Critical,
            off if off < 0.0 => Phase::Ordered,
            _ => Phase::Chaotic,
        };
        let mut propagation = Propagation {
            fixed_point,
            chi,
            phase,
            correlation: None,
            correlation_depth: None,
            length_depth: None,
        };
        if let FixedPoint::Stable { q } = fixed_point {
            let (c, slope) =
                correlation::fixed_point(self.activation, q, self.weight_variance, self.bias_variance, chi);
            propagation.correlation = Some(c);
            propagation.correlation_depth = e_folding_depth(slope);
            propagation.length_depth = e_folding_depth(self.length_slope(q));
        }
        propagation
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
            FixedPoint::Stable {
                q: self.bias_variance / (1.0 - slope),
            }
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
mod tests {
    use super::*;

    fn field(name: &str, weight_variance: f64, bias_variance: f64) -> MeanField {
        MeanField {
            activation: Activation::named(name).unwrap(),
            weight_variance,
            bias_variance,
        }
    }

    fn stable(fixed_point: FixedPoint) -> f64 {
        match fixed_point {
            FixedPoint::Stable { q } => q,
            other => panic!("not stable: {other:?}"),
        }
    }

    #[test]
    fn tanh_with_a_bias_variance_of_a_twentieth() {
        // sw2, q*, chi, xi_c, c*.
        for (sw2, q, chi, depth, correlation) in [
            (0.5, 0.08757987, 0.43198738, 1.1914, 1.0),
            (0.8, 0.13808028, 0.64683851, 2.2954, 1.0),
            (1.0, 0.19359252, 0.75903165, 3.6270, 1.0),
            (1.3, 0.31531648, 0.88016351, 7.8341, 1.0),
            (1.5, 0.41803720, 0.93863627, 15.7910, 1.0),
            (2.5, 1.06395838, 1.13351570, 11.7956, 0.446804),
            (4.0, 2.19549393, 1.34240241, 6.9803, 0.165065),
        ] {
            let p = field("tanh", sw2, 0.05).propagation(1.0);
            assert!((stable(p.fixed_point) - q).abs() < 1e-8, "sw2 {sw2}: {p:?}");
            assert!((p.chi - chi).abs() < 1e-8, "sw2 {sw2}: {p:?}");
            assert!((p.correlation_depth.unwrap() - depth).abs() < 6e-5, "sw2 {sw2}: {p:?}");
            assert!((p.correlation.unwrap() - correlation).abs() < 6e-7, "sw2 {sw2}: {p:?}");
            assert_eq!(p.phase, if chi < 1.0 { Phase::Ordered } else { Phase::Chaotic });
        }
    }

    #[test]
    fn the_fixed_point_at_framework_like_variances() {
        for (name, q, chi) in [
            ("relu", 0.4, 1.0 / 6.0),
            ("tanh", 0.41471018, 0.20907841),
            ("sigmoid", 0.42404008, 0.01754894),
            ("gelu", 0.37882544, 0.12871185),
            ("silu", 0.37086938, 0.10612700),
            ("elu", 0.43605237, 0.24105853),
            ("selu", 0.53797218, 0.39912785),
        ] {
            let p = field(name, 1.0 / 3.0, 1.0 / 3.0).propagation(1.0);
            assert!((stable(p.fixed_point) - q).abs() < 1e-8, "{name}: {p:?}");
            assert!((p.chi - chi).abs() < 1e-8, "{name}: {p:?}");
        }
        // Keras: Glorot weights without biases under a ReLU. The signal halves and so does the squared gradient.
        let keras = field("relu", 1.0, 0.0).propagation(1.0);
        assert_eq!(keras.fixed_point, FixedPoint::Vanishes);
        assert!((0.5 * keras.chi.ln() + 0.3466).abs() < 5e-5);
    }

    #[test]
    fn slopes_per_layer_of_the_library_defaults() {
        let nepers = |name: &str, bias: f64| 0.5 * field(name, 1.0 / 3.0, bias).propagation(1.0).chi.ln();
        for (name, slope) in [
            ("relu", -0.8959),
            ("tanh", -0.7825),
            ("sigmoid", -2.0214),
            ("gelu", -1.0251),
        ] {
            assert!((nepers(name, 1.0 / 3.0) - slope).abs() < 5e-5, "{name}");
        }
        // torch.nn.Linear draws its biases within 1 / sqrt(fan_in) too: for width 1000 their variance is 1/3000, and
        // tanh stays near its linear part.
        assert!((nepers("relu", 1.0 / 3000.0) - -0.8959).abs() < 5e-5);
        assert!((nepers("tanh", 1.0 / 3000.0) - 0.5 * (1f64 / 3.0).ln()).abs() < 1e-3);
    }

    #[test]
    fn marginal_and_runaway_cases_are_named() {
        assert_eq!(
            field("relu", 2.0, 0.0).fixed_point(0.7),
            FixedPoint::Marginal { q: 0.7 }
        );
        assert_eq!(field("relu", 2.0, 0.1).fixed_point(1.0), FixedPoint::Diverges);
        assert_eq!(field("relu", 3.0, 0.0).fixed_point(1.0), FixedPoint::Diverges);
        assert_eq!(field("tanh", 0.9, 0.0).fixed_point(1.0), FixedPoint::Vanishes);
        for name in ["tanh", "elu", "softsign"] {
            assert_eq!(
                field(name, 1.0, 0.0).fixed_point(1.0),
                FixedPoint::Marginal { q: 0.0 },
                "{name}"
            );
        }
        for name in ["gelu", "silu"] {
            assert_eq!(field(name, 2.0, 0.0).fixed_point(1.0), FixedPoint::Vanishes, "{name}");
        }
        for name in ["selu", "elu", "softplus"] {
            assert_eq!(field(name, 2.2, 0.0).fixed_point(1.0), FixedPoint::Diverges, "{name}");
        }
        // Near the transition the fixed point is small but there: q* -> (sw2 - 1) / 2.
        let q = stable(field("tanh", 1.001, 0.0).fixed_point(1.0));
        assert!((q / 5e-4 - 1.0).abs() < 0.01, "{q}");
    }

    #[test]
    fn gelu_and_silu_are_held_from_one_side() {
        for (name, weight, bias, q) in [
            ("gelu", 1.9830582574, 0.1729223908, 3.5615528128),
            ("silu", 1.9880046783, 0.5551431707, 14.3201736),
        ] {
            let field = field(name, weight, bias);
            assert!((field.chi(q) - 1.0).abs() < 1e-8, "{name}");
            assert!((field.length_slope(q) - 1.0).abs() < 1e-8, "{name}");
            // The drift of q around the point is cubic and below 1e-8 per layer: anywhere near counts as held.
            for start in [q, 30.0] {
                match field.fixed_point(start) {
                    FixedPoint::Marginal { q: found } => assert!((found / q - 1.0).abs() < 0.03, "{name}: {found}"),
                    other => panic!("{name} from {start}: {other:?}"),
                }
                assert!((field.propagation(start).chi - 1.0).abs() < 1e-3, "{name}");
            }
        }
        // From below GELU's variance sinks to a stable point instead, which is nearly critical.
        let below = field("gelu", 1.9830582574, 0.1729223908).propagation(1.0);
        assert!(
            (stable(below.fixed_point) - 3.03498).abs() < 1e-4 && (below.chi - 1.0).abs() < 0.01,
            "{below:?}"
        );
        // The bias variance that public code carries for SiLU, a factor of ten too small: strongly vanishing.
        let wrong = field("silu", 1.9880046783, 0.055514317).propagation(1.0);
        assert!((stable(wrong.fixed_point) - 0.120).abs() < 5e-4 && (wrong.chi - 0.550).abs() < 5e-4);
    }

    #[test]
    fn pytorchs_recommended_gains_are_heuristics() {
        // torch.nn.init.calculate_gain: tanh 5/3 is chaotic, SELU 3/4 nearly critical.
        let tanh = field("tanh", 25.0 / 9.0, 0.0).propagation(1.0);
        assert!((tanh.chi.sqrt() - 1.099923).abs() < 1e-6);
        assert_eq!(tanh.phase, Phase::Chaotic);
        let selu = field("selu", 0.5625, 0.0);
        let p = selu.propagation(1.0);
        assert!((p.chi.sqrt() - 1.001833).abs() < 1e-6);
        // PyTorch pull request 50664 printed 0.7968, 0.3127, 0.2404 for layers 1, 11 and 21 of 100.
        let rms = |q: f64| (selu.length_map(q) / 0.5625).sqrt();
        let trajectory = selu.trajectory(0.5625, 100);
        for (layer, expected) in [(1, 0.7975), (11, 0.3126), (21, 0.2412), (31, 0.2183)] {
            assert!((rms(trajectory[layer - 1]) - expected).abs() < 5e-5, "layer {layer}");
        }
        assert!((rms(stable(p.fixed_point)) - 0.202358).abs() < 5e-7);
    }

    #[test]
    fn glorot_and_bengios_five_layers() {
        // tanh, 5 x 1000, unit inputs: activation deviations, and gradient RMS relative to the fifth layer.
        for (sw2, deviations, gradients) in [
            (
                1.0 / 3.0,
                [0.4603, 0.2495, 0.1412, 0.0810, 0.0467],
                [0.0832, 0.1764, 0.3247, 0.5736, 1.0],
            ),
            (
                1.0,
                [0.6279, 0.4863, 0.4082, 0.3576, 0.3216],
                [0.4098, 0.6014, 0.7538, 0.8842, 1.0],
            ),
        ] {
            let field = field("tanh", sw2, 0.0);
            let trajectory = field.trajectory(sw2, 5);
            for (layer, q) in trajectory.iter().enumerate() {
                let deviation = (field.length_map(*q) / sw2).sqrt();
                assert!(
                    (deviation - deviations[layer]).abs() < 6e-5,
                    "layer {layer}: {deviation}"
                );
                let gradient: f64 = trajectory[layer..4].iter().map(|q| field.chi(*q).sqrt()).product();
                assert!((gradient - gradients[layer]).abs() < 6e-5, "layer {layer}: {gradient}");
            }
        }
    }

    #[test]
    fn length_slope_is_the_slope_of_the_length_map() {
        for activation in Activation::all() {
            let field = MeanField {
                activation,
                weight_variance: 1.3,
                bias_variance: 0.1,
            };
            for q in [0.1, 1.0, 8.0] {
                let h = 1e-4 * q;
                let slope = (field.length_map(q + h) - field.length_map(q - h)) / (2.0 * h);
                assert!((slope - field.length_slope(q)).abs() < 1e-7, "{activation} {q}");
                assert!(slope > 0.0, "fixed_point relies on a rising map: {activation} {q}");
            }
        }
    }
}
