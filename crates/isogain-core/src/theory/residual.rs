//! Residual nets x_{l+1} = x_l + alpha F(x_l): how signal and gradient grow with the number of blocks.
//!
//! A random branch is uncorrelated with the stream, so mean squares add: per block the signal is multiplied by
//! 1 + alpha^2 g and the squared gradient by 1 + alpha^2 chi, g and chi being the branch's own factors. A normalised
//! branch adds a constant instead, and the stream grows by a straight line (De and Smith 2020).
//!
//! A Highway block y = (1 - T) x + T F(x) (Srivastava et al. 2015) shares out instead of adding: the signal is multiplied by
//! E (1 - T)^2 + E T^2 g, below 1 where the branch does not amplify.

use super::quadrature::GaussianRule;

/// Mean square of the stream after `blocks` blocks whose branch multiplies mean squares by `branch_factor` (1 for He),
/// from 1 at the start: (1 + alpha^2 g)^blocks.
pub fn stream_variance(branch_scale: f64, branch_factor: f64, blocks: usize) -> f64 {
    (blocks as f64 * (branch_scale * branch_scale * branch_factor).ln_1p()).exp()
}

/// The same for branches whose output has mean square 1 whatever comes in (a norm first): 1 + alpha^2 blocks.
pub fn normalised_stream_variance(branch_scale: f64, blocks: usize) -> f64 {
    1.0 + branch_scale * branch_scale * blocks as f64
}

/// ln of the factor on the mean squared gradient through `blocks` blocks of branch factor `chi`.
pub fn ln_gradient_factor(branch_scale: f64, chi: f64, blocks: usize) -> f64 {
    blocks as f64 * (branch_scale * branch_scale * chi).ln_1p()
}

/// ln of the same where each branch starts with a norm: block l then sees a stream of mean square 1 + alpha^2 l, which
/// divides its gradient. Grows like chi ln(blocks), a power instead of an exponential.
pub fn ln_normalised_gradient_factor(branch_scale: f64, chi: f64, blocks: usize) -> f64 {
    let square = branch_scale * branch_scale;
    (0..blocks).map(|block| (square * chi / (1.0 + square * block as f64)).ln_1p()).sum()
}

/// alpha = 1 / sqrt(blocks), under which signal and gradient grow at most by e^(branch factor) (Hayou et al. 2021).
pub fn stable_branch_scale(blocks: usize) -> f64 {
    1.0 / (blocks as f64).sqrt()
}

/// GPT-2's factor 1 / sqrt(2 N) on the two residual projections of each of N transformer blocks (Radford et al. 2019).
pub fn gpt2_projection_scale(transformer_blocks: usize) -> f64 {
    1.0 / (2.0 * transformer_blocks as f64).sqrt()
}

/// Fixup's factor blocks^(-1 / (2 m - 2)) on the weights of a branch of m >= 2 layers (Zhang et al. 2019).
pub fn fixup_scale(blocks: usize, branch_layers: usize) -> f64 {
    (blocks as f64).powf(-1.0 / (2.0 * branch_layers as f64 - 2.0))
}

/// DeepNorm's (alpha, beta) = ((2 N)^(1/4), (8 N)^(-1/4)) for N encoder-only or decoder-only blocks: stream scale and
/// branch gain at initialisation (Wang et al. 2022).
pub fn deep_norm(transformer_blocks: usize) -> (f64, f64) {
    let n = transformer_blocks as f64;
    ((2.0 * n).powf(0.25), (8.0 * n).powf(-0.25))
}

/// T-Fixup's factors (0.67 N^(-1/4), (9 N)^(-1/4)) for N encoder blocks: of the weights of values, outputs and
/// feed-forward layers, and of the embedding, at initialisation (Huang et al. 2020, section 3.2).
pub fn t_fixup(transformer_blocks: usize) -> (f64, f64) {
    let n = transformer_blocks as f64;
    (0.67 * n.powf(-0.25), (9.0 * n).powf(-0.25))
}

/// A gate T = sigmoid(z): the part of a block's output that is the branch's.
pub fn gate(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// What a random gate does to mean squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    /// E (1 - T)^2, what it keeps of the stream's.
    pub carried: f64,
    /// E T^2, what it lets through of the branch's.
    pub open: f64,
    /// E (T (1 - T))^2, its own slope.
    pub slope: f64,
}

impl Gate {
    /// Of gates whose pre-activation has this mean, its bias at the start, and this variance.
    pub fn at(bias: f64, variance: f64) -> Self {
        let rule = GaussianRule::new(variance, &[]);
        let mean = |f: &dyn Fn(f64) -> f64| rule.expect(|z| f(gate(bias + z)));
        Self {
            carried: mean(&|open| (1.0 - open).powi(2)),
            open: mean(&|open| open * open),
            slope: mean(&|open| (open * (1.0 - open)).powi(2)),
        }
    }

    /// Factor of the mean squared gradient that goes past the branch: (1 - T) g, and T' (F(x) - x) g through weights of variance
    /// 1 / width, `stream` and `branch` being the mean squares of x and F(x).
    pub fn past_factor(&self, stream: f64, branch: f64) -> f64 {
        self.carried + self.slope * (stream + branch)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::theory::sampling::standard_normal;

    #[test]
    fn constants_of_the_papers() {
        assert!((gpt2_projection_scale(12) - 0.204124).abs() < 5e-7);
        assert!((gpt2_projection_scale(48) - 0.102062).abs() < 5e-7);
        let (alpha, beta) = deep_norm(100);
        assert!((alpha - 3.760603).abs() < 5e-7 && (beta - 0.18803).abs() < 5e-6);
        let (branch, embedding) = t_fixup(6);
        assert!((branch - 0.428092).abs() < 5e-7 && (embedding - 0.368894).abs() < 5e-7);
        assert!((fixup_scale(54, 2) - 0.136083).abs() < 5e-7);
        assert!((fixup_scale(33, 3) - 0.417226).abs() < 5e-7);
        assert_eq!(stream_variance(1.0, 1.0, 10).round(), 1024.0);
        assert_eq!(normalised_stream_variance(1.0, 10), 11.0);
        let e = stream_variance(stable_branch_scale(10_000), 1.0, 10_000);
        assert!((e - std::f64::consts::E).abs() < 2e-4);
    }

    #[test]
    fn normalised_branches_grow_the_gradient_by_a_power_of_the_depth() {
        // chi = 1: the product of (l + 2) / (l + 1) telescopes.
        assert!((ln_normalised_gradient_factor(1.0, 1.0, 99) - 100f64.ln()).abs() < 1e-12);
        assert!(ln_gradient_factor(1.0, 1.0, 99) > 68.0);
    }

    /// Mean squares of the stream at each block of a drawn pre-activation ReLU net with He weights.
    fn simulated(width: usize, blocks: usize, scale: f64, normalise: bool, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut x: Vec<f64> = (0..width).map(|_| standard_normal(&mut rng)).collect();
        let start = x.iter().map(|x| x * x).sum::<f64>();
        (0..blocks)
            .map(|_| {
                let mean_square = x.iter().map(|x| x * x).sum::<f64>() / width as f64;
                let inner = if normalise { mean_square.sqrt() } else { 1.0 };
                let gain = scale * (2.0 / width as f64).sqrt() / inner;
                let active: Vec<f64> = x.iter().map(|x| x.max(0.0)).collect();
                for x in &mut x {
                    *x += gain * active.iter().map(|a| a * standard_normal(&mut rng)).sum::<f64>();
                }
                x.iter().map(|x| x * x).sum::<f64>() / start
            })
            .collect()
    }

    #[test]
    fn drawn_nets_follow_the_laws() {
        let (width, blocks, seeds) = (256, 6, 12);
        let mean = |scale: f64, normalise: bool| {
            let total: f64 = (0..seeds).map(|seed| simulated(width, blocks, scale, normalise, seed)[blocks - 1]).sum();
            total / seeds as f64
        };
        assert!((mean(1.0, false) / stream_variance(1.0, 1.0, blocks) - 1.0).abs() < 0.08);
        assert!((mean(1.0, true) / normalised_stream_variance(1.0, blocks) - 1.0).abs() < 0.08);
        let scale = stable_branch_scale(blocks);
        assert!((mean(scale, false) / stream_variance(scale, 1.0, blocks) - 1.0).abs() < 0.08);
    }

    /// Blocks y = (1 - T) x + T F(x) of drawn ReLU branches under He weights, gates of Glorot weights and bias -1: mean squares of
    /// the stream, and of the gradient from an independent one at the end.
    #[test]
    fn drawn_gates_follow_the_law() {
        let (width, bias, start) = (400, -1.0, 0.25_f64);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut draw = |deviation: f64| -> Vec<f64> {
            (0..width * width).map(|_| deviation * standard_normal(&mut rng)).collect()
        };
        let mean_square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let times = |x: &[f64], weights: &[f64]| crate::matmul::product(x, weights, [1, width, width]);
        let back = |g: &[f64], weights: &[f64]| -> Vec<f64> {
            weights.chunks_exact(width).map(|row| row.iter().zip(g).map(|(w, g)| w * g).sum()).collect()
        };
        let x = draw(start.sqrt());
        let (x, g) = (&x[..width], draw(1.0));
        let g = &g[..width];
        let [under, weights] = [(width as f64).recip().sqrt(), (2.0 / width as f64).sqrt()].map(draw);
        let open: Vec<f64> = times(x, &under).iter().map(|z| gate(bias + z)).collect();
        let f = times(&x.iter().map(|x| x.max(0.0)).collect::<Vec<_>>(), &weights);
        let y: Vec<f64> = (0..width).map(|i| x[i] + open[i] * (f[i] - x[i])).collect();
        let law = Gate::at(bias, mean_square(x));
        // x and F(x) are uncorrelated, He keeps mean squares, and the gate depends on neither's sign.
        assert!((mean_square(&y) / mean_square(x) / (law.carried + law.open) - 1.0).abs() < 0.1);
        let product = |of: &dyn Fn(usize) -> f64| (0..width).map(of).collect::<Vec<f64>>();
        let steered = back(&product(&|i| open[i] * (1.0 - open[i]) * (f[i] - x[i]) * g[i]), &under);
        let past = product(&|i| (1.0 - open[i]) * g[i] + steered[i]);
        let found = mean_square(&past) / mean_square(g);
        // Deviations of 1 / sqrt(400) in each of three sums.
        assert!((found / law.past_factor(mean_square(x), mean_square(&f)) - 1.0).abs() < 0.15, "{found}");
        assert!(
            (Gate::at(0.0, 0.0).carried - 0.25).abs() < 1e-12 && (Gate::at(-40.0, 1.0).carried - 1.0).abs() < 1e-12
        );
    }
}
