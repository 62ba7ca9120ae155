//! Scale each parameter's gradient down to a largest norm.

use super::clipping::{clipped, measured};
use super::{Prescription, Remedy};
use crate::recipe::{ClipKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "clip-by-norm",
    summary: "scale each parameter's gradient down to a largest norm; the balance between layers changes",
    page: include_str!("clip-by-norm.md"),
    prescribe,
};

/// The share of one tensor when all have the same norm.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(measured) = measured(case, recipe) else {
        return Vec::new();
    };
    clipped(&REMEDY, recipe, ClipKind::Norm, measured.global_norm / measured.tensors.sqrt())
}
