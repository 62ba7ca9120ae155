//! Another step size.

use super::{Prescription, Remedy};
use crate::recipe::Recipe;
use crate::rules::Case;
use crate::trial::learning_rates;

pub(super) static REMEDY: Remedy = Remedy {
    name: "change-learning-rate",
    summary: "another step size: smaller where the loss overshoots, larger where weights barely change",
    page: include_str!("change-learning-rate.md"),
    prescribe,
};

/// The rates that the untreated network is tried at anyway, nearest first and of two equally near the smaller one first:
/// overshoot is the more common illness, and the usable rate falls with depth.
fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let present = recipe.optimizer.learning_rate;
    let mut rates = learning_rates::grid(present);
    rates.retain(|rate| *rate != present);
    let distance = |rate: f64| ((rate / present).ln().abs() * 1e6).round();
    rates.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)).then(a.total_cmp(b)));
    rates
        .into_iter()
        .map(|rate| {
            let mut treated = recipe.clone();
            treated.optimizer.learning_rate = rate;
            REMEDY.variant(format!("learning_rate = {:?}", readable(rate)), treated)
        })
        .collect()
}

/// Four significant digits.
fn readable(rate: f64) -> f64 {
    format!("{rate:.3e}").parse().unwrap_or(rate)
}
