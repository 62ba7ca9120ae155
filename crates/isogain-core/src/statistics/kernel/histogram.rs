//! The exponent histogram of a block, without a table look-up per value.
//!
//! A tensor's values lie within some tens of binades below its largest, which the block's moments already tell. So the
//! exponents are packed to bytes, and a window of eight bins at a time is compared with all of them, downwards from the
//! largest exponent, until every value is accounted for; where the processor can, those that are counted leave the
//! others to stand side by side, so that a later pass is a short one. A block so wide that a few windows do not reach its end is
//! counted by the table instead. Both ways count exactly.

use super::super::moments::Moments;
use super::{BLOCK, InstructionSet, VECTOR_GROUP, scalar};

#[cfg(target_arch = "aarch64")]
use super::neon;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

/// Bins that are compared in one pass over the packed exponents.
pub(super) const WINDOW: usize = 8;

/// Passes before the table is taken instead: 40 binades, 12 orders of magnitude.
const MAX_PASSES: usize = 5;

/// `pack_exponents(values, exponents)` of an instruction set.
type PackExponents = unsafe fn(&[f32], &mut [u8]);
/// `count_window(exponents, first_bin)` of an instruction set.
type CountWindow = unsafe fn(&[u8], u8) -> [u64; WINDOW];

/// Adds the values of `block`, whose moments are given, to `counts` by biased exponent.
pub(super) fn count(set: InstructionSet, block: &[f32], moments: &Moments, counts: &mut [u64; 256]) {
    let pack_exponents: PackExponents = match set {
        InstructionSet::Scalar => |_, _| (),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => avx2::pack_exponents,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => avx512::pack_exponents,
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => neon::pack_exponents,
    };
    // SAFETY: `set` exists only where its instructions were detected.
    let pack = |exponents: &mut [u8]| unsafe { pack_exponents(block, exponents) };
    if !count_by_windows(set, moments, pack, counts) {
        scalar::count_exponents(block, counts);
    }
}

/// Counts the values of the block that `moments` is of and `pack` writes the biased exponents of: all, or nothing, which it
/// says, if there is no vector code for its length or the values spread too wide for it.
pub(super) fn count_by_windows(
    set: InstructionSet,
    moments: &Moments,
    pack: impl FnOnce(&mut [u8]),
    counts: &mut [u64; 256],
) -> bool {
    let count_window: CountWindow = match set {
        InstructionSet::Scalar => return false,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => avx2::count_window,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => avx512::count_window,
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => neon::count_window,
    };
    let length = moments.count as usize;
    if !length.is_multiple_of(VECTOR_GROUP) || moments.non_finite > 0 {
        return false;
    }
    let mut packed = [0u8; BLOCK];
    let mut exponents = &mut packed[..length];
    pack(exponents);

    let mut found = [0u64; 256];
    let mut missing = moments.count - moments.zeros;
    // One past the largest exponent of the block. `abs_max` is an f32, so the cast is exact.
    let mut end = ((moments.abs_max as f32).to_bits() >> 23) as usize + 1;
    for _ in 0..MAX_PASSES {
        if missing == 0 || end <= 1 {
            break;
        }
        // The last window ends with bin 1; bin 0 is what remains.
        let first = end.saturating_sub(WINDOW).max(1);
        // SAFETY: `set` exists only where its instructions were detected.
        let in_window = unsafe { count_window(exponents, first as u8) };
        for (bin, n) in (first..end).zip(in_window) {
            found[bin] = n;
            missing -= n;
        }
        end = first;
        if missing > 0 {
            let left = left_below(set, exponents, first as u8);
            exponents = &mut exponents[..left];
        }
    }
    if missing > 0 && end > 1 {
        return false;
    }
    found[0] = moments.zeros + missing;
    for (count, n) in counts.iter_mut().zip(found) {
        *count += n;
    }
    true
}

/// Moves exponents that are below `end` and not zero to the front where there is code for it; how many there are to look at
/// from then on, a multiple of [`VECTOR_GROUP`], zeros among them.
fn left_below(set: InstructionSet, exponents: &mut [u8], end: u8) -> usize {
    match set {
        // SAFETY: asked for, and `Avx512` exists only where AVX-512 F and BW were detected.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 if is_x86_feature_detected!("avx512vbmi2") => unsafe {
            avx512::keep_below(exponents, end)
        },
        _ => exponents.len(),
    }
}
