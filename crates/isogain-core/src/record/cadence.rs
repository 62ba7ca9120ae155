//! Which steps are written: dense early, when most goes wrong, then at round numbers evenly spaced in the logarithm.
//!
//! It depends on the step alone, so that a resumed run writes the lines that an uninterrupted one would have, and two
//! runs of one length can be compared line by line.

/// Steps before this one are all written.
pub const DENSE_STEPS: u64 = 20;

/// Most lines that [`is_written`] lets through in a run of any length.
pub const MOST_LINES: usize = 200;

/// Twenty steps in each decade, a hundred times the preferred numbers of series R20 of ISO 3.
const PREFERRED: [u64; 20] =
    [100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900];

/// From here on only powers of ten: a run this long would exceed [`MOST_LINES`] otherwise.
const SPARSE_FROM: u64 = 1_000_000_000;

/// Whether `step` is written in a run whose last step is `last`. Both count the optimizer updates done before, so the
/// first step is 0 and the last is one less than the number of updates.
///
/// ```
/// use isogain_core::record::cadence::is_written;
/// let written: Vec<u64> = (0..60).filter(|&step| is_written(step, 59)).skip(18).collect();
/// assert_eq!(written, [18, 19, 20, 22, 25, 28, 32, 36, 40, 45, 50, 56, 59]);
/// ```
pub fn is_written(step: u64, last: u64) -> bool {
    step < DENSE_STEPS || step == last || is_preferred(step)
}

/// Whether the chain rule is taken apart on the batch of this step, which costs a few steps more: at the first and the
/// last one, and at 10, 20, 50, 100 and so on. Every such step is written.
pub fn is_taken_apart(step: u64, last: u64) -> bool {
    if step == 0 || step == last {
        return true;
    }
    let mut number = step;
    while number.is_multiple_of(10) && number >= 100 {
        number /= 10;
    }
    [10, 20, 50].contains(&number)
}

/// Whether `step` is a preferred number times a power of ten, rounded to a whole number.
fn is_preferred(step: u64) -> bool {
    if step < 100 {
        return PREFERRED.iter().any(|number| (number + 5) / 10 == step);
    }
    let mut scale = 1;
    while step / scale >= 1000 {
        scale *= 10;
    }
    let number = step / scale;
    step.is_multiple_of(scale) && if step > SPARSE_FROM { number == 100 } else { PREFERRED.contains(&number) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_taken_apart_is_written() {
        let apart: Vec<u64> = (0..10_000).filter(|&step| is_taken_apart(step, 2345)).collect();
        assert_eq!(apart, [0, 10, 20, 50, 100, 200, 500, 1000, 2000, 2345, 5000]);
        assert!(apart.iter().all(|&step| is_written(step, 2345)));
        assert!((0..20).all(|power| is_taken_apart(10_u64.pow(power).max(10), 7)));
    }

    /// All steps that can be written after the dense ones: no other number is preferred.
    fn candidates() -> Vec<u64> {
        let mut steps: Vec<u64> = (0..100).collect();
        for exponent in 0..=17 {
            steps.extend(PREFERRED.iter().filter_map(|number| number.checked_mul(10_u64.pow(exponent))));
        }
        steps.retain(|&step| is_written(step, u64::MAX));
        steps
    }

    #[test]
    fn a_run_of_any_length_stays_under_the_cap() {
        let steps = candidates();
        assert!(steps.len() < MOST_LINES, "{} lines and the last", steps.len());
        assert!(steps.len() > 150);
    }

    #[test]
    fn candidates_are_all_there_are() {
        let counted = (0..2_000_000).filter(|&step| is_written(step, u64::MAX)).count();
        assert_eq!(counted, candidates().iter().filter(|&&step| step < 2_000_000).count());
    }

    #[test]
    fn each_decade_has_twenty() {
        for exponent in 2..9 {
            let decade = 10_u64.pow(exponent)..10_u64.pow(exponent + 1);
            assert_eq!(candidates().iter().filter(|step| decade.contains(step)).count(), 20, "{decade:?}");
        }
    }

    #[test]
    fn gaps_grow_with_the_step() {
        let steps: Vec<u64> = candidates().into_iter().filter(|&step| step <= SPARSE_FROM).collect();
        for pair in steps.windows(2) {
            // An even division of a decade would be 12.2 %; R20 rounds 1.413 and 1.585 to 1.4 and 1.6, a seventh apart.
            assert!(7 * (pair[1] - pair[0]) <= 7 + pair[0], "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn first_and_last_are_always_written(last in 0_u64..) {
            prop_assert!(is_written(0, last));
            prop_assert!(is_written(last, last));
        }

        #[test]
        fn the_length_of_the_run_changes_only_its_last_step(step in 0_u64..100_000, a in 0_u64.., b in 0_u64..) {
            prop_assume!(step != a && step != b);
            prop_assert_eq!(is_written(step, a), is_written(step, b));
        }
    }
}
