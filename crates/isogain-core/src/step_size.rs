//! How far one step of an optimizer moves each parameter of a network, for a steady gradient: where a parameter stands in the
//! network decides too.

use std::collections::HashMap;

use crate::network::Network;
use crate::recipe::{Optimizer, OptimizerName};
use crate::width_scaling::RateFactors;

/// The steps of one optimizer on one network.
#[derive(Clone, Debug)]
pub struct StepSizes<'a> {
    optimizer: &'a Optimizer,
    factors: RateFactors,
    /// RMS of the step over the learning rate of each weight whose step is an orthogonal matrix.
    orthogonal: HashMap<String, f64>,
}

impl<'a> StepSizes<'a> {
    /// Of this optimizer on this network.
    pub fn new(optimizer: &'a Optimizer, network: &Network) -> Self {
        let hidden = if optimizer.name == OptimizerName::Muon { network.hidden_weights() } else { Vec::new() };
        // Singular values of 1 make the squares of all numbers min(rows, columns) together, and their RMS 1 / sqrt(max(rows,
        // columns)). It is the most: measured are 0.77 to 0.90 of it in a healthy network (six ReLU layers of width 64, He),
        // since five Newton-Schulz iterations leave 0.7 to 1.2 instead of 1, and 0.09 to 0.36 where gradients are nearly of
        // rank one (six sigmoid layers).
        let rms = |shape: [usize; 2]| {
            let [fan_in, fan_out] = shape;
            optimizer.adjust_lr.factor(shape) / (fan_in.max(fan_out) as f64).sqrt()
        };
        Self {
            optimizer,
            factors: optimizer.rate_factors(network),
            orthogonal: hidden.into_iter().map(|(parameter, shape)| (parameter, rms(shape))).collect(),
        }
    }

    /// RMS of one step over that of the parameter, `weight`, which is above 0, where the gradient has RMS `gradient`.
    pub fn relative(&self, parameter: &str, gradient: f64, weight: f64) -> f64 {
        let rate = self.optimizer.learning_rate * self.factors.of(parameter);
        let moves = f64::from(gradient > 0.0);
        match self.orthogonal.get(parameter) {
            Some(rms) => rate * moves * rms / weight,
            None if self.optimizer.trust_ratio => rate * moves,
            None => rate * self.optimizer.gain(gradient) / weight,
        }
    }

    /// The `eps` that the parameter's gradient is divided away by where it is smaller; `None` where there is none, or where
    /// steps get their length back.
    pub fn eps(&self, parameter: &str) -> Option<f64> {
        self.optimizer.eps_of_others().filter(|_| !self.orthogonal.contains_key(parameter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Shape;
    use crate::recipe::{AdjustLr, expand, parse};

    fn steps(optimizer: &Optimizer, parameter: &str, gradient: f64) -> (f64, Option<f64>) {
        let recipe = parse("[network]\nkind = \"mlp\"\ndepth = 3\nwidth = 100\n", "test").unwrap();
        let network = expand::network(&recipe, Shape::vector(20), 5).unwrap();
        let sizes = StepSizes::new(optimizer, &network);
        (sizes.relative(parameter, gradient, 0.5), sizes.eps(parameter))
    }

    /// 100 x 100 between layers: RMS 0.2, or 1/10, of any gradient; what reads the data and the head are AdamW's.
    #[test]
    fn an_orthogonal_step_has_one_size_whatever_the_gradient() {
        let muon = Optimizer { learning_rate: 0.1, ..Optimizer::named(OptimizerName::Muon) };
        for gradient in [1e-30, 1.0, 1e30] {
            assert!((steps(&muon, "fc2.weight", gradient).0 - 0.1 * 0.2 / 0.5).abs() < 1e-15);
            let original = Optimizer { adjust_lr: AdjustLr::Original, ..muon.clone() };
            assert!((steps(&original, "fc2.weight", gradient).0 - 0.1 * 0.1 / 0.5).abs() < 1e-15);
        }
        assert_eq!(steps(&muon, "fc2.weight", 0.0), (0.0, None));
        for adamw in ["fc1.weight", "head.weight", "fc2.bias"] {
            let (half, eps) = steps(&muon, adamw, 1e-8);
            assert!((half - 0.1 * 0.5 / 0.5).abs() < 1e-15 && eps == Some(1e-8), "{adamw}: {half}");
        }
    }

    #[test]
    fn other_steps_have_the_size_of_their_rule() {
        let size = |name, gradient| {
            steps(&Optimizer { learning_rate: 0.1, ..Optimizer::named(name) }, "fc2.weight", gradient).0
        };
        let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
        near(size(OptimizerName::Sgd, 3.0), 0.6);
        near(size(OptimizerName::Momentum, 3.0), 6.0);
        near(size(OptimizerName::Adam, 1e-8), 0.1);
        near(size(OptimizerName::SignSgd, 1e-30), 0.2);
        assert_eq!(size(OptimizerName::SignSgd, 0.0), 0.0);
        let lars = Optimizer { learning_rate: 0.1, trust_ratio: true, ..Optimizer::default() };
        assert_eq!(steps(&lars, "fc2.weight", 1e-20), (0.1, None));
    }
}
