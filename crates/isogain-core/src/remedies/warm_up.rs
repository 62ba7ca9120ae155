//! Let the learning rate climb over the first steps.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, Schedule, ScheduleKind};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "warm-up",
    summary: "let the learning rate climb from a small part to its full size over the first steps",
    page: include_str!("warm-up.md"),
    prescribe,
};

/// Parts of the run that the climb takes, the longer one first: where the start is steep, it is the climb that has to be
/// slow.
const PARTS: [usize; 2] = [4, 10];
/// Steps below which a climb is a jump.
const FEWEST: usize = 10;

/// Where the first steps may be the too long ones: under a rule that divides by what it has seen of the gradient so far,
/// and where the start is steeper than the rate allows.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let rate = recipe.optimizer.learning_rate;
    let is_steep = case.start.sharpness.is_some_and(|sharpness| rate * sharpness.gauss_newton > 2.0);
    if recipe.schedule.warm_up > 0 || !(recipe.optimizer.name.rescales() || is_steep) {
        return Vec::new();
    }
    let lengths = PARTS.map(|part| recipe.run.steps / part);
    let with = |steps: usize| {
        let mut treated = recipe.clone();
        if treated.schedule.kind == ScheduleKind::Constant {
            treated.schedule = Schedule::of(ScheduleKind::WarmUp);
        }
        treated.schedule.warm_up = steps;
        REMEDY.variant(format!("warm_up = {steps}"), treated)
    };
    lengths.into_iter().filter(|steps| *steps >= FEWEST).map(with).collect()
}
