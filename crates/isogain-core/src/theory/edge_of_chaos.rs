//! The edge of chaos: weight and bias variances at which chi = 1, so that gradients neither vanish nor explode.
//!
//! At pre-activation variance q the condition is sw2 = 1 / E phi'^2, sb2 = q - sw2 E phi^2 (Schoenholz et al. 2017).
//! It only holds through depth where q is a stable fixed point of the length map, V'(q) < 1. GELU and SiLU are
//! unstable at small q; for them V'(q) = chi = 1 holds at one point only, stable from one side (Roberts, Yaida and
//! Hanin 2021, section 5.3).

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::activations::Activation;
use super::gains::Gains;
use super::quadrature::GaussianRule;
use super::solve::root;

/// Variances on the edge of chaos.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CriticalPoint {
    /// sw2 = fan_in Var W.
    pub weight_variance: f64,
    /// sb2 = Var b.
    pub bias_variance: f64,
    /// The pre-activation variance that repeats from layer to layer; any value when scale-free (given as 1).
    pub q: f64,
    /// How firmly q is held.
    pub stability: Stability,
}

/// What happens to a pre-activation variance that starts off the critical q.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stability {
    /// It returns to q (tanh and other odd sigmoids, ELU, SELU).
    Stable,
    /// It returns from one side only (GELU, SiLU).
    HalfStable,
    /// Every variance repeats (ReLU and its leaky kin, without biases).
    ScaleFree,
}

/// Points that are kept, the latest ones: a search takes milliseconds, and each layer of each network that is drawn asks for the
/// same one.
const MOST_KNOWN: usize = 64;

const SCAN_START: f64 = 1e-7;
const SCAN_RATIO: f64 = 1.25;
const SCAN_STEPS: usize = 130;

/// The critical point for a bias variance of `bias_variance` >= 0.
///
/// Where phi allows none at that bias variance, the nearest that holds is given instead, with its own bias variance:
/// no biases for homogeneous phi, the half-stable point for GELU and SiLU. `None` when phi has no edge of chaos
/// (softplus; the exponential, whose every critical point is unstable: V'(q) = 2).
pub fn edge_of_chaos(activation: Activation, bias_variance: f64) -> Option<CriticalPoint> {
    static KNOWN: Mutex<Vec<(Activation, f64, Option<CriticalPoint>)>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = known.iter().find(|(of, bias, _)| *of == activation && *bias == bias_variance);
    if let Some((.., point)) = asked {
        return *point;
    }
    // Nobody waits for a search.
    drop(known);
    let point = searched(activation, bias_variance);
    known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.truncate(MOST_KNOWN - 1);
    known.insert(0, (activation, bias_variance, point));
    point
}

/// [`edge_of_chaos`], found anew.
fn searched(activation: Activation, bias_variance: f64) -> Option<CriticalPoint> {
    if let Some((below, above)) = activation.slopes() {
        let weight_variance = 2.0 / (below * below + above * above);
        return Some(CriticalPoint { weight_variance, bias_variance: 0.0, q: 1.0, stability: Stability::ScaleFree });
    }
    let bias_at = |q| critical_at(activation, q).1;
    if bias_variance == 0.0 && activation.value(0.0) == 0.0 && length_slope(activation, 1e-4) < 1.0 {
        // The fixed point is q = 0 itself: only the slope there counts.
        let (weight_variance, _) = critical_at(activation, 1e-14);
        return Some(CriticalPoint { weight_variance, bias_variance, q: 0.0, stability: Stability::Stable });
    }
    stable_root(activation, |q| bias_at(q) - bias_variance)
        .map(|q| CriticalPoint {
            weight_variance: critical_at(activation, q).0,
            bias_variance,
            q,
            stability: Stability::Stable,
        })
        .or_else(|| half_stable(activation))
}

/// The point with chi = 1 and V'(q) = 1 at once, for phi that has one with a bias variance of zero or above.
pub fn half_stable(activation: Activation) -> Option<CriticalPoint> {
    scan(activation, |q| length_slope(activation, q) - 1.0).find_map(|(low, high)| {
        let q = root(|q| length_slope(activation, q) - 1.0, low, high)?;
        let (weight_variance, bias_variance) = critical_at(activation, q);
        (bias_variance >= 0.0).then_some(CriticalPoint {
            weight_variance,
            bias_variance,
            q,
            stability: Stability::HalfStable,
        })
    })
}

/// (sw2, sb2) that make q > 0 a fixed point with chi = 1; sb2 is negative where that is impossible.
pub fn critical_at(activation: Activation, q: f64) -> (f64, f64) {
    let rule = GaussianRule::new(q, activation.kinks());
    let weight_variance = 1.0 / rule.expect(|u| activation.derivative(u).powi(2));
    (weight_variance, q - weight_variance * rule.expect(|u| activation.value(u).powi(2)))
}

/// The gain of orthogonal weights between layers of this activation. Where it is linear near 0 (tanh and its kin) the critical
/// gain at pre-activation variance q, which keeps the spread of the Jacobian's singular values independent of depth for q of
/// 1/L over L layers (Pennington et al. 2017; Xiao et al. 2018). For all others the gain that holds a unit-variance signal,
/// sqrt 2 for ReLU.
pub fn orthogonal_gain(activation: Activation, q: f64) -> f64 {
    let (sw2, sb2) = critical_at(activation, q);
    let linear_near_zero = !activation.is_homogeneous() && activation.value(0.0) == 0.0 && sb2 >= 0.0;
    if linear_near_zero { sw2.sqrt() } else { Gains::at(activation, 1.0).forward() }
}

/// V'(q) at the critical weight variance of q.
fn length_slope(activation: Activation, q: f64) -> f64 {
    let rule = GaussianRule::new(q, activation.kinks());
    let numerator = rule.expect_with_standard(|u, z| activation.value(u) * activation.derivative(u) * z);
    numerator / (q.sqrt() * rule.expect(|u| activation.derivative(u).powi(2)))
}

fn stable_root(activation: Activation, f: impl Fn(f64) -> f64 + Copy) -> Option<f64> {
    scan(activation, f).filter_map(|(low, high)| root(f, low, high)).find(|q| length_slope(activation, *q) < 1.0)
}

/// Neighbours of a geometric grid of q between which `f` changes its sign, as far as quadrature sees all of phi'^2: where
/// phi grows like e^u it does not at large q.
fn scan(activation: Activation, f: impl Fn(f64) -> f64 + Copy) -> impl Iterator<Item = (f64, f64)> {
    let grid = (0..SCAN_STEPS)
        .map(|i| SCAN_START * SCAN_RATIO.powi(i as i32))
        .take_while(move |&q| GaussianRule::new(q, activation.kinks()).covers(|u| activation.derivative(u).powi(2)));
    grid.map(move |q| (q, f(q)))
        .scan(None, |last: &mut Option<(f64, f64)>, here| {
            let before = last.replace(here);
            Some(before.map(|before| (before, here)))
        })
        .flatten()
        .filter(|((_, before), (_, here))| before * here < 0.0)
        .map(|((low, _), (high, _))| (low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Activation {
        Activation::named(name).unwrap()
    }

    #[test]
    fn tanh_by_bias_variance() {
        for (bias_variance, weight_variance) in [
            (0.001, 1.18918959),
            (0.0025, 1.26009382),
            (0.01, 1.42420529),
            (0.05, 1.76095464),
            (0.1, 1.98607264),
            (0.3, 2.50512719),
            (1.0, 3.44321091),
        ] {
            let point = edge_of_chaos(Activation::tanh(), bias_variance).unwrap();
            assert!((point.weight_variance - weight_variance).abs() < 1e-8, "{bias_variance}: {point:?}");
            assert_eq!(point.stability, Stability::Stable);
        }
        let point = edge_of_chaos(Activation::tanh(), 0.05).unwrap();
        assert!((point.q - 0.57004788).abs() < 1e-8);
        let unbiased = edge_of_chaos(Activation::tanh(), 0.0).unwrap();
        assert!((unbiased.weight_variance - 1.0).abs() < 1e-12 && unbiased.q == 0.0);
    }

    #[test]
    fn tanh_by_length() {
        for (q, weight_variance, bias_variance) in [
            (0.01, 1.01971076, 1.2579959e-6),
            (0.1, 1.17756910, 8.3228042e-4),
            (0.5, 1.68797512, 0.038041201),
            (1.0, 2.15330265, 0.15096463),
        ] {
            let (sw2, sb2) = critical_at(Activation::tanh(), q);
            assert!((sw2 - weight_variance).abs() < 1e-8, "{q}: {sw2}");
            assert!((sb2 - bias_variance).abs() < 1e-8 * bias_variance.max(1e-3), "{q}: {sb2}");
        }
    }

    #[test]
    fn gelu_and_silu_are_half_stable() {
        // Roberts, Yaida and Hanin 2021; for GELU q = (3 + sqrt 17) / 2 exactly. A public SiLU constant has its
        // bias variance wrong by a factor of ten.
        let gelu = edge_of_chaos(named("gelu"), 0.05).unwrap();
        assert_eq!(gelu.stability, Stability::HalfStable);
        assert!((gelu.q - 0.5 * (3.0 + 17f64.sqrt())).abs() < 1e-9, "{gelu:?}");
        assert!((gelu.weight_variance - 1.9830582574).abs() < 1e-9);
        assert!((gelu.bias_variance - 0.1729223908).abs() < 1e-9);
        let silu = edge_of_chaos(named("silu"), 0.0).unwrap();
        assert!((silu.q - 14.3201736180).abs() < 1e-8, "{silu:?}");
        assert!((silu.weight_variance - 1.9880046783).abs() < 1e-9);
        assert!((silu.bias_variance - 0.5551431707).abs() < 1e-9);
        // With more bias GELU has an ordinary stable point.
        let biased = edge_of_chaos(named("gelu"), 0.214445).unwrap();
        assert_eq!(biased.stability, Stability::Stable);
        assert!((biased.q - 5.0).abs() < 1e-4 && (biased.weight_variance - 1.966275).abs() < 1e-6);
    }

    #[test]
    fn homogeneous_ones_need_no_bias_and_softplus_has_none() {
        let relu = edge_of_chaos(Activation::relu(), 0.05).unwrap();
        assert_eq!((relu.weight_variance, relu.bias_variance), (2.0, 0.0));
        assert_eq!(relu.stability, Stability::ScaleFree);
        assert_eq!(edge_of_chaos(named("softplus"), 0.05), None);
        assert_eq!(edge_of_chaos(named("exponential"), 0.05), None);
    }

    #[test]
    fn every_point_is_critical() {
        for activation in Activation::all() {
            for bias_variance in [0.0, 0.02, 0.3] {
                let Some(point) = edge_of_chaos(activation, bias_variance) else {
                    assert!(matches!(activation.name(), "softplus" | "exponential"), "{activation}");
                    continue;
                };
                let rule = GaussianRule::new(point.q.max(1e-14), activation.kinks());
                let chi = point.weight_variance * rule.expect(|u| activation.derivative(u).powi(2));
                let length = point.weight_variance * rule.expect(|u| activation.value(u).powi(2)) + point.bias_variance;
                assert!((chi - 1.0).abs() < 1e-9, "{activation}: chi {chi}");
                assert!((length - point.q).abs() < 1e-9 * point.q.max(1e-3), "{activation}: {length}, {point:?}");
            }
        }
    }
}
