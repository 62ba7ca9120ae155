//! f16 and bf16 values, widened in registers where there is code for that, and otherwise block by block into a buffer that
//! stays in the cache.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::super::exponent_histogram::ExponentHistogram;
use super::super::moments::Moments;
use super::{BLOCK, InstructionSet, VECTOR_GROUP, histogram, scalar};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// A 16-bit float that widens to f32 without rounding.
pub(super) trait Half: Copy {
    /// Widens `values` into `wide`, which has the same length.
    fn widen(set: InstructionSet, values: &[Self], wide: &mut [f32])
    where
        Self: Sized;

    /// Moments of one block straight from its 16-bit values, a multiple of [`VECTOR_GROUP`] and not 0; `None` where there is
    /// no code for it or for these values.
    fn block_moments(set: InstructionSet, block: &[Self]) -> Option<Moments>
    where
        Self: Sized;

    /// Writes the biased exponents that the values have as f32 into bytes, as many as there are values; `None` where there
    /// is no code for it.
    fn pack_exponents(set: InstructionSet) -> Option<PackExponents<Self>>
    where
        Self: Sized;
}

/// Of an instruction set that was detected; the number of values is a multiple of [`VECTOR_GROUP`].
type PackExponents<H> = unsafe fn(&[H], &mut [u8]);

impl Half for f16 {
    fn widen(set: InstructionSet, values: &[f16], wide: &mut [f32]) {
        match set {
            // SAFETY: `Avx2` exists only where AVX2 and F16C were detected.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { avx2::widen_f16(values, wide) },
            // SAFETY: `Avx512` exists only where AVX-512 F was detected.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512::widen_f16(values, wide) },
            _ => values.convert_to_f32_slice(wide),
        }
    }

    fn block_moments(set: InstructionSet, block: &[f16]) -> Option<Moments> {
        match set {
            // SAFETY: `Avx512` exists only where AVX-512 F and BW were detected.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512::moments_of_f16(block) },
            _ => None,
        }
    }

    fn pack_exponents(set: InstructionSet) -> Option<PackExponents<f16>> {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => Some(avx512::pack_exponents_of_f16),
            _ => None,
        }
    }
}

impl Half for bf16 {
    fn widen(set: InstructionSet, values: &[bf16], wide: &mut [f32]) {
        match set {
            // SAFETY: `Avx2` exists only where AVX2 was detected.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { avx2::widen_bf16(values, wide) },
            // SAFETY: `Avx512` exists only where AVX-512 F was detected.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512::widen_bf16(values, wide) },
            _ => values.convert_to_f32_slice(wide),
        }
    }

    fn block_moments(set: InstructionSet, block: &[bf16]) -> Option<Moments> {
        match set {
            // SAFETY: `Avx512` exists only where AVX-512 F and BW were detected.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { avx512::moments_of_bf16(block) },
            _ => None,
        }
    }

    fn pack_exponents(set: InstructionSet) -> Option<PackExponents<bf16>> {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => Some(avx512::pack_exponents_of_bf16),
            _ => None,
        }
    }
}

pub(super) fn moments<H: Half>(values: &[H]) -> Moments {
    let mut total = Moments::default();
    for_each_block(values, |_, _, moments| total.merge(moments));
    total
}

pub(super) fn moments_with_histogram<H: Half>(values: &[H]) -> (Moments, ExponentHistogram) {
    let (mut total, mut counts) = (Moments::default(), [0; 256]);
    let set = InstructionSet::best();
    let pack_exponents = H::pack_exponents(set);
    for_each_block(values, |block, wide, moments| {
        let is_counted = pack_exponents.is_some_and(|pack_exponents| {
            // SAFETY: `set` exists only where its instructions were detected, and a block that is not a multiple of the
            // group is not counted by windows.
            let pack = |exponents: &mut [u8]| unsafe { pack_exponents(block, exponents) };
            histogram::count_by_windows(set, moments, pack, &mut counts)
        });
        if !is_counted {
            histogram::count(set, wide.of(block), moments, &mut counts);
        }
        total.merge(moments);
    });
    (total, ExponentHistogram::from_counts(counts))
}

/// Where values are widened to.
#[derive(Default)]
struct Wide(Vec<f32>);

impl Wide {
    fn of<H: Half>(&mut self, block: &[H]) -> &[f32] {
        self.0.resize(block.len(), 0.0);
        H::widen(InstructionSet::best(), block, &mut self.0);
        &self.0
    }
}

/// Calls `visit` with each block, room to widen it in, and its moments, in order.
fn for_each_block<H: Half>(values: &[H], mut visit: impl FnMut(&[H], &mut Wide, &Moments)) {
    let (set, mut wide) = (InstructionSet::best(), Wide::default());
    let (grouped, rest) = values.split_at(values.len() - values.len() % VECTOR_GROUP);
    for block in grouped.chunks(BLOCK) {
        let mut moments = H::block_moments(set, block).unwrap_or_else(|| set.block_moments(wide.of(block)));
        if !moments.sum_of_squares.is_finite() {
            moments = scalar::moments(wide.of(block));
        }
        visit(block, &mut wide, &moments);
    }
    if !rest.is_empty() {
        let moments = scalar::moments(wide.of(rest));
        visit(rest, &mut wide, &moments);
    }
}
