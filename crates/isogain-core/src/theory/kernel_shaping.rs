//! Deep kernel shaping (Martens et al. 2021): a smooth activation moved and scaled until a plain net of a given depth keeps
//! both the size of its signals and the angles between them.
//!
//! phi~(x) = output_scale (phi(input_scale x + input_shift) + output_shift), for pre-activations of unit variance and weights
//! of sw2 = 1. With Q(q) = E phi~(sqrt(q) Z)^2 and C(c) = E phi~(u) phi~(v) at correlation c, four conditions fix the four
//! numbers:
//!
//! * Q(1) = 1: the signal keeps its size;
//! * Q'(1) = 1: a deviation of that size neither grows nor shrinks;
//! * C(0) = 0: orthogonal inputs stay so, which means E phi~ = 0;
//! * C'(1) = slope: the mean squared gradient changes by this factor per layer, zeta^(1/L) for zeta over L layers.
//!
//! The smaller the slope, the smaller the piece of phi that is used, and the more linear the network.

use super::quadrature::GaussianRule;

/// What C'(1) comes to over all layers in the paper's experiments.
pub const DEFAULT_GROWTH: f64 = 1.5;

/// Largest step of one iteration in either number.
const LARGEST_STEP: f64 = 0.3;
/// Iterations; eight are usual.
const ITERATIONS: usize = 60;
/// Step of the differences that the iteration takes its slopes from. They only steer it: what is found is judged by the
/// conditions themselves.
const DIFFERENCE: f64 = 1e-6;
/// How well the conditions must hold.
const TOLERANCE: f64 = 1e-10;

/// Where and how large an activation is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Factor on the argument.
    pub input_scale: f64,
    /// Added to that.
    pub input_shift: f64,
    /// Added to the value.
    pub output_shift: f64,
    /// Factor on that.
    pub output_scale: f64,
}

/// An activation before it is shaped.
#[derive(Debug, Clone, Copy)]
pub struct Plain {
    /// phi.
    pub value: fn(f64) -> f64,
    /// phi'.
    pub derivative: fn(f64) -> f64,
    /// The shift for a slope next to 1, at which phi''^2 = -2 phi' phi''': where the iteration begins.
    pub shift: f64,
}

/// C'(1) of each of `layers` layers, such that they come to `growth`.
pub fn slope(layers: usize, growth: f64) -> f64 {
    growth.powf(1.0 / layers.max(1) as f64)
}

impl Shape {
    /// The shape of `phi` with C'(1) = `slope` above 1; `None` where the conditions have no solution, which is so for slopes
    /// far above 1.
    ///
    /// Newton's method in the two numbers inside; those outside follow from them by Q(1) = 1 and C(0) = 0. Near slope 1
    /// the squared gradient grows by input_scale^2 / 2 (phi'' / phi')^2, which is where it begins.
    pub fn of(phi: Plain, slope: f64) -> Option<Self> {
        let rule = GaussianRule::new(1.0, &[]);
        let first = (phi.derivative)(phi.shift);
        let second = ((phi.derivative)(phi.shift + 1e-4) - (phi.derivative)(phi.shift - 1e-4)) / 2e-4;
        let mut at = [(2.0 * (slope - 1.0)).sqrt() * (first / second).abs(), phi.shift];
        for _ in 0..ITERATIONS {
            let errors = Piece::of(phi, &rule, at).errors(slope);
            let column = |index: usize| {
                let moved = |by: f64| {
                    let mut at = at;
                    at[index] += by;
                    Piece::of(phi, &rule, at).errors(slope)
                };
                let (after, before) = (moved(DIFFERENCE), moved(-DIFFERENCE));
                [0, 1].map(|row| (after[row] - before[row]) / (2.0 * DIFFERENCE))
            };
            let (of_scale, of_shift) = (column(0), column(1));
            let determinant = of_scale[0] * of_shift[1] - of_shift[0] * of_scale[1];
            let step = [
                (errors[0] * of_shift[1] - of_shift[0] * errors[1]) / determinant,
                (of_scale[0] * errors[1] - errors[0] * of_scale[1]) / determinant,
            ];
            let longest = step[0].abs().max(step[1].abs());
            let part = (LARGEST_STEP / longest).min(1.0);
            at = [at[0] - part * step[0], at[1] - part * step[1]];
            if !(at[0] > 0.0 && at[1].is_finite()) {
                return None;
            }
            if longest < 1e-14 {
                break;
            }
        }
        let piece = Piece::of(phi, &rule, at);
        let holds = piece.errors(slope).iter().all(|error| error.abs() < TOLERANCE);
        holds.then(|| Self {
            input_scale: at[0],
            input_shift: at[1],
            output_shift: -piece.mean,
            output_scale: piece.variance.sqrt().recip(),
        })
    }
}

/// Gaussian integrals of phi over the piece that is read.
struct Piece {
    mean: f64,
    variance: f64,
    /// Of the derivative of phi(scale x + shift) by x.
    squared_slope: f64,
    /// E (phi - mean) (dphi/dx) x.
    growth: f64,
}

impl Piece {
    fn of(phi: Plain, rule: &GaussianRule, [scale, shift]: [f64; 2]) -> Self {
        let value = |x: f64| (phi.value)(scale * x + shift);
        let derivative = |x: f64| scale * (phi.derivative)(scale * x + shift);
        let mean = rule.expect(value);
        Self {
            mean,
            variance: rule.expect(|x| (value(x) - mean).powi(2)),
            squared_slope: rule.expect(|x| derivative(x).powi(2)),
            growth: rule.expect(|x| (value(x) - mean) * derivative(x) * x),
        }
    }

    /// ln C'(1) - ln slope, and Q'(1) - 1.
    fn errors(&self, slope: f64) -> [f64; 2] {
        [(self.squared_slope / self.variance / slope).ln(), self.growth / self.variance - 1.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::activations::Activation;
    use crate::theory::correlation::Kernel;
    use crate::theory::gains::Gains;

    const SHAPED: [&str; 5] = ["shaped-gelu", "shaped-sigmoid", "shaped-silu", "shaped-softplus", "shaped-tanh"];

    /// The four conditions, of the finished activation and by other routines than those that solved them.
    #[test]
    fn the_conditions_hold() {
        for name in SHAPED {
            for target in [1.0004, 1.0136, 1.05, 1.15, 1.25] {
                let phi = Activation::named(name).unwrap().with_parameter("slope", target).unwrap();
                let length = |q: f64| Gains::at(phi, q).second_moment;
                let kernel = Kernel::new(phi, 1.0);
                let told = format!("{phi}");
                assert!((length(1.0) - 1.0).abs() < 1e-8, "{told}: Q(1) = {}", length(1.0));
                // A central difference of step h is off by h^2 Q'''/6.
                let change = (length(1.0 + 1e-4) - length(1.0 - 1e-4)) / 2e-4;
                assert!((change - 1.0).abs() < 1e-7, "{told}: Q'(1) = {change}");
                assert!(kernel.value(0.0).abs() < 1e-8, "{told}: C(0) = {}", kernel.value(0.0));
                assert!((kernel.slope(1.0) - target).abs() < 1e-8, "{told}: C'(1) = {}", kernel.slope(1.0));
            }
        }
    }

    /// The authors' test of softplus in a network of theirs: the slope that their numbers have, and from it their numbers.
    #[test]
    fn the_authors_numbers_for_softplus() {
        let (input_scale, input_shift) = (0.187_610_081_682_679_76, 0.406_880_634_422_620_07);
        let softplus = Plain {
            value: |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
            derivative: |x| 1.0 / (1.0 + (-x).exp()),
            shift: 1.5_f64.ln(),
        };
        let theirs = Piece::of(softplus, &GaussianRule::new(1.0, &[]), [input_scale, input_shift]);
        // Of their two numbers one decides the slope, so that the other condition is a test.
        let [log_slope, length] = theirs.errors(1.0);
        assert!(length.abs() < 1e-10, "{length}");
        let shape = Shape::of(softplus, log_slope.exp()).unwrap();
        assert!((shape.input_scale - input_scale).abs() < 1e-8, "{shape:?}");
        assert!((shape.input_shift - input_shift).abs() < 1e-8, "{shape:?}");
    }

    #[test]
    fn far_above_one_there_is_no_shape() {
        let softplus = Plain { value: |x| x.exp().ln_1p(), derivative: |x| 1.0 / (1.0 + (-x).exp()), shift: 0.4055 };
        assert_eq!(Shape::of(softplus, 3.0), None);
    }

    #[test]
    fn over_all_layers_the_slopes_come_to_the_growth() {
        for layers in [1, 30, 500] {
            assert!((slope(layers, 1.5).powi(layers as i32) - 1.5).abs() < 1e-10);
        }
    }
}
