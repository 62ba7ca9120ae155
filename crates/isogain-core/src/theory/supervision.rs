//! Deep supervision: what auxiliary heads add to the gradient of the layers in front of them.
//!
//! The weights of heads are drawn independently, so that what they send back is uncorrelated and mean squares add (Lee et al.
//! 2015 train such heads; the sum is that of residual nets, Yang & Schoenholz 2017). With g_l the cotangent at the output of
//! hidden layer l of L, chi the factor of its mean square per layer, and c the mean square that an auxiliary head sends over
//! that of the last one,
//!
//! E g_l^2 = chi E g_(l+1)^2 + c where an auxiliary head stands behind l, so that
//! E g_l^2 = E g_L^2 (chi^(L - l) + c sum over the heads h >= l of chi^(h - l)).
//!
//! Where chi < 1 it falls to chi^(k - 1) c / (1 - chi^k) with a head after every k layers and no further, however deep the
//! network is; where chi > 1 the last head's part grows as without them.

use serde::{Deserialize, Serialize};

/// Auxiliary heads at even distances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Supervision {
    /// Hidden layers from one to the next, and in front of the first.
    pub every: usize,
    /// c: the mean square of what one of them sends back over that of the last head. With equal starts it is the square of
    /// the factor on its loss.
    pub strength: f64,
}

/// Change between two rounds of heads below which the rest repeats.
const SETTLED: f64 = 1e-12;

impl Supervision {
    /// E g_l^2 / E g_L^2 of the hidden layers 1 to `layers`.
    pub fn gradients(&self, chi: f64, layers: usize) -> Vec<f64> {
        let mut found = vec![1.0; layers];
        for layer in (1..layers).rev() {
            let sent = if layer.is_multiple_of(self.every) { self.strength } else { 0.0 };
            found[layer - 1] = chi * found[layer] + sent;
        }
        found
    }

    /// The mean factor of E g^2 per layer, from the last of `layers` to the first.
    pub fn factor(&self, chi: f64, layers: usize) -> f64 {
        match self.gradients(chi, layers).as_slice() {
            [first, rest @ ..] if !rest.is_empty() => first.powf((rest.len() as f64).recip()),
            _ => chi,
        }
    }

    /// Layers in front of the last one until E g^2, 1 there, meets a condition on its smallest and largest value so far; the
    /// last auxiliary head as far from the end as it can be. `None` where it never does within `most` layers.
    pub fn layers_until(&self, chi: f64, most: f64, is_met: impl Fn(f64, f64) -> bool) -> Option<f64> {
        let (mut square, mut round) = (1.0_f64, 1.0);
        let (mut smallest, mut largest) = (square, square);
        let mut back = 0_usize;
        loop {
            if is_met(smallest, largest) {
                return Some(back as f64);
            }
            back += 1;
            let is_head = back.is_multiple_of(self.every);
            square = chi * square + if is_head { self.strength } else { 0.0 };
            (smallest, largest) = (smallest.min(square), largest.max(square));
            if back as f64 > most || is_head && (square - round).abs() <= SETTLED * square {
                return is_met(smallest, largest).then_some(back as f64);
            }
            if is_head {
                round = square;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::sampling::standard_normal;

    #[test]
    fn the_recursion_is_the_sum_over_the_heads() {
        let (every, strength, layers) = (4, 0.09, 23);
        for chi in [0.4, 1.0, 1.7] {
            let found = Supervision { every, strength }.gradients(chi, layers);
            for layer in 1..=layers {
                let heads = (layer..layers).filter(|head| head % every == 0);
                let sum: f64 = heads.map(|head| strength * f64::powi(chi, (head - layer) as i32)).sum();
                let expected = f64::powi(chi, (layers - layer) as i32) + sum;
                assert!((found[layer - 1] / expected - 1.0).abs() < 1e-12, "{chi} {layer}");
            }
        }
        // Without strength it is the chain's own factor.
        let none = Supervision { every, strength: 0.0 };
        assert!((none.factor(0.7, layers) - 0.7).abs() < 1e-12);
        assert_eq!(none.factor(0.7, 1), 0.7);
    }

    #[test]
    fn a_vanishing_gradient_falls_only_to_the_next_head() {
        let supervision = Supervision { every: 5, strength: 0.09 };
        let deep = supervision.gradients(1.0 / 6.0, 200);
        let floor = 6f64.powi(-4) * 0.09 / (1.0 - 6f64.powi(-5));
        assert!((deep[0] / floor - 1.0).abs() < 1e-9, "{}", deep[0]);
        let falls = |to: f64| supervision.layers_until(1.0 / 6.0, 1e6, |smallest, _| smallest < to);
        assert_eq!(falls(1.01 * floor), Some(9.0));
        assert_eq!(falls(0.99 * floor), None);
        let without = Supervision { strength: 0.0, ..supervision };
        assert_eq!(without.layers_until(1.0 / 6.0, 1e6, |smallest, _| smallest < 0.99 * floor), Some(6.0));
        // A growing one grows all the same, and a kept one by a straight line.
        assert_eq!(supervision.layers_until(2.0, 1e6, |_, largest| largest > 1000.0), Some(10.0));
        assert_eq!(supervision.layers_until(1.0, 1e6, |_, largest| largest > 1.95), Some(55.0));
    }

    /// Drawn ReLU nets with heads of their own for each loss: the mean square of the cotangents.
    #[test]
    fn drawn_nets_follow_the_sum() {
        let (width, outputs, layers, nets) = (64, 10, 12, 200);
        let supervision = Supervision { every: 4, strength: 0.25 };
        for weight_variance in [1.0, 2.0] {
            let mut sums = vec![0.0; layers];
            for seed in 0..nets {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                // What a head sends back: its weights times the slopes of its loss.
                let sent = |rng: &mut ChaCha8Rng| -> Vec<f64> {
                    let deviation = (width as f64).sqrt().recip();
                    let slopes: Vec<f64> = (0..outputs).map(|_| standard_normal(rng)).collect();
                    let unit = |rng: &mut ChaCha8Rng| slopes.iter().map(|d| d * deviation * standard_normal(rng)).sum();
                    (0..width).map(|_| unit(rng)).collect()
                };
                let mut g = sent(&mut rng);
                for layer in (1..=layers).rev() {
                    sums[layer - 1] += g.iter().map(|g| g * g).sum::<f64>();
                    let open: Vec<f64> =
                        g.iter().map(|g| if standard_normal(&mut rng) > 0.0 { *g } else { 0.0 }).collect();
                    let deviation = (weight_variance / width as f64).sqrt();
                    g = (0..width)
                        .map(|_| open.iter().map(|g| g * deviation * standard_normal(&mut rng)).sum())
                        .collect();
                    if (layer - 1).is_multiple_of(supervision.every) && layer > 1 {
                        let added = sent(&mut rng);
                        g.iter_mut().zip(added).for_each(|(g, added)| *g += supervision.strength.sqrt() * added);
                    }
                }
            }
            let expected = supervision.gradients(weight_variance / 2.0, layers);
            for (layer, (sum, expected)) in sums.iter().zip(&expected).enumerate() {
                let found = sum / sums[layers - 1];
                assert!((found / expected - 1.0).abs() < 0.25, "{weight_variance} {layer}: {found} {expected}");
            }
        }
    }
}
