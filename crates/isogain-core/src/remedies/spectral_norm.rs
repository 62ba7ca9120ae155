//! Divide each weight by its largest singular value.

use super::{Remedy, computed_weights};
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "spectral-norm",
    summary: "divide each weight by its largest singular value: no layer makes anything longer than its gain says",
    page: include_str!("spectral-norm.md"),
    prescribe: |_, recipe| computed_weights::prescribe(&REMEDY, recipe, WeightNorm::Spectral, "spectral"),
};
