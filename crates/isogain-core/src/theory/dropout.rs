//! What dropout does to signal and gradient.
//!
//! A value is kept with probability p and then divided by p, so that its mean stays and its mean square becomes mu2 = 1/p
//! times as large. With the noise between activation and weights (Schoenholz et al. 2017, section 5; Pretorius et al. 2018)
//! the length map is q' = mu2 sw2 E phi^2 + sb2 and the mean squared gradient changes by chi = mu2 sw2 E phi'^2: as without
//! dropout under mu2 sw2. Two inputs, or one input under two masks, share no noise, so that their correlation has the map
//! C(c) = (sw2 E phi(u) phi(v) + sb2) / q with C(1) < 1: at whatever scale, all pairs approach a c* < 1 exponentially.

use super::activations::Activation;
use super::correlation::Kernel;
use super::solve::root;

/// mu2 = E noise^2 where a `fraction` in [0, 1) of the values is set to 0.
pub fn noise(fraction: f64) -> f64 {
    1.0 / (1.0 - fraction)
}

/// The correlation c* in [0, 1] that pairs approach at the length `q` of the noisy map, and the slope C'(c*) of the
/// approach; `weight_variance` is sw2 without the noise. `None` where C has no fixed point there.
pub fn correlation(activation: Activation, q: f64, weight_variance: f64, bias_variance: f64) -> Option<(f64, f64)> {
    let kernel = Kernel::new(activation, q);
    let map = |c: f64| (weight_variance * kernel.value(c) + bias_variance) / q;
    let slope = |c: f64| weight_variance * kernel.slope(c) / q;
    if map(0.0) < 1e-14 {
        return Some((0.0, slope(0.0)));
    }
    let c = root(|c| map(c) - c, 0.0, 1.0)?;
    Some((c, slope(c)))
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::mean_field::MeanField;
    use crate::theory::sampling::standard_normal;

    #[test]
    fn the_fixed_point_is_where_the_iteration_ends() {
        for (name, keep, sw2, sb2) in
            [("relu", 0.5, 1.0, 0.0), ("relu", 0.9, 1.8, 0.0), ("tanh", 0.9, 1.5, 0.05), ("tanh", 0.7, 0.9, 0.1)]
        {
            let activation = Activation::named(name).unwrap();
            let noisy = MeanField { activation, weight_variance: sw2 / keep, bias_variance: sb2 };
            let q = *noisy.trajectory(1.0, 2000).last().unwrap();
            let kernel = Kernel::new(activation, q);
            let map = |c: f64| (sw2 * kernel.value(c) + sb2) / q;
            let (c, slope) = correlation(activation, q, sw2, sb2).unwrap();
            let ended = (0..2000).fold(0.9, |c, _| map(c));
            assert!((c - ended).abs() < 1e-9, "{name}: {c} {ended}");
            assert!(c < 1.0 && map(1.0) < 1.0);
            let numeric = (map(c + 1e-5) - map(c - 1e-5)) / 2e-5;
            assert!((slope - numeric).abs() < 1e-6, "{name}: {slope} {numeric}");
        }
    }

    /// One layer of width 400 under two masks, 200 times: mean square and correlation of the pre-activations.
    #[test]
    fn two_masks_of_one_input_in_a_drawn_layer() {
        let (units, keep, sw2) = (400, 0.5, 1.0);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut squares, mut products) = (0.0, 0.0);
        for _ in 0..200 {
            let input: Vec<f64> = (0..units).map(|_| standard_normal(&mut rng).max(0.0)).collect();
            let weights: Vec<f64> =
                (0..units).map(|_| standard_normal(&mut rng) * (sw2 / units as f64).sqrt()).collect();
            let mut output = || -> f64 {
                let mut kept = |_: &f64| if standard_normal(&mut rng) > 0.0 { 1.0 / keep } else { 0.0 };
                input.iter().zip(&weights).map(|(x, w)| x * w * kept(x)).sum()
            };
            let (first, second) = (output(), output());
            squares += first * first + second * second;
            products += 2.0 * first * second;
        }
        // q = mu2 sw2 E relu(Z)^2 = 1 and the product sw2 E relu(Z)^2 = 1/2; 200 pairs have a
        // deviation of 8 % in both: three of them.
        let (q, product) = (squares / 400.0, products / 400.0);
        assert!((q - noise(keep) * sw2 * 0.5).abs() < 0.24, "{q}");
        assert!((product - sw2 * 0.5).abs() < 0.24, "{product}");
    }
}
