//! Learning rates by width: the part of the maximal update parametrisation (muP, Yang & Hu 2021, Yang et al. 2022) that an
//! adaptive optimizer needs. One file for the formula, so that every engine scales the same.
//!
//! A step of Adam moves every weight by about the learning rate, and what the steps of a batch have in common adds up over a
//! unit's inputs: the pre-activation moves by the rate times the fan-in. So the rate of a weight between layers goes with
//! 1 / fan-in. What reads the data has a fan-in that is no width; biases, norms and embeddings have none.

use std::collections::BTreeMap;

use crate::network::Network;

/// What the learning rates of parameters are multiplied by; by default nothing changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateFactors(BTreeMap<String, f64>);

impl RateFactors {
    /// `base_width / fan_in` for each weight between layers of `network`.
    pub fn new(network: &Network, base_width: usize) -> Self {
        let weights = network.weights_between_layers().into_iter();
        Self(weights.map(|(parameter, [fan_in, _])| (parameter, base_width as f64 / fan_in as f64)).collect())
    }

    /// The factor of this parameter.
    pub fn of(&self, parameter: &str) -> f64 {
        self.0.get(parameter).copied().unwrap_or(1.0)
    }

    /// That of the widest layer; infinite where no rate depends on a width.
    pub fn smallest(&self) -> f64 {
        self.0.values().copied().fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Shape;
    use crate::recipe::{expand, parse};

    fn factors(network: &str, shape: Shape, base: usize) -> Vec<(String, f64)> {
        let recipe = parse(&format!("[network]\n{network}\n"), "test").unwrap();
        RateFactors::new(&expand::network(&recipe, shape, 3).unwrap(), base).0.into_iter().collect()
    }

    #[test]
    fn what_reads_the_data_keeps_its_rate() {
        let mlp = factors("depth = 2\nwidth = 128", Shape::vector(5), 64);
        assert_eq!(mlp, [("fc2.weight".into(), 0.5), ("head.weight".into(), 0.5)]);
        let convnet = factors("kind = \"convnet\"\ndepth = 2\nwidth = 8", Shape::image(4, 4, 1), 36);
        assert_eq!(convnet, [("conv2.weight".into(), 0.5), ("head.weight".into(), 4.5)]);
        let block = "kind = \"layers\"\nlayers = [{ residual = [{ linear = 8 }, { linear = 32 }], shortcut = [{ linear = 32 }] }, \
                     { linear = 3 }]";
        let listed = factors(block, Shape::vector(2), 64);
        let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["block1.fc2.weight", "head.weight"]);
        assert_eq!([listed[0].1, listed[1].1], [8.0, 2.0]);
    }
}
