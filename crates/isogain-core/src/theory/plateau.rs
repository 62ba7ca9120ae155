//! How long a flat stretch of the loss still lasts, and whether it ends at all.
//!
//! Where weights start small, the gradient of each of L layers is the product of the others, so that
//! it starts at almost nothing and feeds itself. For scalar layers of one size w under a task of strength s, plain gradient
//! descent is `dw/dt = s w^(L-1)` until the target is reached (Saxe, McClelland and Ganguli 2014), with the solution
//!
//! ```text
//! w(t)^-(L-2) = w(0)^-(L-2) - (L-2) s t          escape at w(0)^-(L-2) / ((L-2) s)
//! ```
//!
//! The size of the gradient, |dW| = s w^(L-1), then has `|dW|^-((L-2)/(L-1))` falling in a straight line to zero, and it
//! gets there when the plateau ends. Neither w nor s has to be known: the line is fitted through what was recorded. Two
//! layers grow exponentially and have no such line. ReLU-like layers are of the same degree, and so is tanh near 0; a norm
//! or a skip takes the product away.
//!
//! It is an order of magnitude: real layers differ in size, batches are noisy, and the last part of the way is a race
//! between singular directions. Optimizers that rescale the gradient (Adam) grow w at a fixed rate, which is another law.

/// Fewest points of a fit.
const FEWEST: usize = 8;
/// Standard errors by which the line must fall, or rise, to mean anything.
const SURELY: f64 = 3.0;
/// How far one can see, in lengths of what was watched.
const TOO_FAR: f64 = 10.0;

/// Time until a chain of `layers` scalar weights of size `weight` escapes, by s: `w^(2-L) / ((L-2) s)`; for two layers
/// `ln(1/w) / s`. `None` for one layer, and for a weight that is not below 1.
pub fn escape_time(weight: f64, strength: f64, layers: usize) -> Option<f64> {
    let valid = weight > 0.0 && weight < 1.0 && strength > 0.0;
    match layers {
        _ if !valid => None,
        0 | 1 => None,
        2 => Some(-weight.ln() / strength),
        _ => {
            let beyond = layers as f64 - 2.0;
            Some(weight.powf(-beyond) / (beyond * strength))
        }
    }
}

/// What the growth of the gradient on a plateau says of its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Forecast {
    /// The gradient grows: steps that the loss stays flat from the last one on, an order of magnitude.
    Ends {
        /// Steps from the last one.
        steps: f64,
        /// Growth of ln|dW| per step over the fit, nepers.
        growth: f64,
    },
    /// It grows, but so slowly that the end would be more than ten times as far as what was watched.
    Far {
        /// Growth of ln|dW| per step over the fit, nepers.
        growth: f64,
    },
    /// It does not grow by more than its uncertainty: nothing says that the plateau ends.
    NoGrowth {
        /// Growth of ln|dW| per step over the fit, nepers.
        growth: f64,
    },
}

impl Forecast {
    /// From ln|dW| of one layer, or the mean over several, at these steps of a plateau; `layers` is how many matrices the
    /// network multiplies. `None` with fewer than eight points or three layers, or where a point is not finite.
    pub fn new(points: &[(f64, f64)], layers: usize) -> Option<Self> {
        if points.len() < FEWEST || layers < 3 || points.iter().any(|(step, ln)| !(step.is_finite() && ln.is_finite()))
        {
            return None;
        }
        let (first, last) = (points.first()?.0, points.last()?.0);
        // By the largest, so that no power overflows.
        let largest = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
        let power = (layers as f64 - 2.0) / (layers as f64 - 1.0);
        let line = Line::through(points.iter().map(|(step, ln)| (*step, (-power * (ln - largest)).exp())));
        let growth = Line::through(points.iter().copied()).slope;
        let surely_falls = line.slope < -SURELY * line.slope_error;
        let steps = line.zero() - last;
        Some(match steps {
            _ if !surely_falls => Self::NoGrowth { growth },
            steps if steps > TOO_FAR * (last - first) => Self::Far { growth },
            // A line that has reached zero says that it ends about now.
            steps => Self::Ends { steps: steps.max(0.0), growth },
        })
    }
}

/// A line by least squares.
#[derive(Clone, Copy, Debug)]
struct Line {
    slope: f64,
    slope_error: f64,
    middle: (f64, f64),
}

impl Line {
    fn through(points: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let count = points.clone().count() as f64;
        let mean = |of: fn((f64, f64)) -> f64| points.clone().map(of).sum::<f64>() / count;
        let middle = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.clone().map(|(x, _)| (x - middle.0).powi(2)).sum();
        let slope = points.clone().map(|(x, y)| (x - middle.0) * (y - middle.1)).sum::<f64>() / spread;
        let rest: f64 = points.map(|(x, y)| (y - middle.1 - slope * (x - middle.0)).powi(2)).sum();
        Self { slope, slope_error: (rest / (count - 2.0) / spread).sqrt(), middle }
    }

    fn zero(&self) -> f64 {
        self.middle.0 - self.middle.1 / self.slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// dw/dt = s w^(L-1) (1 - w^L) in small steps: the time at which half of the target is reached, and ln|dW| on the way.
    fn scalar(weight: f64, layers: i32, rate: f64) -> (f64, Vec<(f64, f64)>) {
        let (mut w, mut step, mut points) = (weight, 0_u32, Vec::new());
        while w.powi(layers) < 0.5 {
            let gradient = w.powi(layers - 1) * (1.0 - w.powi(layers));
            points.push((f64::from(step), gradient.ln()));
            w += rate * gradient;
            step += 1;
        }
        (f64::from(step) * rate, points)
    }

    /// T9(c): simulated 12.23 and 10.78, by the formula 12.5 and 10.67.
    #[test]
    fn escape_times_of_scalar_chains() {
        for (layers, weight, simulated, formula) in [(4, 0.2, 12.23, 12.5), (8, 0.5, 10.78, 10.67)] {
            let (time, _) = scalar(weight, layers, 1e-4);
            // The step of the published simulation is not known: 0.5 %.
            assert!((time - simulated).abs() < 0.05, "{layers}: {time}");
            let expected = escape_time(weight, 1.0, layers as usize).unwrap();
            assert!((expected - formula).abs() < 0.005, "{layers}: {expected}");
            // A task of twice the strength is learnt in half the time.
            assert!((escape_time(weight, 2.0, layers as usize).unwrap() - expected / 2.0).abs() < 1e-12);
        }
        // Two layers: w = w0 e^(s t).
        assert!((escape_time(0.1, 1.0, 2).unwrap() - 10_f64.ln()).abs() < 1e-12);
        assert_eq!([escape_time(0.1, 1.0, 1), escape_time(1.5, 1.0, 4), escape_time(0.1, 0.0, 4)], [None; 3]);
    }

    /// From the first half of a plateau its end is told, without w and s.
    #[test]
    fn the_first_half_tells_the_rest() {
        for (layers, weight) in [(3, 0.02), (4, 0.1), (6, 0.3), (8, 0.5), (12, 0.6)] {
            let (_, points) = scalar(weight, layers, 1e-3);
            let seen = &points[..points.len() / 2];
            let Some(Forecast::Ends { steps, growth }) = Forecast::new(seen, layers as usize) else {
                panic!("{layers}: {:?}", Forecast::new(seen, layers as usize));
            };
            let left = (points.len() - seen.len()) as f64;
            println!("{layers} layers: {steps} steps told, {left} left");
            assert!((steps / left - 1.0).abs() < 0.15, "{layers}: {steps} instead of {left}");
            assert!(growth > 0.0);
        }
    }

    #[test]
    fn what_does_not_grow_does_not_end() {
        let noise = |step: f64| 0.2 * (7.3 * step).sin();
        let points = |growth: f64| -> Vec<(f64, f64)> {
            (0..40).map(f64::from).map(|step| (25.0 * step, -9.0 + growth * step + noise(step))).collect()
        };
        for growth in [0.0, -0.02] {
            assert!(matches!(Forecast::new(&points(growth), 6), Some(Forecast::NoGrowth { .. })), "{growth}");
        }
        assert!(matches!(Forecast::new(&points(0.05), 6), Some(Forecast::Ends { .. })));
        // So slow that it would take thousands of times what was watched.
        let exact: Vec<(f64, f64)> = (0..40).map(f64::from).map(|step| (step, 1e-6 * step)).collect();
        assert!(matches!(Forecast::new(&exact, 6), Some(Forecast::Far { .. })));
        assert_eq!(Forecast::new(&points(0.05)[..5], 6), None);
        assert_eq!(Forecast::new(&points(0.05), 2), None);
        assert_eq!(Forecast::new(&[(0.0, f64::NEG_INFINITY); 9], 6), None);
    }
}
