//! Remedies that only change settings which may change while a training goes on: clipping, learning rate, schedule, eps,
//! what the optimizer does about spikes, loss scale.

use isogain_core::recipe::Recipe;
use isogain_core::remedies::prescriptions::remedies_named;

use super::{Repair, Situation, Treated};
use crate::train::Trainer;

pub(super) const REPAIR: Repair = Repair { answers: None, treat };

/// Variants of one remedy.
const MOST_VARIANTS: usize = 3;

fn treat(trainer: &Trainer, situation: &Situation<'_>) -> Vec<Treated> {
    let recipe = trainer.recipe();
    let mut treated: Vec<Treated> = Vec::new();
    for remedy in remedies_named(std::slice::from_ref(situation.finding)) {
        let prescriptions = (remedy.prescribe)(&situation.case, recipe).into_iter();
        let in_progress = prescriptions.filter(|prescription| can_go_on(recipe, &prescription.recipe));
        for prescription in in_progress.take(MOST_VARIANTS) {
            if treated.iter().any(|known| *known.trainer.recipe() == prescription.recipe) {
                continue;
            }
            let mut trainer = trainer.clone();
            trainer.change_settings(&prescription.recipe);
            treated.push(Treated { remedy: remedy.name, parameters: prescription.parameters, trainer });
        }
    }
    treated
}

/// Whether a training of one recipe can go on with another: all that differs is read anew at every step.
fn can_go_on(recipe: &Recipe, other: &Recipe) -> bool {
    let mut same = other.clone();
    same.clip = recipe.clip.clone();
    same.schedule = recipe.schedule.clone();
    let (from, to) = (&recipe.optimizer, &mut same.optimizer);
    to.learning_rate = from.learning_rate;
    to.eps = from.eps;
    to.clip_update = from.clip_update;
    to.spike_limit = from.spike_limit;
    same.run.loss_scale = recipe.run.loss_scale;
    same == *recipe
}
