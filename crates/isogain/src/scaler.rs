//! Loss scaling: what the loss is multiplied with before the way back, so that small gradients are numbers of the
//! format, and gradients divided by after it.

use isogain_core::recipe::LossScale;
use serde::{Deserialize, Serialize};

use crate::snapshot::{Gradients, value_moments};

/// Steps in a row without an overflow after which a changing scale is doubled (`torch.amp.GradScaler`).
const PATIENCE: usize = 2000;
/// Factor of a doubling, and its inverse at an overflow.
const FACTOR: f64 = 2.0;

/// The scale, and what decides about the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// What the loss is multiplied with.
    pub scale: f64,
    /// Steps left out so far.
    pub skipped: usize,
    /// Steps in a row without an overflow.
    good: usize,
    /// Whether the scale changes.
    is_dynamic: bool,
}

impl Scaler {
    /// Of a recipe; 1 where it has none.
    pub fn new(recipe: Option<LossScale>) -> Self {
        let is_dynamic = matches!(recipe, Some(LossScale::Named(_)));
        Self { scale: recipe.map_or(1.0, LossScale::first), skipped: 0, good: 0, is_dynamic }
    }

    /// Of another recipe from here on.
    pub fn changed(&self, recipe: Option<LossScale>) -> Self {
        Self { skipped: self.skipped, ..Self::new(recipe) }
    }

    /// Whether these gradients overflowed and the step is to be left out. A scale that does not change leaves no step
    /// out.
    pub fn overflows(&self, gradients: &Gradients) -> bool {
        self.is_dynamic && gradients.values().any(|gradient| value_moments(gradient).non_finite > 0)
    }

    /// Takes note of a step that was done, or left out.
    pub fn update(&mut self, was_skipped: bool) {
        if !self.is_dynamic {
            return;
        }
        if was_skipped {
            self.scale /= FACTOR;
            self.skipped += 1;
            self.good = 0;
            return;
        }
        self.good += 1;
        if self.good == PATIENCE {
            self.good = 0;
            // Beyond f32 there is no loss to multiply with.
            if self.scale * FACTOR <= f64::from(f32::MAX) {
                self.scale *= FACTOR;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scales that torch.amp.GradScaler takes: 65536, halved at each of two overflows, doubled after 2000 good steps.
    #[test]
    fn the_scale_is_that_of_pytorch() {
        let mut scaler = Scaler::new(Some(LossScale::DYNAMIC));
        assert_eq!(scaler.scale, 65536.0);
        scaler.update(true);
        scaler.update(true);
        assert_eq!((scaler.scale, scaler.skipped), (16384.0, 2));
        (0..1999).for_each(|_| scaler.update(false));
        assert_eq!(scaler.scale, 16384.0);
        scaler.update(false);
        assert_eq!(scaler.scale, 32768.0);
        (0..1999).for_each(|_| scaler.update(false));
        scaler.update(true);
        (0..1999).for_each(|_| scaler.update(false));
        assert_eq!((scaler.scale, scaler.skipped), (16384.0, 3));
    }

    #[test]
    fn a_number_stays() {
        let mut scaler = Scaler::new(Some(LossScale::Number(128.0)));
        (0..5000).for_each(|_| scaler.update(false));
        scaler.update(true);
        assert_eq!((scaler.scale, scaler.skipped), (128.0, 0));
        assert_eq!(Scaler::new(None).scale, 1.0);
    }
}
