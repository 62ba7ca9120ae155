//! AdaGC: each tensor's gradient against its own recent norms (Wang et al. 2025).
//!
//! For the first steps all gradients are clipped by their global norm to `start`, and gamma is the smallest norm a tensor
//! had after that. Then a norm is brought down to `threshold gamma` where it is longer, and
//! gamma <- decay gamma + (1 - decay) min(norm, threshold gamma). A norm of exactly 0, as behind a zero-initialised
//! branch, is not remembered: that tensor would be clipped to 0 for ever.

use isogain_core::recipe::Clip;

use super::{Change, Memory, changed, factor, shrink, square, total};
use crate::snapshot::Gradients;

/// Steps so far.
const STEPS: &str = "steps";

pub(super) fn clip(gradients: &mut Gradients, recipe: &Clip, memory: &mut Memory) -> Change {
    let steps = memory.entry(STEPS.to_owned()).or_insert_with(|| vec![0.0]);
    let done = steps.first().copied().unwrap_or(0.0);
    *steps = vec![done + 1.0];
    let is_warming = done < recipe.warm_up() as f64;
    let total = total(gradients);
    let of_all = factor(total, recipe.start());
    changed(gradients, |name, gradient| {
        let norm = square(gradient).sqrt();
        let gamma = memory.entry(format!("gamma/{name}")).or_default();
        let known = gamma.first().copied();
        let is_known = norm > 0.0 && norm.is_finite();
        if is_warming {
            if is_known && total.is_finite() {
                *gamma = vec![known.unwrap_or(f64::INFINITY).min(norm * of_all)];
            }
            return shrink(gradient, of_all);
        }
        let limit = recipe.threshold * known.unwrap_or(norm);
        if is_known {
            let decay = recipe.decay();
            *gamma = vec![decay * known.unwrap_or(norm) + (1.0 - decay) * norm.min(limit)];
        }
        let factor = if is_known { factor(norm * norm, limit) } else { 1.0 };
        shrink(gradient, factor)
    })
}
