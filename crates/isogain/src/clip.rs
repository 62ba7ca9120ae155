//! What happens to a gradient before the optimizer sees it, and how much its direction changes.

use isogain_core::recipe::{Clip, ClipKind};
use isogain_core::record::ClipRecord;

use crate::model::Value;
use crate::snapshot::Gradients;

/// Clips in place and says what it did; `None` without clipping.
pub fn clip(gradients: &mut Gradients, recipe: &Clip) -> Option<ClipRecord> {
    if recipe.kind == ClipKind::None {
        return None;
    }
    let before: Vec<Vec<f64>> = gradients.values().map(Value::to_f64).collect();
    let norm_before = norm(before.iter().flatten());
    match recipe.kind {
        ClipKind::None => {}
        ClipKind::Value => gradients.values_mut().for_each(|gradient| clamp(gradient, recipe.threshold)),
        ClipKind::Norm => {
            for (gradient, values) in gradients.values_mut().zip(&before) {
                shrink(gradient, norm(values), recipe.threshold);
            }
        }
        ClipKind::GlobalNorm => {
            gradients.values_mut().for_each(|gradient| shrink(gradient, norm_before, recipe.threshold));
        }
    }
    let after: Vec<Vec<f64>> = gradients.values().map(Value::to_f64).collect();
    let norm_after = norm(after.iter().flatten());
    let dot: f64 = before.iter().flatten().zip(after.iter().flatten()).map(|(a, b)| a * b).sum();
    let cosine = if norm_before > 0.0 && norm_after > 0.0 { dot / (norm_before * norm_after) } else { 1.0 };
    Some(ClipRecord { norm_before, norm_after, cosine, acted: norm_after < norm_before * (1.0 - 1e-9) })
}

/// L2 norm in f64, so that a gradient of 1e20 in f32 does not overflow.
fn norm<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    values.into_iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn clamp(gradient: &mut Value, threshold: f64) {
    match gradient {
        Value::Matrix(tensor) => *tensor = tensor.clone().clamp(-threshold, threshold),
        Value::Vector(tensor) => *tensor = tensor.clone().clamp(-threshold, threshold),
    }
}

/// Scales to `threshold` where `norm` is larger. A norm that is not finite is left as it is: scaling would hide it.
fn shrink(gradient: &mut Value, norm: f64, threshold: f64) {
    if !norm.is_finite() || norm <= threshold {
        return;
    }
    match gradient {
        Value::Matrix(tensor) => *tensor = tensor.clone() * (threshold / norm),
        Value::Vector(tensor) => *tensor = tensor.clone() * (threshold / norm),
    }
}
