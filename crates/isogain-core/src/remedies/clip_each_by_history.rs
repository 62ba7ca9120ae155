//! Clip each tensor against its own recent norms (AdaGC).

use super::clipping::{measured, rounded, with};
use super::{Prescription, Remedy};
use crate::recipe::{Clip, ClipKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "clip-each-by-history",
    summary: "scale each parameter's gradient down to little more than its own recent norms (AdaGC)",
    page: include_str!("clip-each-by-history.md"),
    prescribe,
};

/// Part of the run that its averages start from; 100 steps in the paper's code, of many thousands.
const WARM_UP_PART: usize = 10;
/// The paper's.
const LONGEST_WARM_UP: usize = 100;

/// The first steps are clipped by the global norm, at the norm that was measured.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(measured) = measured(case, recipe) else {
        return Vec::new();
    };
    let start = rounded(measured.global_norm);
    let warm_up = (recipe.run.steps / WARM_UP_PART).clamp(1, LONGEST_WARM_UP);
    let clip = Clip { start: Some(start), warm_up: Some(warm_up), ..Clip::of(ClipKind::AdaGc) };
    let parameters = format!("threshold = {}, start = {start}, warm_up = {warm_up}", clip.threshold);
    with(&REMEDY, recipe, clip, parameters)
}
