//! Cut each element of the gradient.

use super::clipping::{clipped, measured};
use super::{Prescription, Remedy};
use crate::recipe::{ClipKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "clip-by-value",
    summary: "cut each element of the gradient; its direction changes",
    page: include_str!("clip-by-value.md"),
    prescribe,
};

/// Three times the RMS of an element at the largest norm that is no accident: a Gaussian gradient then loses 0.3 % of its
/// elements.
const PEAK: f64 = 3.0;

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(measured) = measured(case, recipe) else {
        return Vec::new();
    };
    clipped(&REMEDY, recipe, ClipKind::Value, PEAK * measured.global_norm / measured.elements.sqrt())
}
