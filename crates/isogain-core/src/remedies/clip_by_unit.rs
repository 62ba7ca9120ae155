//! Scale each unit's gradient down to a part of its weights (AGC).

use super::clipping::{clipped, ratio};
use super::{Prescription, Remedy};
use crate::recipe::{ClipKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "clip-by-unit",
    summary: "scale each unit's gradient down to a part of its own weights' norm (AGC)",
    page: include_str!("clip-by-unit.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    match ratio(case, recipe) {
        Some(ratio) => clipped(&REMEDY, recipe, ClipKind::Agc, ratio),
        None => Vec::new(),
    }
}
