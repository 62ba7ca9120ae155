//! The networks of `benches/networks`, with what each reads and answers. `benches/step_torch.py` builds the same ones.

use isogain::data::{Samples, Targets};
use isogain_core::network::Shape;
use isogain_core::recipe::expand::Inputs;
use isogain_core::theory::sampling::standard_normal;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A recipe that is timed.
pub(super) struct Timed {
    /// As the command line has it.
    pub(super) name: &'static str,
    /// The recipe itself.
    pub(super) recipe: &'static str,
    /// Positions of one sample along each axis.
    grid: &'static [usize],
    /// Numbers at each position.
    features: usize,
    /// Different tokens, where a sample is made of tokens.
    vocabulary: Option<usize>,
    /// Classes of the answer.
    pub(super) outputs: usize,
}

macro_rules! recipe {
    ($name:literal) => {
        include_str!(concat!("../../../../benches/networks/", $name, ".toml"))
    };
}

/// The table.
pub(super) const NETWORKS: [Timed; 6] = [
    numbers("mlp-20x256", recipe!("mlp-20x256"), &[], 784),
    numbers("mlp-50x100", recipe!("mlp-50x100"), &[], 784),
    numbers("cnn", recipe!("cnn"), &[28, 28], 1),
    numbers("resnet-20", recipe!("resnet-20"), &[32, 32], 3),
    Timed { vocabulary: Some(65), outputs: 65, ..numbers("gpt", recipe!("gpt"), &[64], 1) },
    numbers("lstm", recipe!("lstm"), &[50], 32),
];

const fn numbers(name: &'static str, recipe: &'static str, grid: &'static [usize], features: usize) -> Timed {
    Timed { name, recipe, grid, features, vocabulary: None, outputs: 10 }
}

impl Timed {
    /// What one sample is.
    pub(super) fn inputs(&self) -> Inputs {
        Inputs { shape: Shape { grid: self.grid.to_vec(), features: self.features }, vocabulary: self.vocabulary }
    }

    /// A batch of noise: N(0, 1), or tokens. An answer for each token, and for each sample otherwise.
    pub(super) fn batch(&self, count: usize) -> Samples {
        let Inputs { shape, vocabulary } = self.inputs();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let values = count * shape.values();
        let (inputs, labels) = match vocabulary {
            Some(tokens) => ((0..values).map(|_| rng.random_range(0..tokens) as f64).collect(), values),
            None => ((0..values).map(|_| standard_normal(&mut rng)).collect(), count),
        };
        let labels = (0..labels).map(|_| rng.random_range(0..self.outputs)).collect();
        Samples { shape, inputs, targets: Targets::Classes { labels, classes: self.outputs } }
    }
}
