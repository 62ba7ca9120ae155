//! Trainings from recipes.

use std::path::Path;
use std::sync::Arc;

use isogain_core::network::Network;
use isogain_core::recipe::{Recipe, parse};

use super::Lab;
use crate::Error;
use crate::check::network;
use crate::data::{Dataset, Samples};
use crate::train::{Trainer, judge};

/// A recipe with its network and data.
pub(crate) struct Subject {
    pub(crate) recipe: Recipe,
    pub(crate) network: Network,
    pub(crate) data: Arc<Dataset>,
}

/// How a training ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// Loss of each step's batch.
    pub(crate) losses: Vec<f64>,
    /// Loss on the whole training part, in evaluation mode.
    pub(crate) loss: f64,
    /// Share of the training part that is right.
    pub(crate) accuracy: f64,
    /// Share of the test part that is right.
    pub(crate) test_accuracy: f64,
}

impl Ended {
    /// Mean loss over the last `steps` batches; not finite where the training broke.
    pub(crate) fn late(&self, steps: usize) -> f64 {
        let from = self.losses.len().saturating_sub(steps);
        self.losses[from..].iter().sum::<f64>() / self.losses[from..].len().max(1) as f64
    }
}

impl Subject {
    /// From a recipe as it would stand in a file.
    pub(crate) fn new(recipe: &str) -> Result<Self, Error> {
        let recipe = parse(recipe, "recipe")?;
        let data = Arc::new(Dataset::load(&recipe.data, Path::new("."))?);
        let network = network(&recipe, &data)?;
        Ok(Self { recipe, network, data })
    }

    /// The whole training part as one batch.
    pub(crate) fn everything(&self) -> Samples {
        self.data.train.select(&(0..self.data.train.len()).collect::<Vec<usize>>())
    }

    pub(crate) fn trainer(&self, seed: u64) -> Trainer {
        Trainer::new(&self.recipe, &self.network, &self.data, seed)
    }

    /// Trains to the end, or to where a value stops being finite.
    pub(crate) fn train(&self, seed: u64, lab: &Lab<'_>) -> Result<Ended, Error> {
        self.finish(self.trainer(seed), lab)
    }

    /// The same with a network that is there already.
    pub(crate) fn finish(&self, mut trainer: Trainer, lab: &Lab<'_>) -> Result<Ended, Error> {
        while trainer.step < self.recipe.run.steps && !trainer.is_broken() {
            lab.stopped()?;
            trainer.advance(&self.data, false);
        }
        let (loss, accuracy) = judge(&trainer.model, &self.data.train);
        let (_, test_accuracy) = judge(&trainer.model, &self.data.test);
        let share = |accuracy: Option<f64>| accuracy.unwrap_or(f64::NAN);
        Ok(Ended { losses: trainer.losses, loss, accuracy: share(accuracy), test_accuracy: share(test_accuracy) })
    }
}
