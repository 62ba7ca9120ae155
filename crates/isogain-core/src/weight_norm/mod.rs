//! Weights that are computed from others: what is trained is V and a gain for each unit, or one for all; what the layer
//! multiplies by is W. One file for the formulas, so that every engine computes the same.
//!
//! Weights are row-major `[fan_in, fan_out]`, a column for each unit.

mod polar;
mod state;

use serde::{Deserialize, Serialize};

use crate::theory::activations::Activation;
use crate::theory::edge_of_chaos::orthogonal_gain;
use crate::theory::gains::Gains;

/// Smallest sum of squares that a unit's centred weights are divided by the root of (as in the authors' code).
const SMALLEST_SQUARE: f64 = 1e-4;

/// Smallest norm that a unit's weights are divided by.
const SMALLEST_NORM: f64 = 1e-12;

/// Products with V and its transpose that look for its largest singular value, as many as PyTorch makes at first. Each
/// search begins anew, from the same direction, so that W is a function of V alone and a resumed run goes on bit for bit.
const POWER_STEPS: usize = 15;

/// Variance of the pre-activations for which orthogonal weights start critical: that of a hundred layers.
const NEAR_ZERO: f64 = 0.01;

/// How W follows from V.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightNorm {
    /// Scaled weight standardisation: unit by unit W = gain (V - mean V) / (deviation sqrt(fan_in)) (Brock et al. 2021). The
    /// gain starts at that of norm-free nets, 1 / sqrt(Var phi(Z)), so that every pre-activation keeps its variance.
    Standardised,
    /// Unit by unit W = gain V / |V| (Salimans & Kingma 2016). The gain starts at |V|: the network is what it was.
    Norm,
    /// The same, with a gain that starts at 1 / sqrt(E phi(Z)^2), sqrt 2 for ReLU, so that every pre-activation keeps its
    /// variance (Arpit et al. 2019).
    Normalised,
    /// W = gain V / s with one gain, s = u^T V w being V's largest singular value as 15 power iterations find it (Miyato et
    /// al. 2018; with the gain Zhai et al. 2023). The gain starts at 1: the layer makes nothing longer.
    Spectral,
    /// W = gain U with one gain, U being the matrix with orthonormal columns, or rows where these are fewer, that is nearest to
    /// V: its polar factor. Every singular value of W is the gain, at each step of a training. The gain starts at
    /// 1.01 for tanh and at sqrt 2 for ReLU; a recurrent layer's weights from state to state are the U of each gate, without
    /// one.
    Orthogonal,
}

impl WeightNorm {
    /// How many gains a layer of so many units has.
    pub fn gains(self, fan_out: usize) -> usize {
        match self {
            Self::Standardised | Self::Norm | Self::Normalised => fan_out,
            Self::Spectral | Self::Orthogonal => 1,
        }
    }

    /// Where the gains start.
    pub fn start(self, weight: &[f64], fan_out: usize, activation: Activation) -> Vec<f64> {
        match self {
            Self::Standardised => vec![Gains::at(activation, 1.0).norm_free(); fan_out],
            Self::Norm => columns(weight, fan_out).map(|unit| square(&unit).sqrt()).collect(),
            Self::Normalised => vec![Gains::at(activation, 1.0).forward(); fan_out],
            Self::Spectral => vec![1.0],
            Self::Orthogonal => vec![orthogonal_gain(activation, NEAR_ZERO)],
        }
    }

    /// Where each gain starts, in the kinds that do not take it from the weights.
    pub fn first_gain(self, activation: Activation) -> f64 {
        self.start(&[], 1, activation).first().copied().unwrap_or(1.0)
    }

    /// V at first, of weights as they are drawn. Those that are kept orthogonal start so, which changes nothing of W: far from
    /// there U hangs on directions in which V is short, and its gradient is as large as they are short.
    pub fn trained(self, drawn: Vec<f64>, fan_out: usize) -> Vec<f64> {
        match self {
            Self::Orthogonal => polar::nearest(&drawn, fan_out),
            Self::Standardised | Self::Norm | Self::Normalised | Self::Spectral => drawn,
        }
    }

    /// W of V and the gains, `[fan_in, fan_out]`.
    pub fn weight(self, weight: &[f64], gains: &[f64], fan_out: usize) -> Vec<f64> {
        if self == Self::Spectral {
            let factor = gains.iter().sum::<f64>() / Stretch::of(weight, fan_out).size;
            return weight.iter().map(|v| factor * v).collect();
        }
        if self == Self::Orthogonal {
            let gain = gains.iter().sum::<f64>();
            return polar::nearest(weight, fan_out).into_iter().map(|u| gain * u).collect();
        }
        let mut result = vec![0.0; weight.len()];
        for (unit, (column, gain)) in columns(weight, gains.len()).zip(gains).enumerate() {
            let (centred, scale, _) = self.divided(column);
            for (w, v) in result[unit..].iter_mut().step_by(gains.len()).zip(centred) {
                *w = gain * scale * v;
            }
        }
        result
    }

    /// Gradients of V, `[fan_in, fan_out]`, and of the gains, from that of W.
    ///
    /// With c = V (less its mean where it is taken out), s = 1 / |c| and d = dL/dW: dL/dgain = s <d, c>,
    /// dL/dc = gain s (d - s^2 <d, c> c), and dL/dV is that less its mean where the mean is taken out. Of the spectral norm s,
    /// whose directions u and w count as constants: dL/dgain = <d, V> / s, dL/dV = gain / s (d - <d, V> / s u w^T). Of the
    /// polar factor U: dL/dgain = <d, U>, and dL/dV the exact derivative.
    pub fn pull(self, weight: &[f64], gains: &[f64], gradient: &[f64], fan_out: usize) -> (Vec<f64>, Vec<f64>) {
        if self == Self::Spectral {
            let stretch = Stretch::of(weight, fan_out);
            let along = weight.iter().zip(gradient).map(|(v, d)| v * d).sum::<f64>() / stretch.size;
            let factor = gains.iter().sum::<f64>() / stretch.size;
            let outer = stretch.left.iter().flat_map(|u| stretch.right.iter().map(move |w| u * w));
            return (gradient.iter().zip(outer).map(|(d, outer)| factor * (d - along * outer)).collect(), vec![along]);
        }
        if self == Self::Orthogonal {
            let gain = gains.iter().sum::<f64>();
            let along = dot(&polar::nearest(weight, fan_out), gradient);
            let of_weight = polar::pull(weight, gradient, fan_out).into_iter().map(|slope| gain * slope).collect();
            return (of_weight, vec![along]);
        }
        let units = gains.len();
        let mut of_weight = vec![0.0; weight.len()];
        let mut of_gains = Vec::with_capacity(units);
        let both = columns(weight, units).zip(columns(gradient, units));
        for (unit, ((column, slopes), gain)) in both.zip(gains).enumerate() {
            let (centred, scale, is_divided) = self.divided(column);
            let along: f64 = centred.iter().zip(&slopes).map(|(v, d)| v * d).sum();
            of_gains.push(scale * along);
            // Below the smallest size the scale is a constant.
            let back = if is_divided { scale * scale * along } else { 0.0 };
            let mut pulled: Vec<f64> =
                centred.iter().zip(&slopes).map(|(v, d)| gain * scale * (d - back * v)).collect();
            if self == Self::Standardised {
                take_mean_out(&mut pulled);
            }
            for (result, value) in of_weight[unit..].iter_mut().step_by(units).zip(pulled) {
                *result = value;
            }
        }
        (of_weight, of_gains)
    }

    /// A unit's weights, their mean taken out where that is done; what they are multiplied with; whether that depends on
    /// them.
    fn divided(self, mut column: Vec<f64>) -> (Vec<f64>, f64, bool) {
        if self == Self::Standardised {
            take_mean_out(&mut column);
        }
        let smallest = match self {
            Self::Standardised => SMALLEST_SQUARE,
            Self::Norm | Self::Normalised | Self::Spectral | Self::Orthogonal => SMALLEST_NORM * SMALLEST_NORM,
        };
        let square = square(&column);
        (column, square.max(smallest).sqrt().recip(), square > smallest)
    }
}

/// The direction that a matrix stretches most, near enough, and how much.
struct Stretch {
    /// u, `[fan_in]`.
    left: Vec<f64>,
    /// w, `[fan_out]`.
    right: Vec<f64>,
    /// u^T V w, at least [`SMALLEST_NORM`].
    size: f64,
}

impl Stretch {
    fn of(matrix: &[f64], fan_out: usize) -> Self {
        // No two alike, and no sign that repeats: it is at right angles to the wanted direction by accident alone.
        let mut right: Vec<f64> = (0..fan_out).map(|k| 1.0 + 0.5 * (1.7 * k as f64).sin()).collect();
        let mut left = Vec::new();
        scale_to_one(&mut right);
        for _ in 0..POWER_STEPS {
            left = matrix.chunks_exact(fan_out.max(1)).map(|row| dot(row, &right)).collect();
            scale_to_one(&mut left);
            right = vec![0.0; fan_out];
            for (row, u) in matrix.chunks_exact(fan_out.max(1)).zip(&left) {
                right.iter_mut().zip(row).for_each(|(sum, v)| *sum += u * v);
            }
            scale_to_one(&mut right);
        }
        let rows = matrix.chunks_exact(fan_out.max(1)).zip(&left);
        let size = rows.map(|(row, u)| u * dot(row, &right)).sum::<f64>().max(SMALLEST_NORM);
        Self { left, right, size }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Divides by the norm; zeros stay.
fn scale_to_one(values: &mut [f64]) {
    let norm = square(values).sqrt().max(SMALLEST_NORM);
    values.iter_mut().for_each(|value| *value /= norm);
}

/// The columns of a row-major matrix.
fn columns(matrix: &[f64], count: usize) -> impl Iterator<Item = Vec<f64>> {
    (0..count).map(move |column| matrix[column..].iter().step_by(count.max(1)).copied().collect())
}

fn square(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

fn take_mean_out(values: &mut [f64]) {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    values.iter_mut().for_each(|value| *value -= mean);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAN_IN: usize = 7;
    const UNITS: usize = 3;
    const KINDS: [WeightNorm; 3] = [WeightNorm::Standardised, WeightNorm::Norm, WeightNorm::Normalised];

    pub(super) fn numbers(count: usize, phase: f64) -> Vec<f64> {
        (0..count).map(|k| 1.3 * (1.7 * k as f64 + phase).sin() + 0.4 * (0.31 * k as f64).cos()).collect()
    }

    #[test]
    fn units_have_the_norm_that_their_gain_says() {
        let (v, gains) = (numbers(FAN_IN * UNITS, 0.0), [2.0, -0.5, 1.0]);
        for kind in KINDS {
            let w = kind.weight(&v, &gains, UNITS);
            for (unit, (column, gain)) in columns(&w, UNITS).zip(gains).enumerate() {
                assert!((square(&column).sqrt() - gain.abs()).abs() < 1e-14, "{kind:?} unit {unit}");
                let mean = column.iter().sum::<f64>();
                assert_eq!(mean.abs() < 1e-14, kind == WeightNorm::Standardised, "{kind:?}: {mean}");
            }
        }
        let unchanged = WeightNorm::Norm.weight(&v, &WeightNorm::Norm.start(&v, UNITS, Activation::relu()), UNITS);
        assert!(v.iter().zip(unchanged).all(|(v, w)| (v - w).abs() < 1e-14));
        // sqrt(2 pi / (pi - 1)) for ReLU.
        let pi = std::f64::consts::PI;
        let start = WeightNorm::Standardised.start(&v, UNITS, Activation::relu());
        assert!(start.iter().all(|gain| (gain - (2.0 * pi / (pi - 1.0)).sqrt()).abs() < 1e-8), "{start:?}");
        let start = WeightNorm::Normalised.start(&v, UNITS, Activation::relu());
        assert!(start.iter().all(|gain| (gain - 2.0_f64.sqrt()).abs() < 1e-8), "{start:?}");
    }

    /// Central differences of sum(W * a) for fixed numbers a.
    #[test]
    fn gradients_are_difference_quotients() {
        let (v, gains) = (numbers(FAN_IN * UNITS, 0.0), vec![2.0, -0.5, 1.0]);
        let slopes = numbers(FAN_IN * UNITS, 2.0);
        let step = 1e-5;
        for kind in KINDS {
            let loss = |v: &[f64], gains: &[f64]| -> f64 {
                kind.weight(v, gains, UNITS).iter().zip(&slopes).map(|(w, a)| w * a).sum()
            };
            let (of_weight, of_gains) = kind.pull(&v, &gains, &slopes, UNITS);
            let moved = |values: &[f64], index: usize, by: f64| {
                let mut values = values.to_vec();
                values[index] += by;
                values
            };
            for (index, found) in of_weight.iter().enumerate() {
                let difference = loss(&moved(&v, index, step), &gains) - loss(&moved(&v, index, -step), &gains);
                assert!((found - difference / (2.0 * step)).abs() < 1e-8, "{kind:?} weight {index}: {found}");
            }
            for (index, found) in of_gains.iter().enumerate() {
                let difference = loss(&v, &moved(&gains, index, step)) - loss(&v, &moved(&gains, index, -step));
                assert!((found - difference / (2.0 * step)).abs() < 1e-8, "{kind:?} gain {index}: {found}");
            }
            // W does not depend on the size of a unit's V: its gradient is at right angles to it.
            for (v, g) in columns(&v, UNITS).zip(columns(&of_weight, UNITS)) {
                let along: f64 = v.iter().zip(g).map(|(v, g)| v * g).sum();
                assert!(along.abs() < 1e-13, "{kind:?}: {along}");
            }
        }
    }

    /// A matrix with one direction far ahead, where the search ends at the singular value itself: its gradient is then the
    /// difference quotient, and W stretches nothing by more than its gain.
    #[test]
    fn the_spectral_norm_is_the_largest_singular_value() {
        let (left, right) = (numbers(FAN_IN, 0.3), numbers(UNITS, 1.1));
        let noise = numbers(FAN_IN * UNITS, 2.0);
        let v: Vec<f64> =
            (0..FAN_IN * UNITS).map(|k| 5.0 * left[k / UNITS] * right[k % UNITS] + 0.3 * noise[k]).collect();
        let kind = WeightNorm::Spectral;
        let (gains, slopes, step) = ([1.5], numbers(FAN_IN * UNITS, 4.0), 1e-5);
        let largest = |matrix: &[f64]| *crate::weights::singular_values(matrix, FAN_IN, UNITS).last().unwrap();
        assert!((largest(&kind.weight(&v, &gains, UNITS)) - 1.5).abs() < 1e-12);
        let loss = |v: &[f64]| -> f64 { dot(&kind.weight(v, &gains, UNITS), &slopes) };
        let (of_weight, of_gains) = kind.pull(&v, &gains, &slopes, UNITS);
        for (index, found) in of_weight.iter().enumerate() {
            let moved = |by: f64| {
                let mut moved = v.clone();
                moved[index] += by;
                loss(&moved)
            };
            let difference = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((found - difference).abs() < 1e-8, "weight {index}: {found} is not {difference}");
        }
        assert!((of_gains[0] - loss(&v) / 1.5).abs() < 1e-12);
        // Of a random matrix without such a direction 15 products find it to some percent, from below.
        let flat = numbers(64 * 64, 0.0);
        let found = largest_of(&kind.weight(&flat, &[1.0], 64));
        assert!((1.0..1.1).contains(&(found + 1e-12)), "{found}");
    }

    fn largest_of(square: &[f64]) -> f64 {
        *crate::weights::singular_values(square, 64, 64).last().unwrap()
    }

    /// Also far from orthogonal weights; what is trained starts at them, which changes nothing.
    #[test]
    fn orthogonal_weights_have_one_gain() {
        let (kind, gains, slopes) = (WeightNorm::Orthogonal, [1.5], numbers(FAN_IN * UNITS, 4.0));
        let v = numbers(FAN_IN * UNITS, 0.0);
        let w = kind.weight(&v, &gains, UNITS);
        let sizes = crate::weights::singular_values(&w, FAN_IN, UNITS);
        assert!(sizes.iter().all(|size| (size - 1.5).abs() < 1e-12), "{sizes:?}");
        let start = kind.trained(v.clone(), UNITS);
        assert!(start.iter().zip(&w).all(|(start, w)| (1.5 * start - w).abs() < 1e-12));
        assert!(kind.weight(&start, &gains, UNITS).iter().zip(&w).all(|(again, w)| (again - w).abs() < 1e-12));
        let (of_weight, of_gains) = kind.pull(&v, &gains, &slopes, UNITS);
        assert!((of_gains[0] - dot(&w, &slopes) / 1.5).abs() < 1e-12);
        let mut moved = v.clone();
        let loss = |v: &[f64]| dot(&kind.weight(v, &gains, UNITS), &slopes);
        for (index, found) in of_weight.iter().enumerate() {
            moved[index] = v[index] + 1e-5;
            let above = loss(&moved);
            moved[index] = v[index] - 1e-5;
            let difference = (above - loss(&moved)) / 2e-5;
            moved[index] = v[index];
            assert!((found - difference).abs() < 1e-8, "weight {index}: {found} is not {difference}");
        }
        // Critical near 0 where the activation is linear there, else as He's scale.
        assert!((kind.first_gain(Activation::relu()) - 2.0_f64.sqrt()).abs() < 1e-8);
        let tanh = kind.first_gain(Activation::named("tanh").unwrap());
        // 1 / E phi'^2 = 1 + 2 q + O(q^2) for tanh.
        assert!((tanh * tanh - 1.02).abs() < 1e-3, "{tanh}");
    }

    #[test]
    fn weights_of_zero_stay_finite() {
        let (v, slopes) = ([0.0; 4], [1.0, 2.0, 3.0, 4.0]);
        for kind in KINDS.into_iter().chain([WeightNorm::Spectral, WeightNorm::Orthogonal]) {
            let gains = vec![1.0; kind.gains(2)];
            let (of_weight, of_gains) = kind.pull(&v, &gains, &slopes, 2);
            assert!(kind.weight(&v, &gains, 2).iter().all(|w| *w == 0.0));
            assert!(of_weight.iter().chain(&of_gains).all(|value| value.is_finite()), "{kind:?}: {of_weight:?}");
        }
    }
}
