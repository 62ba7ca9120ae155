//! Through how many branches a gradient comes, in words: for the text and for the page.

use crate::flow::{Asked, PathLengths};

use super::escape::printable;
use super::numbers::{number, percent};
use super::text::{INDENT, LINE_WIDTH, wrapped};

/// Part of the energy that a reader is told the longest path of.
const MOST: f64 = 0.99;

/// `the gradient of stem comes through 2.58 of 20 branches on average, and 99 % of its energy through at most 7`.
pub fn sentence(paths: &PathLengths) -> String {
    let branches = if paths.branches == 1 { "1 branch".to_owned() } else { format!("{} branches", paths.branches) };
    format!(
        "the gradient of {} comes through {} of {branches} on average, and {} of its energy through at most {}",
        paths.layer,
        number(paths.mean),
        percent(MOST),
        longest(paths)
    )
}

/// Branches of the path up to which 99 % of the energy comes.
pub fn longest(paths: &PathLengths) -> usize {
    let mut sum = 0.0;
    let reached = |share: &f64| {
        sum += share;
        sum >= MOST
    };
    paths.energy.iter().position(reached).unwrap_or(paths.branches)
}

/// A line for the terminal; empty for a network without branches, and where the lengths are left out: the document and the
/// page say why.
pub(super) fn line(paths: Option<&Asked<PathLengths>>) -> String {
    match paths {
        Some(Asked::Told(paths)) => wrapped(&printable(&sentence(paths)), LINE_WIDTH, INDENT) + "\n",
        Some(Asked::LeftOut { .. }) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_the_energy_is_told() {
        let paths = PathLengths {
            layer: "stem".into(),
            branches: 3,
            mean: 1.25,
            energy: vec![0.25, 0.4, 0.345, 0.005],
            samples: 4,
        };
        let expected = "the gradient of stem comes through 1.25 of 3 branches on average, and 99 % of its energy through at most 2\n";
        assert_eq!(line(Some(&Asked::Told(paths))), expected);
        assert_eq!(line(None), "");
        assert_eq!(line(Some(&Asked::LeftOut { left_out: "attention".into() })), "");
    }
}
