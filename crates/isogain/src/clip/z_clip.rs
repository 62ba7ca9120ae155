//! ZClip: clips what is an outlier among the recent norms (Kumar et al. 2025, z-score with reciprocal clipping).
//!
//! Where z = (norm - mean) / deviation exceeds the threshold, the gradient is clipped to `mean + threshold^2 deviation /
//! z`: the larger the spike, the nearer to the mean. Mean and variance are exponential averages of the norms *after*
//! clipping, so that a spike does not widen the band for the next one; they start as mean and population variance of the
//! first steps, during which nothing is clipped.

use isogain_core::recipe::Clip;

use super::Memory;

/// Count, mean and variance.
const MOMENTS: &str = "moments";

/// Added to the deviation, as in the authors' code: norms that are all alike have none.
const EPS: f64 = 1e-6;

/// The largest norm for a gradient of this norm; takes note of a finite one.
pub(super) fn limit(recipe: &Clip, memory: &mut Memory, norm: f64) -> f64 {
    let moments = memory.entry(MOMENTS.to_owned()).or_insert_with(|| vec![0.0; 3]);
    let [count, mean, variance] = moments.as_mut_slice() else { return f64::INFINITY };
    let is_ready = *count >= recipe.warm_up() as f64;
    let deviation = variance.sqrt();
    let z = (norm - *mean) / (deviation + EPS);
    let limit = match is_ready {
        true if z > recipe.threshold => *mean + recipe.threshold.powi(2) * deviation / z,
        true => *mean + recipe.threshold * (deviation + EPS),
        false => f64::INFINITY,
    };
    if norm.is_finite() {
        // Welford's update during the first steps, then the exponential average.
        let kept = norm.min(limit);
        let weight = if is_ready { 1.0 - recipe.decay() } else { 1.0 / (*count + 1.0) };
        let step = kept - *mean;
        *mean += weight * step;
        let square = if is_ready { (kept - *mean).powi(2) } else { step * (kept - *mean) };
        *variance += weight * (square - *variance);
        *count += 1.0;
    }
    limit
}
