//! T17: fifteen networks of 30 layers on the digits, of which eight learn (in the spirit of He et al. 2015).

use isogain_core::summary::reproduction::{Basis, Expected, Row};

use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "rescue-table",
    title: "Thirty layers: which initialisations, activations, norms and skips let them learn",
    source: "He et al. 2015; Glorot & Bengio 2010; De & Smith 2020",
    setting: "digits, 30 layers of width 64, 1000 steps of SGD at 0.05, 3 seeds: median loss; knowing nothing is 2.303",
    disproof: None,
    seconds: 160,
    run,
};

const SEEDS: u64 = 3;

/// Median loss from which on a network counts as stuck: ln 10 is knowing nothing.
const STUCK: f64 = 2.1;

/// One network of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row17 {
    /// File name of its recipe in `recipes/t17`, without the ending.
    pub name: &'static str,
    /// The recipe.
    pub recipe: &'static str,
    /// Whether it learns.
    pub learns: bool,
}

/// The recipe of that name, as it stands in the repository.
macro_rules! network {
    ($name:literal, $learns:literal) => {
        Row17 {
            name: $name,
            recipe: include_str!(concat!("../../../../recipes/t17/", $name, ".toml")),
            learns: $learns,
        }
    };
}

/// The table. He's weights at this learning rate are slow but learn; the tailored activation needs a smaller one.
pub const NETWORKS: [Row17; 15] = [
    network!("01-relu-pytorch-default", false),
    network!("02-relu-xavier", false),
    network!("03-relu-he", true),
    network!("04-relu-too-large", false),
    network!("05-tanh-pytorch-default", false),
    network!("06-tanh-xavier", true),
    network!("07-tanh-gain-5-3", true),
    network!("08-tanh-edge-of-chaos", true),
    network!("09-sigmoid-xavier", false),
    network!("10-sigmoid-large", false),
    network!("11-relu-xavier-batch-norm", true),
    network!("12-relu-residual-scaled", true),
    network!("13-relu-skip-init", true),
    network!("14-relu-residual-unscaled", false),
    network!("15-tailored-relu", false),
];

impl Row17 {
    /// Median loss on the training part over seeds; infinite where most trainings broke.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when stopped.
    pub fn median_loss(&self, lab: &Lab<'_>) -> Result<f64, Error> {
        let subject = Subject::new(self.recipe)?;
        let mut losses = Vec::new();
        for seed in 0..SEEDS {
            let loss = subject.train(seed, lab)?.loss;
            losses.push(if loss.is_finite() { loss } else { f64::INFINITY });
        }
        losses.sort_by(f64::total_cmp);
        Ok(losses[losses.len() / 2])
    }

    /// Whether such a loss is what the table says.
    pub fn agrees(&self, median_loss: f64) -> bool {
        (median_loss < STUCK) == self.learns
    }
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    for (index, network) in NETWORKS.iter().enumerate() {
        lab.at(index, NETWORKS.len())?;
        let loss = network.median_loss(lab)?;
        let broke = loss.is_infinite();
        let expected = match (network.learns, broke) {
            (true, _) => Expected::Below { limit: STUCK },
            (false, true) => Expected::Diverges,
            (false, false) => Expected::Above { limit: STUCK },
        };
        found.rows.push(Row::new(network.name, loss, expected, Basis::Measured));
    }
    Ok(found)
}
