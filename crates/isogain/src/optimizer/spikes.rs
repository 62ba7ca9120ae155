//! What Adam does where a gradient is far larger than its second moment expects. That moment follows within 1 / (1 - beta2)
//! steps, 1000 at the usual beta2; until then every update is too long.

use isogain_core::recipe::Optimizer;

use super::Turn;
use crate::ops::{Buffer, Real};

/// Steps over which the learning rate climbs again after the moments were reset, as in SPAM.
const CLIMB: usize = 150;

/// SPAM (Huang et al. 2025): a value whose square is more than `spike_limit` times its second moment is cut to the root of
/// that. The first update, before which there is no moment, is left alone.
pub(super) fn limit<T: Real>(recipe: &Optimizer, turn: Turn, gradient: &mut Buffer, square: &Buffer) {
    let Some(limit) = recipe.spike_limit.filter(|_| since_reset(recipe, turn.updates) > 0) else { return };
    for (gradient, square) in T::write(gradient).iter_mut().zip(T::read(square)) {
        let (value, most) = (gradient.wide(), limit * square.wide());
        // What has never had a gradient has no history to compare with.
        if most > 0.0 && value * value > most {
            *gradient = T::of(most.sqrt().copysign(value));
        }
    }
}

/// StableAdamW (Wortsman et al. 2023): 1 / max(1, RMS) with RMS the root of the mean of g^2 / max(v, eps^2) over the tensor,
/// v the second moment with this gradient in it. About 1 where v is up to date.
pub(super) fn calm<T: Real>(recipe: &Optimizer, turn: Turn, gradient: &Buffer, square: &Buffer) -> f64 {
    if !recipe.clip_update {
        return 1.0;
    }
    let beta = recipe.betas[1];
    let correction = 1.0 - beta.powi(i32::try_from(since_reset(recipe, turn.updates) + 1).unwrap_or(i32::MAX));
    let gradient = T::read(gradient);
    let ratios = gradient.iter().zip(T::read(square)).map(|(gradient, square)| {
        let new = gradient.wide() * gradient.wide();
        let moment = (beta * square.wide() + (1.0 - beta) * new) / correction;
        // 0 / 0 where there never was a gradient, and no eps.
        if new == 0.0 { 0.0 } else { new / moment.max(recipe.eps * recipe.eps) }
    });
    let mean = ratios.sum::<f64>() / gradient.len().max(1) as f64;
    // A gradient that is not finite is to be seen.
    if mean.is_finite() { 1.0 / mean.sqrt().max(1.0) } else { 1.0 }
}

/// Updates since the moments started from zero.
pub(super) fn since_reset(recipe: &Optimizer, updates: usize) -> usize {
    recipe.reset_every.map_or(updates, |every| updates % every)
}

/// Part of the learning rate after a reset: a half cosine from 0 to 1, over a third of the time between two at most.
pub(super) fn climb(recipe: &Optimizer, updates: usize) -> f64 {
    let Some(every) = recipe.reset_every.filter(|every| updates >= *every) else { return 1.0 };
    let steps = CLIMB.min(every / 3);
    let done = since_reset(recipe, updates) + 1;
    if done >= steps { 1.0 } else { (1.0 - (std::f64::consts::PI * done as f64 / steps as f64).cos()) / 2.0 }
}
