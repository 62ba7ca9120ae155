//! Born-dead ReLU nets: constant from the start, so that no gradient reaches any weight (Lu et al. 2020).

/// P(a given input gives all zeros somewhere) for zero biases and symmetric weights: 1 - prod(1 - 2^-n), exact.
pub fn single_input_probability(hidden_widths: &[usize]) -> f64 {
    let ln_alive: f64 = hidden_widths.iter().map(|n| (-half_power(*n)).ln_1p()).sum();
    -ln_alive.exp_m1()
}

/// Upper bound on the probability that a net is constant, any input dimension, symmetric weights and biases: the
/// probability for one input.
pub fn upper_bound(width: usize, hidden_layers: usize) -> f64 {
    -(hidden_layers as f64 * (-half_power(width)).ln_1p()).exp_m1()
}

/// Lower bound on the probability that a net of one input and zero biases is constant on both half-lines.
pub fn lower_bound(width: usize, hidden_layers: usize) -> f64 {
    let (n, p) = (width as f64, half_power(width));
    let after_first = hidden_layers as f64 - 1.0;
    let one = (1.0 - p).powf(after_first);
    let both = (1.0 - 2.0 * p - (n - 1.0) * p * p).powf(after_first);
    1.0 - one + (1.0 - 2.0 * p) * (1.0 - p) / (1.0 + (n - 1.0) * p) * (both - one)
}

/// Hidden layers of `width` after which a given input is dead with the given probability.
pub fn layers_until(width: usize, probability: f64) -> f64 {
    (-probability).ln_1p() / (-half_power(width)).ln_1p()
}

/// 2^-n.
fn half_power(n: usize) -> f64 {
    0.5f64.powf(n as f64)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::sampling::standard_normal;

    /// (width, layers with the output layer, lower, simulated with its standard error, upper).
    const TABLE: [(usize, usize, f64, f64, f64, f64); 7] = [
        (2, 3, 0.156250, 0.156205, 0.00081, 0.437500),
        (2, 10, 0.870256, 0.880335, 0.00073, 0.924915),
        (3, 10, 0.513389, 0.578685, 0.00110, 0.699342),
        (4, 10, 0.204164, 0.295420, 0.00102, 0.440575),
        (5, 10, 0.063985, 0.127500, 0.00075, 0.248541),
        (5, 20, 0.213793, 0.354875, 0.00107, 0.452956),
        (10, 10, 0.000076, 0.001433, 0.00015, 0.008755),
    ];

    #[test]
    fn bounds_of_the_paper() {
        for (width, layers, lower, _, _, upper) in TABLE {
            assert!((lower_bound(width, layers - 1) - lower).abs() < 6e-7, "{width} {layers}");
            assert!((upper_bound(width, layers - 1) - upper).abs() < 6e-7, "{width} {layers}");
        }
    }

    #[test]
    fn one_input_exactly() {
        for (width, layers, probability) in [(2, 10, 0.943686), (5, 10, 0.272024), (10, 100, 0.093083)] {
            assert!((single_input_probability(&vec![width; layers]) - probability).abs() < 5e-7);
            assert!((layers_until(width, upper_bound(width, layers)) - layers as f64).abs() < 1e-6);
        }
        // Too small a probability to be 1 minus something in floating point.
        assert!((single_input_probability(&[60; 3]) / (3.0 * 0.5f64.powi(60)) - 1.0).abs() < 1e-12);
    }

    /// Share of nets of one input whose both half-lines die.
    fn dead_share(width: usize, hidden_layers: usize, nets: usize) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut dead = 0;
        for _ in 0..nets {
            let first: Vec<f64> = (0..width).map(|_| standard_normal(&mut rng)).collect();
            let mut rays = [1.0, -1.0].map(|x| first.iter().map(|w| (w * x).max(0.0)).collect::<Vec<f64>>());
            for _ in 1..hidden_layers {
                let w: Vec<f64> = (0..width * width).map(|_| standard_normal(&mut rng)).collect();
                for ray in &mut rays {
                    *ray = w
                        .chunks(width)
                        .map(|row| row.iter().zip(&*ray).map(|(w, x)| w * x).sum::<f64>().max(0.0))
                        .collect();
                }
            }
            dead += usize::from(rays.iter().flatten().all(|x| *x == 0.0));
        }
        dead as f64 / nets as f64
    }

    #[test]
    fn drawn_nets_lie_within_the_bounds() {
        let nets = 20_000;
        for (width, layers, lower, simulated, error, upper) in TABLE {
            let share = dead_share(width, layers - 1, nets);
            let own_error = (simulated * (1.0 - simulated) / nets as f64).sqrt();
            assert!((share - simulated).abs() < 3.0 * own_error.hypot(error), "{width} {layers}: {share}");
            assert!(share > lower - 3.0 * own_error && share < upper + 3.0 * own_error, "{width} {layers}: {share}");
        }
    }
}
