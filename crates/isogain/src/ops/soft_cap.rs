//! A soft bound on attention logits: z becomes c tanh(z / c), between -c and c (Gemma 2, Team Gemma 2024).

use super::buffer::Real;

/// Bounds logits that are still to be multiplied by `scale`, in place; their slopes 1 - tanh^2.
pub(super) fn soft_cap<T: Real>(logits: &mut [T], scale: f64, cap: f64) -> Vec<T> {
    let bound = |logit: &mut T| {
        let bounded = (logit.wide() * scale / cap).tanh();
        *logit = T::of(cap * bounded / scale);
        T::of(1.0 - bounded * bounded)
    };
    logits.iter_mut().map(bound).collect()
}

/// What of a cotangent gets through the bound, in place.
pub(super) fn pull<T: Real>(cotangent: &mut [T], slopes: &[T]) {
    for (cotangent, &slope) in cotangent.iter_mut().zip(slopes) {
        *cotangent = *cotangent * slope;
    }
}
