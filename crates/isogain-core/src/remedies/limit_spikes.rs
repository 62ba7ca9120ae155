//! Cut spikes of single gradients, and let Adam forget them (SPAM).

use super::{Prescription, Remedy};
use crate::recipe::Recipe;
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "limit-spikes",
    summary: "cut gradients far above their second moment, and start Adam's moments again from time to time (SPAM)",
    page: include_str!("limit-spikes.md"),
    prescribe,
};

/// How many times its second moment the square of a gradient may be: the paper's.
const LIMIT: f64 = 5000.0;
/// Updates from one reset to the next: the paper's, in runs of many thousands.
const EVERY: usize = 500;
/// Part of the run that is, where the run is shorter.
const PART: usize = 8;
/// Updates below which a third of them, the climb after a reset, is a jump.
const FEWEST: usize = 30;

/// Shares of the run that the second moment must remember before it can be out of date.
const MEMORY: f64 = 0.1;

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let every = (recipe.run.steps / PART).min(EVERY);
    let optimizer = &recipe.optimizer;
    let has_limits = optimizer.spike_limit.is_some() || optimizer.reset_every.is_some();
    if has_limits || !remembers(recipe) || every < FEWEST {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    treated.optimizer.spike_limit = Some(LIMIT);
    treated.optimizer.reset_every = Some(every);
    vec![REMEDY.variant(format!("spike_limit = {LIMIT:?}, reset_every = {every}"), treated)]
}

/// Whether it is Adam or AdamW with a second moment that follows the gradient too slowly to be up to date throughout the
/// run: over 1 / (1 - beta2) steps.
pub(super) fn remembers(recipe: &Recipe) -> bool {
    let memory = 1.0 / (1.0 - recipe.optimizer.betas[1]);
    recipe.optimizer.name.has("clip_update") && memory >= MEMORY * recipe.run.steps as f64
}
