//! What happens to a gradient before the optimizer sees it, and how much its direction changes.

mod ada_gc;
mod agc;
mod auto_clip;
mod z_clip;

use std::collections::BTreeMap;

use isogain_core::network::Network;
use isogain_core::recipe::{Clip, ClipKind};
use isogain_core::record::ClipRecord;

use crate::model::Value;
use crate::ops::{Buffer, Loop, Real, by_type, scale, vectorised};
use crate::snapshot::Gradients;

use agc::Layout;

/// What clips one run's gradients, with what it remembers of earlier ones.
#[derive(Clone, Debug)]
pub struct Clipper {
    recipe: Clip,
    layout: Layout,
    /// What the next step depends on, by name: lists of numbers, which a checkpoint holds as they are.
    pub memory: Memory,
}

/// Named lists of numbers.
pub type Memory = BTreeMap<String, Vec<f64>>;

impl Clipper {
    /// With nothing to remember yet.
    pub fn new(recipe: &Clip) -> Self {
        Self { recipe: recipe.clone(), layout: Layout::default(), memory: Memory::new() }
    }

    /// For the gradients of this network, where units are told apart.
    #[must_use]
    pub fn of(mut self, network: &Network) -> Self {
        self.layout = Layout::of(network);
        self
    }

    /// Clips in place and says what it did; `None` without clipping. `parameters` are those that the gradients belong
    /// to.
    pub fn clip(&mut self, gradients: &mut Gradients, parameters: &BTreeMap<String, Value>) -> Option<ClipRecord> {
        let Self { recipe, layout, memory } = self;
        let threshold = recipe.threshold;
        let change = match recipe.kind {
            ClipKind::None => return None,
            ClipKind::Value => changed(gradients, |_, gradient| by_type!(gradient, clamp(gradient, threshold))),
            ClipKind::Norm => changed(gradients, |_, gradient| shrink(gradient, factor(square(gradient), threshold))),
            ClipKind::GlobalNorm => globally(gradients, |_| threshold),
            ClipKind::Agc => agc::clip(gradients, threshold, layout, parameters),
            ClipKind::AutoClip => globally(gradients, |norm| auto_clip::limit(recipe, memory, norm)),
            ClipKind::ZClip => globally(gradients, |norm| z_clip::limit(recipe, memory, norm)),
            ClipKind::AdaGc => ada_gc::clip(gradients, recipe, memory),
        };
        Some(change.record())
    }
}

/// All gradients by one factor, to at most the norm that `limit` says for theirs.
fn globally(gradients: &mut Gradients, limit: impl FnOnce(f64) -> f64) -> Change {
    let total = total(gradients);
    let factor = factor(total, limit(total.sqrt()));
    changed(gradients, |_, gradient| shrink(gradient, factor))
}

/// Sum of the squares of all gradients.
fn total(gradients: &Gradients) -> f64 {
    gradients.values().map(|gradient| square(&gradient.clone().into_buffer())).sum()
}

/// Changes every gradient in place.
fn changed(gradients: &mut Gradients, mut change: impl FnMut(&str, &mut Buffer) -> Change) -> Change {
    let mut total = Change::default();
    // Out of the map and into a new one: a buffer that nobody else holds is written in place.
    let after = std::mem::take(gradients).into_iter().map(|(name, gradient)| {
        let gradient = gradient.with_buffer(|gradient| {
            let Change { before, after, product } = change(&name, gradient);
            total.before += before;
            total.after += after;
            total.product += product;
        });
        (name, gradient)
    });
    *gradients = after.collect();
    total
}

/// Sums over all values before and after: what became of length and direction.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    before: f64,
    after: f64,
    product: f64,
}

impl Change {
    fn record(self) -> ClipRecord {
        let (norm_before, norm_after) = (self.before.sqrt(), self.after.sqrt());
        let cosine =
            if norm_before > 0.0 && norm_after > 0.0 { self.product / (norm_before * norm_after) } else { 1.0 };
        ClipRecord { norm_before, norm_after, cosine, acted: norm_after < norm_before * (1.0 - 1e-9) }
    }
}

/// What gradients with this sum of squares are multiplied by. A norm that is not finite is left as it is: scaling would
/// hide it.
fn factor(square: f64, threshold: f64) -> f64 {
    let norm = square.sqrt();
    if norm.is_finite() && norm > threshold { threshold / norm } else { 1.0 }
}

/// Sum of the squares in f64, so that a gradient of 1e20 in f32 does not overflow.
fn square(gradient: &Buffer) -> f64 {
    by_type!(gradient, square_of(gradient))
}

fn square_of<T: Real>(gradient: &Buffer) -> f64 {
    vectorised(Square::<T>(T::read(gradient)))
}

fn shrink(gradient: &mut Buffer, factor: f64) -> Change {
    let before = square(gradient);
    if factor != 1.0 {
        by_type!(gradient, multiply(gradient, factor));
    }
    Change { before, after: before * factor * factor, product: before * factor }
}

fn multiply<T: Real>(gradient: &mut Buffer, factor: f64) {
    scale(gradient, T::of(factor));
}

fn clamp<T: Real>(gradient: &mut Buffer, threshold: f64) -> Change {
    vectorised(Clamp(T::write(gradient), T::of(threshold)))
}

/// Partial sums kept apart, so that the additions need not wait for each other.
const LANES: usize = 16;

struct Square<'a, T>(&'a [T]);

impl<T: Real> Loop for Square<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let (groups, rest) = self.0.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for group in groups {
            for (sum, value) in sums.iter_mut().zip(group) {
                *sum += value.wide() * value.wide();
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|value| value.wide() * value.wide()).sum::<f64>()
    }
}

struct Clamp<'a, T>(&'a mut [T], T);

impl<T: Real> Loop for Clamp<'_, T> {
    type Output = Change;

    #[inline(always)]
    fn run(self) -> Change {
        let Self(values, threshold) = self;
        let mut sums = [Change::default(); LANES];
        for group in values.chunks_mut(LANES) {
            for (sum, value) in sums.iter_mut().zip(group) {
                let before = value.wide();
                // Keeps a NaN.
                let low = if *value < -threshold { -threshold } else { *value };
                *value = if low > threshold { threshold } else { low };
                sum.before += before * before;
                sum.after += value.wide() * value.wide();
                sum.product += before * value.wide();
            }
        }
        sums.iter().fold(Change::default(), |total, sum| Change {
            before: total.before + sum.before,
            after: total.after + sum.after,
            product: total.product + sum.product,
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::model::{Value, matrix, vector};

    fn gradients(dtype: DType) -> Gradients {
        let weight: Vec<f64> = (0..40).map(|k| f64::from(k) - 17.5).collect();
        let weight = Value::Matrix(matrix(&weight, 8, 5, dtype, &Device::flex()));
        let bias = Value::Vector(vector(&[3.0, -4.0], dtype, &Device::flex()));
        Gradients::from([("fc.weight".to_string(), weight), ("fc.bias".to_string(), bias)])
    }

    fn flat(gradients: &Gradients) -> Vec<f64> {
        gradients.values().flat_map(Value::to_f64).collect()
    }

    /// Clips, checks what is said about it against the values, and returns them before and after.
    fn clipped(kind: ClipKind, threshold: f64, dtype: DType) -> (Vec<f64>, Vec<f64>) {
        let mut changed = gradients(dtype);
        let record = Clipper::new(&Clip::at(kind, threshold)).clip(&mut changed, &gradients(dtype)).unwrap();
        let (before, after) = (flat(&gradients(dtype)), flat(&changed));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norms = (dot(&before, &before).sqrt(), dot(&after, &after).sqrt());
        let tolerance = if dtype == DType::F64 { 1e-12 } else { 1e-6 };
        assert!((record.norm_before / norms.0 - 1.0).abs() < tolerance);
        assert!((record.norm_after / norms.1 - 1.0).abs() < tolerance);
        assert!((record.cosine - dot(&before, &after) / (norms.0 * norms.1)).abs() < tolerance);
        assert_eq!(record.acted, before != after);
        (before, after)
    }

    #[test]
    fn each_kind_does_what_it_says() {
        for dtype in [DType::F32, DType::F64] {
            let (before, after) = clipped(ClipKind::Value, 2.0, dtype);
            assert!(before.iter().zip(&after).all(|(before, after)| before.clamp(-2.0, 2.0) == *after));

            let (before, after) = clipped(ClipKind::GlobalNorm, 1.0, dtype);
            let norm = before.iter().map(|value| value * value).sum::<f64>().sqrt();
            assert!(before.iter().zip(&after).all(|(before, after)| (before / norm - after).abs() < 1e-6));

            // The bias has norm 5 and is left alone, the weight is longer.
            let (before, after) = clipped(ClipKind::Norm, 6.0, dtype);
            assert_eq!(before[..2], after[..2]);
            assert!((after[2..].iter().map(|value| value * value).sum::<f64>().sqrt() - 6.0).abs() < 1e-5);

            assert_eq!(clipped(ClipKind::GlobalNorm, 1e9, dtype).0, clipped(ClipKind::GlobalNorm, 1e9, dtype).1);
        }
        assert!(Clipper::new(&Clip::default()).clip(&mut gradients(DType::F32), &BTreeMap::new()).is_none());
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        let parameters = gradients(DType::F32);
        for kind in ClipKind::ALL {
            let broken = Value::Vector(vector(&[f64::NAN, 1e30], DType::F32, &Device::flex()));
            let mut gradients = Gradients::from([("fc.bias".to_string(), broken)]);
            Clipper::new(&Clip::at(kind, 1.0)).clip(&mut gradients, &parameters);
            assert!(flat(&gradients)[0].is_nan(), "{kind:?}");
        }
        // 1e30 squared is no f32.
        let large = Value::Vector(vector(&[1e30, 0.0], DType::F32, &Device::flex()));
        let mut gradients = Gradients::from([("fc.bias".to_string(), large)]);
        Clipper::new(&Clip::at(ClipKind::GlobalNorm, 1.0)).clip(&mut gradients, &parameters);
        assert_eq!(flat(&gradients), [1.0, 0.0]);
    }
}
