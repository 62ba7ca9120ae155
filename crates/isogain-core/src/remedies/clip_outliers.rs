//! Clip only what is an outlier among the recent norms (ZClip).

use super::clipping::{measured, with};
use super::{Prescription, Remedy};
use crate::recipe::{Clip, ClipKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "clip-outliers",
    summary: "scale the gradient down where its norm is many deviations above its recent mean (ZClip)",
    page: include_str!("clip-outliers.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let clip = Clip::of(ClipKind::ZClip);
    let parameters = format!("threshold = {}", clip.threshold);
    match measured(case, recipe) {
        Some(_) => with(&REMEDY, recipe, clip, parameters),
        None => Vec::new(),
    }
}
