//! Train logits under cross-entropy in place of probabilities under the squared error.

use super::{Prescription, Remedy};
use crate::network::{Loss, OpKind};
use crate::recipe::{LossName, Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "swap-loss",
    summary: "train logits under cross-entropy, whose gradient has no slope of a sigmoid or softmax in it",
    page: include_str!("swap-loss.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut bare = recipe.clone();
    let is_squared = case.data.classes.is_some() && recipe.data.loss() == Loss::MeanSquaredError;
    if !is_squared || edit::remove_output_activation(&mut bare.network).is_err() {
        return Vec::new();
    }
    let losses: &[LossName] = match case.network.ops.last().map(|op| &op.kind) {
        Some(OpKind::Softmax) => &[LossName::CrossEntropy],
        // Each output by itself, as it is now; then one class of them all, as the data has it.
        Some(OpKind::Activation { activation }) if activation.is_bounded() => {
            &[LossName::BinaryCrossEntropy, LossName::CrossEntropy]
        }
        _ => &[],
    };
    let variant = |&loss| {
        let mut treated = bare.clone();
        treated.data.loss = Some(loss);
        REMEDY.variant(format!("loss = {loss}, output_activation = none"), treated)
    };
    losses.iter().map(variant).collect()
}
