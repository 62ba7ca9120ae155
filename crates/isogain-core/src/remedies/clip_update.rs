//! Shorten the steps for which Adam's second moment is out of date (StableAdamW).

use super::limit_spikes::remembers;
use super::{Prescription, Remedy};
use crate::recipe::Recipe;
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "clip-update",
    summary: "shorten Adam's steps while its second moment is behind the gradient (StableAdamW)",
    page: include_str!("clip-update.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    if recipe.optimizer.clip_update || !remembers(recipe) {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    treated.optimizer.clip_update = true;
    vec![REMEDY.variant("clip_update = true", treated)]
}
