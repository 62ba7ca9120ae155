//! Clip at a percentile of the norms so far (AutoClip).

use super::clipping::{measured, with};
use super::{Prescription, Remedy};
use crate::recipe::{Clip, ClipKind, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "clip-by-history",
    summary: "scale the whole gradient down to a percentile of all its norms so far (AutoClip)",
    page: include_str!("clip-by-history.md"),
    prescribe,
};

/// The paper's percentile.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let clip = Clip { percentile: Some(10.0), ..Clip::of(ClipKind::AutoClip) };
    match measured(case, recipe) {
        Some(_) => with(&REMEDY, recipe, clip, "percentile = 10".to_owned()),
        None => Vec::new(),
    }
}
