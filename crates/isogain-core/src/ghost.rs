//! Ghost batch norm (Hoffer, Hubara and Soudry 2017): batch norm over parts of a batch.
//!
//! As many parts as have at least as many samples as are to share a mean, none larger than another by more than one sample, the
//! larger ones first.

use std::ops::Range;

/// Parts of a batch of so many samples of which at least `ghost` share a mean; 1 where `ghost` is 0.
pub fn parts(samples: usize, ghost: usize) -> usize {
    samples.checked_div(ghost).unwrap_or(1).max(1)
}

/// The samples of each part.
pub fn ranges(samples: usize, parts: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let parts = parts.max(1);
    let begin = move |part: usize| part * (samples / parts) + part.min(samples % parts);
    (0..parts).map(move |part| begin(part)..begin(part + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_many_as_are_large_enough_and_differ_by_one_sample() {
        assert_eq!([0, 1, 63, 64, 127, 128, 509].map(|samples| parts(samples, 64)), [1, 1, 1, 1, 1, 2, 7]);
        assert_eq!(parts(100, 0), 1);
        assert_eq!(ranges(10, 3).collect::<Vec<_>>(), [0..4, 4..7, 7..10]);
        assert!(ranges(6, 0).eq(std::iter::once(0..6)));
        for (samples, ghost) in [(509, 64), (127, 32), (512, 64), (5, 2), (3, 7)] {
            let ranges: Vec<Range<usize>> = ranges(samples, parts(samples, ghost)).collect();
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, samples));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(ranges.iter().all(|range| range.len() >= ghost.min(samples)), "{ranges:?}");
        }
    }
}
