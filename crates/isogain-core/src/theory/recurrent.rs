//! How long a recurrent layer remembers: the factor by which the gradient of its state changes per time step.
//!
//! Plain recurrence h' = phi(x W + h U + b): the mean squared gradient changes by chi = units Var U E phi'^2 per step, as
//! through the layers of a deep net (Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013). Gated recurrence: past the
//! gates' own weights the state is multiplied by the forget gate f = sigmoid(b) at the start, so that the gradient falls by
//! f per step (Gers et al. 2000; Jozefowicz et al. 2015). Antisymmetric recurrence: see [`antisymmetric_chi`]. Diagonal
//! recurrence: unit i keeps lambda_i per step, whatever its input; after many steps those units lead that keep most. Coupled
//! oscillators: see [`oscillator_chi`].

use super::activations::Activation;
use super::gains::Gains;
use super::solve::root;
use crate::network::Oscillator;

/// Panels of the mean over memories drawn by chrono initialisation.
const PANELS: usize = 2000;

/// What carries a state from step to step.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Carry {
    /// Weights from state to state.
    State {
        /// Factor of the mean squared gradient per step.
        chi: f64,
    },
    /// Gates of one bias.
    Gate {
        /// The bias of the forget gate, of the update gate in a GRU.
        bias: f64,
    },
    /// Gates with biases ln U(1, steps - 1) (Tallec & Ollivier 2018).
    Chrono {
        /// Time steps of a sample.
        steps: usize,
    },
    /// A share lambda = u / (1 + u) with u ~ U(1, steps - 1), drawn for each unit: memories of u steps.
    Diagonal {
        /// Time steps of a sample.
        steps: usize,
    },
}

impl Carry {
    /// Time steps until the RMS of the gradient has changed by `ratio`, which is above 1; `None` where it does not change.
    pub fn steps_until(self, ratio: f64) -> Option<f64> {
        match self {
            Self::State { chi } => {
                let per_step = 0.5 * chi.ln().abs();
                (per_step > 1e-12).then(|| ratio.ln() / per_step)
            }
            Self::Gate { bias } => Some(ratio.ln() / -ln_sigmoid(bias)),
            Self::Chrono { steps } => {
                let kept = |ln_back: f64| chrono_retention(ln_back.exp(), steps) - ratio.recip();
                root(kept, -20.0, 40.0).map(f64::exp)
            }
            Self::Diagonal { steps } => {
                let kept = |ln_back: f64| diagonal_retention(ln_back.exp(), steps) - ratio.recip();
                root(kept, -20.0, 40.0).map(f64::exp)
            }
        }
    }

    /// Time steps after which half of the gradient's RMS is left; `None` where it does not shrink.
    pub fn half_life(self) -> Option<f64> {
        match self {
            Self::State { chi } if chi >= 1.0 => None,
            _ => self.steps_until(2.0),
        }
    }
}

/// ln sigmoid(b), which for large b is -exp(-b) and not 0.
fn ln_sigmoid(bias: f64) -> f64 {
    if bias < 0.0 { bias - bias.exp().ln_1p() } else { -(-bias).exp().ln_1p() }
}

/// Mean of f^back over gates f = u / (1 + u) with u ~ U(1, steps - 1): what chrono initialisation keeps.
pub fn chrono_retention(back: f64, steps: usize) -> f64 {
    let width = (steps as f64 - 2.0).max(0.0) / PANELS as f64;
    let kept = |panel: usize| {
        let memory = 1.0 + (panel as f64 + 0.5) * width;
        (-back * memory.recip().ln_1p()).exp()
    };
    (0..PANELS).map(kept).sum::<f64>() / PANELS as f64
}

/// What a diagonal recurrence keeps of the gradient's RMS after `back` steps: the root of the mean of lambda^(2 back).
pub fn diagonal_retention(back: f64, steps: usize) -> f64 {
    chrono_retention(2.0 * back, steps).sqrt()
}

/// gamma of the antisymmetric recurrence, what it takes from a length per unit of time. On the recipe of the page
/// `antisymmetric-recurrence` losses at rate 0.1 end at 0.1 to 0.9 with any from 0 to 0.1, lowest with this one; with 1 it
/// learns nothing.
pub const DIFFUSION: f64 = 0.01;

/// Factor of the squared gradient per step of h' = h + eps phi(x W + h (U - U^T - gamma I) + b) (Chang et al. 2019), for
/// units Var U = `variance` and slopes of mean square `slope`, in the directions that turn fastest and lead after many steps:
/// |1 + eps phi' (i lambda - gamma)|^2, lambda^2 = 8 units Var U being the edge of the semicircle of eigenvalues of U - U^T (Wigner).
/// The matrix is normal and the same at each step, so that no mean over directions tells the growth. 1 for small steps.
pub fn antisymmetric_chi(step: f64, variance: f64, slope: f64) -> f64 {
    let moved = step * slope.sqrt();
    (1.0 - moved * DIFFUSION).powi(2) + 8.0 * variance * moved.powi(2)
}

/// Directions in which the search for the largest eigenvalue of oscillators looks from where it is.
const DIRECTIONS: usize = 360;

/// How often that search halves its stride.
const HALVINGS: usize = 40;

/// Factor of the squared gradient per step of coupled oscillators z' = z + dt (phi(y U + z V) - gamma y - eps z), y' = y + dt z'
/// (Rusch & Mishra 2021), for units Var U = units Var V = `variance` and slopes of mean square `slope`, in the directions that lead
/// after many steps: the largest |lambda|^2 of the eigenvalues of a step. With z = c y, c = (lambda - 1) / (dt lambda), an
/// eigenvector is one of U + c V, whose eigenvalues fill the disc of radius sqrt(variance (1 + |c|^2)) (circular law): lambda is where
///
/// |(lambda - 1) c + dt (gamma + eps c)| <= dt sqrt(slope variance (1 + |c|^2)),
///
/// regions around the two roots of lambda^2 - (2 - dt^2 gamma - dt eps) lambda + 1 - dt eps, that of oscillators without weights. From
/// each the search goes outward as far as it can.
pub fn oscillator_chi(oscillator: Oscillator, variance: f64, slope: f64) -> f64 {
    let Oscillator { step, stiffness, damping } = oscillator;
    let reached = |[re, im]: [f64; 2]| {
        let square = re * re + im * im;
        // 1 - 1 / lambda is dt c.
        let c = [(1.0 - re / square) / step, im / square / step];
        let (u, v) = (re - 1.0 + step * damping, im);
        let left = [u * c[0] - v * c[1] + step * stiffness, u * c[1] + v * c[0]];
        let radius = slope * variance * (1.0 + c[0] * c[0] + c[1] * c[1]);
        left[0].hypot(left[1]) <= step * radius.sqrt()
    };
    let size = |[re, im]: [f64; 2]| re * re + im * im;
    let [half, product] = [1.0 - 0.5 * (step * step * stiffness + step * damping), 1.0 - step * damping];
    let discriminant = half * half - product;
    let roots = if discriminant < 0.0 {
        [[half, (-discriminant).sqrt()]; 2]
    } else {
        [[half + discriminant.sqrt(), 0.0], [half - discriminant.sqrt(), 0.0]]
    };
    let outermost = |root: [f64; 2]| {
        let mut at = root;
        let mut stride = step * (1.0 + (1.0 + step) * (stiffness + damping + (slope * variance).sqrt()));
        for _ in 0..HALVINGS {
            let around = |at: [f64; 2]| {
                let there = |direction: usize| {
                    let (sin, cos) = (std::f64::consts::TAU * direction as f64 / DIRECTIONS as f64).sin_cos();
                    [at[0] + stride * cos, at[1] + stride * sin]
                };
                (0..DIRECTIONS).map(there).filter(|place| reached(*place)).max_by(|a, b| size(*a).total_cmp(&size(*b)))
            };
            while let Some(next) = around(at).filter(|next| size(*next) > size(at)) {
                at = next;
            }
            stride *= 0.5;
        }
        size(at)
    };
    roots.into_iter().map(outermost).fold(0.0, f64::max)
}

/// E phi'^2 of a state with this mean square: the pre-activations are taken as Gaussian, of the variance that gives it.
pub fn state_slope(activation: Activation, mean_square: f64) -> f64 {
    let excess = |ln_q: f64| Gains::at(activation, ln_q.exp()).second_moment - mean_square;
    // Beyond these every activation is flat, linear or a power law.
    match root(excess, -28.0, 28.0) {
        Some(ln_q) => Gains::at(activation, ln_q.exp()).slope_second_moment,
        None if mean_square < 1e-6 => activation.derivative(0.0).powi(2),
        None => Gains::at(activation, 1.0).slope_second_moment,
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::sampling::uniform;

    /// -ln 2 / ln sigmoid(b).
    #[test]
    fn half_life_of_a_forget_gate() {
        for (bias, steps) in [(0.0, 1.0), (1.0, 2.21), (2.0, 5.46), (3.0, 14.27), (5.0, 103.2)] {
            let half_life = Carry::Gate { bias }.half_life().unwrap();
            assert!((half_life - steps).abs() < 0.005 * steps.max(1.0), "{bias}: {half_life}");
        }
        // exp(-40) is below the rounding of 1 - exp(-40).
        assert!((Carry::Gate { bias: 40.0 }.half_life().unwrap() / (2_f64.ln() * 40_f64.exp()) - 1.0).abs() < 1e-12);
        assert!((Carry::Gate { bias: -800.0 }.half_life().unwrap() - 2_f64.ln() / 800.0).abs() < 1e-12);
    }

    /// E exp(-1/x), x uniform on (0, 1), is 0.1485.
    #[test]
    fn chrono_keeps_a_seventh_over_the_whole_sequence() {
        for steps in [1000, 100_000] {
            let kept = chrono_retention(steps as f64, steps);
            assert!((kept - 0.1485).abs() < 0.0005, "{steps}: {kept}");
        }
        let carry = Carry::Chrono { steps: 100 };
        let (half, far) = (carry.half_life().unwrap(), carry.steps_until(1e4).unwrap());
        assert!(
            (chrono_retention(half, 100) - 0.5).abs() < 1e-9 && (chrono_retention(far, 100) / 1e-4 - 1.0).abs() < 1e-6
        );
        assert!(half > 20.0 && far > 400.0, "{half} {far}");
    }

    /// Memories u spread over the sample: the RMS of lambda^back is the root of E exp(-2 / x) = 0.0375 once back is the
    /// length, and no unit keeps more than the longest.
    #[test]
    fn a_diagonal_recurrence_keeps_what_its_units_keep() {
        for steps in [1000, 100_000] {
            let kept = diagonal_retention(steps as f64, steps);
            assert!((kept - 0.037_534_f64.sqrt()).abs() < 0.001, "{steps}: {kept}");
        }
        // Of 100 steps the longest memory is 99.
        assert!(diagonal_retention(50.0, 100) < 0.99_f64.powi(50));
        let carry = Carry::Diagonal { steps: 100 };
        let (half, far) = (carry.half_life().unwrap(), carry.steps_until(1e4).unwrap());
        assert!((diagonal_retention(half, 100) - 0.5).abs() < 1e-9);
        assert!((diagonal_retention(far, 100) / 1e-4 - 1.0).abs() < 1e-6);
        assert!((10.0..100.0).contains(&half) && far > 400.0, "{half} {far}");
    }

    /// Of oscillators without weights by hand: critical damping has the double root (2 - 0.05^2 4 - 0.05 4) / 2, without damping the
    /// roots are on the unit circle.
    #[test]
    fn oscillators_without_weights_swing_as_their_formula_says() {
        let chi = |step, stiffness, damping| oscillator_chi(Oscillator { step, stiffness, damping }, 0.0, 1.0);
        assert!((chi(0.1, 3.0, 0.0) - 1.0).abs() < 1e-12);
        assert!((chi(0.1, 1.0, 1.0) - 0.9).abs() < 1e-12, "a pair of roots has the product 1 - dt eps");
        // lambda^2 - 1.6 lambda + 0.6 without stiffness: 1 and 0.6.
        assert!((chi(0.2, 0.0, 2.0) - 1.0).abs() < 1e-12);
    }

    /// The growth of a vector that is multiplied by the same drawn step again and again.
    #[test]
    fn coupled_oscillators_grow_as_their_largest_eigenvalue_says() {
        let (units, variance) = (150, 1.0 / 3.0);
        for (seed, step, stiffness, damping) in
            [(1, 0.1, 1.0, 1.0), (2, 0.1, 0.0, 0.0), (3, 0.05, 2.7, 4.7), (4, 0.3, 1.0, 1.0)]
        {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            let bound = (3.0 * variance / units as f64).sqrt();
            let mut draw =
                || (0..units * units).map(|_| bound * (2.0 * uniform(&mut generator) - 1.0)).collect::<Vec<f64>>();
            let (u, v) = (draw(), draw());
            let (mut y, mut z) = (vec![1.0; units], vec![0.5; units]);
            let mut log_size = |steps: usize| {
                let mut sum = 0.0;
                for _ in 0..steps {
                    let both = |row: usize| {
                        let [u, v] = [&u, &v].map(|weights| &weights[row * units..][..units]);
                        let terms = u.iter().zip(&y).chain(v.iter().zip(&z));
                        terms.map(|(weight, value)| weight * value).sum::<f64>()
                    };
                    let pushed: Vec<f64> = (0..units).map(both).collect();
                    for ((z, y), pushed) in z.iter_mut().zip(&mut y).zip(pushed) {
                        *z += step * (pushed - stiffness * *y - damping * *z);
                        *y += step * *z;
                    }
                    let norm = y.iter().chain(&z).map(|value| value * value).sum::<f64>().sqrt();
                    y.iter_mut().chain(&mut z).for_each(|value| *value /= norm);
                    sum += norm.ln();
                }
                sum
            };
            log_size(500);
            let found = log_size(1000) / 1000.0;
            let expected = 0.5 * oscillator_chi(Oscillator { step, stiffness, damping }, variance, 1.0).ln();
            // Eigenvalues of 150 units stay some hundredths of the disc's radius inside it, or go beyond it.
            let radius = step * variance.sqrt();
            println!("{step}, {stiffness}, {damping}: {found} per step, predicted {expected}, radius {radius}");
            assert!((found - expected).abs() < 0.1 * radius, "{found} is not {expected} within {}", 0.1 * radius);
        }
    }

    #[test]
    fn a_plain_recurrence_forgets_as_a_deep_net_does() {
        // RMS x 0.5 per step: 13.3 steps until 1e-4.
        let steps = |chi| Carry::State { chi }.steps_until(1e4);
        assert!((steps(0.25).unwrap() - 1e4_f64.log2()).abs() < 1e-12);
        assert!((steps(4.0).unwrap() - 1e4_f64.log2()).abs() < 1e-12);
        assert_eq!(steps(1.0), None);
        assert_eq!(steps(0.0), Some(0.0));
        assert_eq!(Carry::State { chi: 4.0 }.half_life(), None);
    }

    #[test]
    fn the_slope_follows_from_the_size_of_the_state() {
        let tanh = Activation::named("tanh").unwrap();
        // E tanh^2 at q = 1 is 0.39429449, E tanh'^2 0.46440290.
        assert!((state_slope(tanh, 0.394_294_49) - 0.464_402_90).abs() < 1e-7);
        assert_eq!(state_slope(tanh, 0.0), 1.0);
        assert!(state_slope(tanh, 0.999) < 0.01);
        assert!((state_slope(Activation::relu(), 3.0) - 0.5).abs() < 1e-9);
    }
}
