//! f16 and bf16 values, widened piece by piece into a buffer that stays in the fastest cache.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::super::exponent_histogram::ExponentHistogram;
use super::super::moments::Moments;

/// Values widened at a time: 16 kB of f32.
const PIECE: usize = 4096;

/// A 16-bit float that widens to f32 without rounding.
pub(super) trait Half: Copy {
    /// Widens `values` into `wide`, which has the same length.
    fn widen(values: &[Self], wide: &mut [f32])
    where
        Self: Sized;
}

impl Half for f16 {
    fn widen(values: &[f16], wide: &mut [f32]) {
        values.convert_to_f32_slice(wide);
    }
}

impl Half for bf16 {
    fn widen(values: &[bf16], wide: &mut [f32]) {
        values.convert_to_f32_slice(wide);
    }
}

pub(super) fn moments<H: Half>(values: &[H]) -> Moments {
    let mut total = Moments::default();
    for_each_piece(values, |piece| total.merge(&super::moments(piece)));
    total
}

pub(super) fn moments_with_histogram<H: Half>(values: &[H]) -> (Moments, ExponentHistogram) {
    let (mut total, mut histogram) = (Moments::default(), ExponentHistogram::default());
    for_each_piece(values, |piece| {
        let (moments, part) = super::moments_with_histogram(piece);
        total.merge(&moments);
        histogram.merge(&part);
    });
    (total, histogram)
}

fn for_each_piece<H: Half>(values: &[H], mut visit: impl FnMut(&[f32])) {
    let mut buffer = [0.0; PIECE];
    for piece in values.chunks(PIECE) {
        let wide = &mut buffer[..piece.len()];
        H::widen(piece, wide);
        visit(wide);
    }
}
