//! "Did you mean": the known name nearest to one that is not known, for every table a user can misspell.

/// The entry of `known` nearest to `name`, or `None` when nothing is near enough to be what was meant.
///
/// Distance is the number of insertions, deletions, substitutions and swaps of neighbours (optimal string
/// alignment); case and the difference between `_`, `-` and a space are ignored. At most half of the characters
/// (and always up to two) may differ, but not all of them; of equally near names the first wins. Nothing is near to a text of more than
/// 64 bytes: nobody mistypes a name into one, and the distance would take long to compute.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let wanted = normalised(name);
    known
        .map(|candidate| (normalised(candidate), candidate))
        .map(|(letters, candidate)| (edit_distance(&wanted, &letters), letters.len(), candidate))
        .filter(|&(distance, length, _)| distance <= (wanted.len() / 2).max(2) && distance < wanted.len().max(length))
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}

fn normalised(name: &str) -> Vec<char> {
    name.chars().flat_map(char::to_lowercase).map(|c| if c == '_' || c == ' ' { '-' } else { c }).collect()
}

fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["relu", "leaky-relu", "sigmoid", "softplus"];

    #[test]
    fn finds_what_was_meant() {
        for (typed, meant) in
            [("rleu", "relu"), ("Leaky_ReLU", "leaky-relu"), ("sigmoyd", "sigmoid"), ("sotfplus", "softplus")]
        {
            assert_eq!(nearest(typed, KNOWN.into_iter()), Some(meant), "{typed}");
        }
    }

    #[test]
    fn stays_silent_when_nothing_is_near() {
        assert_eq!(nearest("transformer", KNOWN.into_iter()), None);
        assert_eq!(nearest(&"relu".repeat(1 << 20), KNOWN.into_iter()), None);
    }

    #[test]
    fn counts_a_swap_of_neighbours_once() {
        let distance = |a: &str, b: &str| edit_distance(&normalised(a), &normalised(b));
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
