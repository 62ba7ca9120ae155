//! Multiply the loss before the way back, and divide the gradients by as much.

use super::{Prescription, Remedy};
use crate::recipe::{LossScale, Precision, Recipe};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "loss-scaling",
    summary: "multiply the loss before the way back, so that fp16 can hold small gradients, and divide them after it",
    page: include_str!("loss-scaling.md"),
    prescribe,
};

/// In half precision without it. bfloat16 reaches as far down as f32.
fn prescribe(_: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    if recipe.run.precision != Precision::Fp16 || recipe.run.loss_scale.is_some() {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    treated.run.loss_scale = Some(LossScale::DYNAMIC);
    vec![REMEDY.variant("loss_scale = dynamic", treated)]
}
