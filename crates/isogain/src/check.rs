//! A network before training: one batch, and what theory expects of it.

use std::path::Path;
use std::sync::Arc;

use isogain_core::forecast;
use isogain_core::network::Network;
use isogain_core::recipe::{OptimizerName, Recipe, expand};
use isogain_core::record::Snapshot;
use isogain_core::remedies::potential::Potential;
use isogain_core::remedies::prediction::{Expectation, Prediction};
use isogain_core::rules::differential::{Told, differential};
use isogain_core::rules::{Case, Finding, diagnose};
use isogain_core::theory::limits::Limits;

use crate::Error;
use crate::data::Dataset;
use crate::device::device;
use crate::potential::potential;
use crate::sharpness::sharpness;
use crate::snapshot::{ask, shattering};
use crate::train::{Trainer, first_batch};

/// A recipe with its network and data, measured once before training.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The recipe.
    pub recipe: Recipe,
    /// The network it describes.
    pub network: Network,
    /// Its data.
    pub data: Arc<Dataset>,
    /// One batch, with full tensors at hand.
    pub start: Snapshot,
    /// What theory expects.
    pub limits: Limits,
    /// What one step of the optimizer can do; `None` where it was not measured.
    pub potential: Option<Potential>,
}

/// The network that a recipe describes for this data.
///
/// # Errors
/// When they do not fit.
pub fn network(recipe: &Recipe, data: &Dataset) -> Result<Network, Error> {
    let inputs = expand::Inputs { shape: data.shape(), vocabulary: data.vocabulary() };
    let network = expand::network(recipe, inputs, recipe.data.outputs(data.outputs()))?;
    expand::answers(recipe, &network, data.targets())?;
    Ok(network)
}

impl Subject {
    /// Loads the data and measures the network on the first batch.
    ///
    /// # Errors
    /// When the data cannot be used, or recipe and data do not fit.
    pub fn load(recipe: &Recipe, folder: &Path) -> Result<Self, Error> {
        Self::new(recipe, Arc::new(Dataset::load(&recipe.data, folder)?))
    }

    /// Measures the network on the first batch of this data.
    ///
    /// # Errors
    /// When recipe and data do not fit, or the device is not there.
    pub fn new(recipe: &Recipe, data: Arc<Dataset>) -> Result<Self, Error> {
        Self::with_trainer(recipe, data).map(|(subject, _)| subject)
    }

    /// The same, and the network that was measured, before its first step: to draw its parameters takes as long as a pass.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn with_trainer(recipe: &Recipe, data: Arc<Dataset>) -> Result<(Self, Trainer), Error> {
        device(recipe.run.device)?;
        let network = network(recipe, &data)?;
        let trainer = Trainer::new(recipe, &network, &data, recipe.run.seed);
        let batch = first_batch(recipe, &data, recipe.run.seed);
        let mut start = trainer.snapshot(&batch)?;
        start.shattering = shattering(&trainer.model, &batch)?;
        data.intact()?;
        let limits = forecast::limits(&network, recipe, &start);
        let subject = Self { recipe: recipe.clone(), network, data, start, limits, potential: None };
        Ok((subject, trainer))
    }

    /// Also measures whether the learning rate suits, which takes some hundred steps.
    #[must_use]
    pub fn with_sharpness(mut self) -> Self {
        self.start.sharpness = Some(sharpness(&self.recipe, &self.network, &self.data));
        self
    }

    /// Also measures what one step of the optimizer can do, which takes some passes.
    #[must_use]
    pub fn with_potential(self) -> Self {
        let trainer = Trainer::new(&self.recipe, &self.network, &self.data, self.recipe.run.seed);
        self.with_potential_of(trainer)
    }

    /// The same of its network before the first step.
    pub(crate) fn with_potential_of(mut self, fresh: Trainer) -> Self {
        self.potential = potential(fresh, &self.data);
        self
    }

    /// Also measures what single factors of the gradient's way back would change, through how many branches it comes, and how
    /// gradients of other directions fare, which takes one more pass and at most some three seconds.
    ///
    /// # Errors
    /// When the captured buffers do not fit together.
    pub fn with_counterfactual(mut self) -> Result<Self, Error> {
        let seed = self.recipe.run.seed;
        let trainer = Trainer::new(&self.recipe, &self.network, &self.data, seed);
        let batch = first_batch(&self.recipe, &self.data, seed);
        ask(&trainer.model, &batch, &mut self.start.flow)?;
        Ok(self)
    }

    /// What rules look at before training.
    pub fn case(&self) -> Case<'_> {
        Case::before_training(&self.network, &self.recipe, &self.data.summary, &self.start, &self.limits)
    }

    /// What one batch before training says of it: the largest learning rate, and what one step
    /// can do, only where they were measured.
    pub fn prediction(&self) -> Prediction {
        let ceiling = self.start.sharpness.map(|sharpness| 2.0 / sharpness.gauss_newton);
        let expected = Expectation {
            learning_rate: self.recipe.optimizer.learning_rate,
            learning_rate_ceiling: ceiling.filter(|_| self.recipe.optimizer.name == OptimizerName::Sgd),
            trainable_depth: self.limits.trainable_depth,
            rehearsal_rise: self
                .start
                .sharpness
                .map(|sharpness| sharpness.rehearsal_rise.unwrap_or(f64::INFINITY) / self.data.summary.baseline_loss),
            potential: self.potential,
        };
        Prediction::new(&self.start, &expected)
    }

    /// Which of five kinds of illness the gradient has; empty unless [`Self::with_counterfactual`] measured it.
    pub fn differential(&self) -> Vec<Told> {
        differential(&self.case())
    }

    /// What is wrong before training.
    pub fn findings(&self) -> Vec<Finding> {
        diagnose(&self.case())
    }
}
