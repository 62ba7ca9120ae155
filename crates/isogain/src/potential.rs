//! What one step of the recipe's optimizer can do ([`isogain_core::remedies::potential`]).
//!
//! Everything is measured on copies: no running statistics, no state of an optimizer and no random numbers of a training
//! follow it.

use isogain_core::network::{Network, Op, OpKind, PoolKind};
use isogain_core::recipe::Recipe;
use isogain_core::remedies::potential::{LENGTHS, Potential, largest, quadratic};

use crate::data::{Dataset, EpochOrder, Samples, batch_rows};
use crate::model::{Mode, Model, Value, to_f64};
use crate::optimizer::Turn;
use crate::snapshot::{Gradients, loss_and_gradients, value_moments};
use crate::train::Trainer;

/// The potential of a network before its first step: its direction on the samples of step 0, what it brings on as many
/// others. `None` where the data has a single sample, or nothing to be learnt.
pub(crate) fn potential(mut trainer: Trainer, data: &Dataset) -> Option<Potential> {
    let [seen, unseen] = halves(trainer.recipe(), data, trainer.seed())?;
    let baseline = Some(data.summary.baseline_loss).filter(|loss| loss.is_finite() && *loss > 0.0)?;
    let mut gradients = loss_and_gradients(&trainer.with_usable_scale(&seen), &seen, None).1;
    let is_of_second_step = has_untouched_weight(&gradients);
    if is_of_second_step {
        trainer.advance_on(&seen, false);
        gradients = loss_and_gradients(&trainer.with_usable_scale(&seen), &seen, None).1;
    }
    let line = Line { step: first_step(&trainer, gradients), model: &trainer.model, samples: &unseen };
    let (decrease, told_apart, steps) = line.search(is_smooth(&trainer.model.network));
    Some(Potential {
        decrease_fraction: decrease / baseline,
        told_apart_fraction: told_apart / baseline,
        steps,
        is_of_second_step,
    })
}

/// Twice the samples of a step, cut in half: the first half is the batch of step 0 where the data has as many. A decrease
/// on samples that gave the direction would say that the step fits them, which every network can.
fn halves(recipe: &Recipe, data: &Dataset, seed: u64) -> Option<[Samples; 2]> {
    let both = (2 * recipe.data.batch).min(data.train.len());
    if both < 2 {
        return None;
    }
    let rows = batch_rows(data.train.len(), both, seed, 0, &mut EpochOrder::default());
    let (seen, unseen) = rows.split_at(both / 2);
    Some([seen, unseen].map(|rows| data.train.select(rows)))
}

/// Whether a whole weight has a gradient of exactly zero.
fn has_untouched_weight(gradients: &Gradients) -> bool {
    let is_zero = |gradient: &Value| {
        let moments = value_moments(gradient);
        moments.count > 0 && moments.zeros == moments.count
    };
    gradients.iter().any(|(name, gradient)| name.ends_with(".weight") && is_zero(gradient))
}

/// What the optimizer would add to each parameter, clipping included, at the recipe's learning rate: a climb at the
/// beginning would make every first step look alike.
fn first_step(trainer: &Trainer, mut gradients: Gradients) -> Gradients {
    trainer.clipper.clone().clip(&mut gradients, &trainer.model.parameters);
    let turn = Turn { rate: trainer.recipe().optimizer.learning_rate, updates: trainer.step - trainer.scaler.skipped };
    trainer.optimizer.updates(&trainer.model.parameters, gradients, turn)
}

/// Whether the loss has a second derivative everywhere.
fn is_smooth(network: &Network) -> bool {
    network.walk().into_iter().all(|Op { kind, .. }| match kind {
        OpKind::Activation { activation } => activation.kinks().is_empty(),
        OpKind::Recurrent(recurrent) => recurrent.activation.kinks().is_empty(),
        OpKind::Pool(pool) => pool.pool != PoolKind::Max,
        _ => true,
    })
}

/// The loss of some samples along a step.
struct Line<'a> {
    model: &'a Model,
    step: Gradients,
    samples: &'a Samples,
}

impl Line<'_> {
    /// Decrease of the loss, decrease of what tells samples apart, and the length of the latter.
    fn search(&self, is_smooth: bool) -> (f64, f64, Option<f64>) {
        let inputs = self.model.inputs(self.samples);
        let outputs = |model: &Model| model.forward(&mut model.plain(Mode::Train, None), inputs.clone());
        let loss = |outputs| {
            to_f64(self.model.loss(outputs, &self.samples.targets).into_data()).first().copied().unwrap_or(f64::NAN)
        };
        let here = outputs(self.model);
        let start = loss(here.clone());
        let [mut decreases, mut told_apart] = [[0.0; LENGTHS.len()]; 2];
        for (place, length) in LENGTHS.into_iter().enumerate() {
            let there = outputs(&self.at(length));
            // What all outputs gain alike is what a bias can do that knows nothing of the samples.
            let alike = (there.clone() - here.clone()).mean_dim(0);
            decreases[place] = start - loss(there.clone());
            told_apart[place] = start - loss(there - alike);
        }
        let (told_apart, length) = largest(told_apart);
        let modelled = is_smooth.then(|| quadratic(start, self.slope(0.0), self.slope(1.0))).flatten();
        (modelled.unwrap_or_else(|| largest(decreases).0), told_apart, length)
    }

    /// The model after so many steps along the line.
    fn at(&self, length: f64) -> Model {
        let mut model = self.model.clone();
        for (name, value) in &mut model.parameters {
            match (value, &self.step[name.as_str()]) {
                (Value::Matrix(value), Value::Matrix(step)) => *value = value.clone() + step.clone() * length,
                (Value::Vector(value), Value::Vector(step)) => *value = value.clone() + step.clone() * length,
                // An update has the shape of its parameter.
                (Value::Matrix(_), Value::Vector(_)) | (Value::Vector(_), Value::Matrix(_)) => {}
            }
        }
        model
    }

    /// Derivative of the loss along the line.
    fn slope(&self, length: f64) -> f64 {
        let model = self.at(length);
        let mut pass = model.tracked(None);
        let outputs = model.forward(&mut pass, model.inputs(self.samples));
        // Of the loss that is told, whatever else the step is for.
        let gradients = pass.gradients(&model.loss(outputs, &self.samples.targets));
        let product = |(name, gradient): (&String, &Value)| {
            let [a, b] = [gradient, &self.step[name.as_str()]].map(Value::to_f64);
            a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>()
        };
        gradients.iter().map(product).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::training::Subject;

    fn of(text: &str) -> Potential {
        let Subject { recipe, network, data } = Subject::new(text).unwrap();
        potential(Trainer::new(&recipe, &network, &data, 0), &data).unwrap()
    }

    #[test]
    fn the_slope_is_that_of_the_loss() {
        let Subject { recipe, network, data } =
            Subject::new("[network]\ndepth = 3\nactivation = \"tanh\"\n[run]\nprecision = \"f64\"\n").unwrap();
        let [seen, unseen] = halves(&recipe, &data, 0).unwrap();
        let trainer = Trainer::with_first_batch(&recipe, &network, &seen, 0);
        let gradients = loss_and_gradients(&trainer.model, &seen, None).1;
        let line = Line { step: first_step(&trainer, gradients), model: &trainer.model, samples: &unseen };
        let loss = |length: f64| loss_and_gradients(&line.at(length), &unseen, None).0;
        for length in [0.0, 1.0] {
            let difference = (loss(length + 1e-4) - loss(length - 1e-4)) / 2e-4;
            let slope = line.slope(length);
            assert!((slope / difference - 1.0).abs() < 1e-6, "{slope} {difference}");
        }
    }

    /// Adam's first step has the same length in every weight; of the gradient nothing but its signs is left.
    #[test]
    fn the_direction_is_that_of_the_recipes_optimizer() {
        let Subject { recipe, network, data } =
            Subject::new("[network]\ndepth = 3\n[optimizer]\nname = \"adam\"\neps = 1e-30\n").unwrap();
        let [seen, _] = halves(&recipe, &data, 0).unwrap();
        let trainer = Trainer::with_first_batch(&recipe, &network, &seen, 0);
        let gradients = loss_and_gradients(&trainer.model, &seen, None).1;
        let rate = recipe.optimizer.learning_rate;
        for step in first_step(&trainer, gradients).values() {
            assert!(step.to_f64().iter().all(|step| *step == 0.0 || (step.abs() / rate - 1.0).abs() < 1e-3));
        }
    }

    /// A network that has lost its signal still learns how often each class comes; it tells nothing apart.
    #[test]
    fn what_all_samples_gain_alike_is_no_potential() {
        let lost = of("[network]\ndepth = 30\nactivation = \"sigmoid\"\ninit = \"glorot-normal\"\n");
        assert!(lost.decrease_fraction > 0.005 && lost.told_apart_fraction < 1e-6, "{lost:?}");
        let healthy = of("[network]\ndepth = 10\ninit = \"he-normal\"\n");
        assert!(healthy.told_apart_fraction > 0.01 && healthy.steps.is_some(), "{healthy:?}");
        assert!(!healthy.is_of_second_step);
    }

    /// Nothing inside the branches has a gradient at the first step.
    #[test]
    fn behind_a_skip_that_starts_at_zero_it_is_that_of_the_second_step() {
        let skip = of("[network]\nkind = \"residual\"\ndepth = 10\nbranch_scale = 0.0\nlearnable_scale = true\n");
        assert!(skip.is_of_second_step && skip.told_apart_fraction > 0.01, "{skip:?}");
    }

    /// Both halves are there and have no sample in common, however few there are.
    #[test]
    fn no_sample_is_on_both_sides() {
        let Subject { mut recipe, data, .. } = Subject::new("[network]\ndepth = 3\n").unwrap();
        for batch in [1, 64, data.train.len() - 1, data.train.len()] {
            recipe.data.batch = batch;
            let [seen, unseen] = halves(&recipe, &data, 0).unwrap();
            assert_eq!(seen.len(), batch.min(data.train.len() / 2));
            assert!(!unseen.is_empty());
            let width = seen.shape.values();
            let shared = |row: &[f64]| unseen.inputs.chunks_exact(width).any(|other| other == row);
            assert!(!seen.inputs.chunks_exact(width).any(shared), "{batch}");
        }
    }
}
