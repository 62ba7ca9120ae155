//! AutoClip: the largest norm is a percentile of all norms so far, this step's included (Seetharaman et al. 2020). At the
//! paper's tenth percentile nine steps in ten are clipped by design, so that it acts like a normalised step.

use isogain_core::recipe::Clip;

use super::Memory;

/// The norms so far, before clipping, ascending.
const NORMS: &str = "norms";

/// The percentile, linear between two norms; takes note of a finite norm.
pub(super) fn limit(recipe: &Clip, memory: &mut Memory, norm: f64) -> f64 {
    let norms = memory.entry(NORMS.to_owned()).or_default();
    if norm.is_finite() {
        let place = norms.partition_point(|known| *known < norm);
        norms.insert(place, norm);
    }
    let rank = norms.len().saturating_sub(1) as f64 * recipe.percentile() / 100.0;
    let at = |rank: f64| norms.get(rank as usize).copied().unwrap_or(f64::INFINITY);
    let (low, high) = (at(rank.floor()), at(rank.ceil()));
    if low == high { low } else { low + (high - low) * rank.fract() }
}
