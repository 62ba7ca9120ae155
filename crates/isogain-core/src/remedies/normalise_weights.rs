//! Train direction and length of each unit's weights apart, with a length at first that keeps the signal.

use super::{Remedy, computed_weights};
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "normalise-weights",
    summary: "train direction and length of each unit's weights apart, the length at first one that keeps the signal",
    page: include_str!("normalise-weights.md"),
    prescribe: |_, recipe| computed_weights::prescribe(&REMEDY, recipe, WeightNorm::Normalised, "normalised"),
};
