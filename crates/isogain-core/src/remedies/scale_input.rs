//! Bring inputs, and the target of a regression, to mean 0 and deviation 1.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, Task};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "scale-input",
    summary: "shift and scale every input feature, and a regression target, to mean 0 and deviation 1",
    page: include_str!("scale-input.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let input = !recipe.data.standardize || recipe.data.input_scale != 1.0;
    let target = recipe.data.task == Task::Regression && !recipe.data.standardize_target;
    let scaled = |input: bool, target: bool| {
        let mut treated = recipe.clone();
        let mut parameters = Vec::new();
        if input {
            treated.data.standardize = true;
            treated.data.input_scale = 1.0;
            parameters.push("standardize = true");
            if recipe.data.input_scale != 1.0 {
                parameters.push("input_scale = 1.0");
            }
        }
        if target {
            treated.data.standardize_target = true;
            parameters.push("standardize_target = true");
        }
        REMEDY.variant(parameters.join(", "), treated)
    };
    match (input, target) {
        (false, false) => Vec::new(),
        // Both first: with only one of them scaled the other may still keep the network from training.
        (true, true) => vec![scaled(true, true), scaled(true, false), scaled(false, true)],
        (input, target) => vec![scaled(input, target)],
    }
}
