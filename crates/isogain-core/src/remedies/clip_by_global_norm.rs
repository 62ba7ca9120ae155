//! Scale the whole gradient down to a largest norm.

use super::clipping::{clipped, measured};
use super::{Prescription, Remedy};
use crate::recipe::{ClipKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "clip-by-global-norm",
    summary: "scale the whole gradient down to a largest norm; its direction stays",
    page: include_str!("clip-by-global-norm.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(measured) = measured(case, recipe) else {
        return Vec::new();
    };
    clipped(&REMEDY, recipe, ClipKind::GlobalNorm, measured.global_norm)
}
