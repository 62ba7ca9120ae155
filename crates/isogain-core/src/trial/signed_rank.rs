//! Exact one-sided Wilcoxon signed-rank test: what chance alone would do if a difference were as likely as its negative.
//!
//! Ranks instead of sizes, so that an infinite difference (one of the two runs diverged) is simply the largest.
//! Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1 (1945); zeros as in Pratt (1959): ranked,
//! then left out of the sum. Ties share the mean rank and the distribution is that of the tied ranks, so it is exact.

/// Probability, if the sign of each difference were the toss of a coin, of a rank sum in favour of positive differences at
/// least as large as the observed one. 1 without differences; never below `2^-n`.
pub fn p_value(differences: &[f64]) -> f64 {
    let doubled_ranks = doubled_signed_ranks(differences);
    let observed: usize = doubled_ranks.iter().filter(|(positive, _)| *positive).map(|(_, rank)| rank).sum();
    let total: usize = doubled_ranks.iter().map(|(_, rank)| rank).sum();
    // ways[s]: the share of sign assignments whose positive ranks add up to s.
    let mut ways = vec![0.0; total + 1];
    ways[0] = 1.0;
    for (_, rank) in &doubled_ranks {
        for sum in (0..=total).rev() {
            let with = if sum >= *rank { ways[sum - rank] } else { 0.0 };
            ways[sum] = 0.5 * (ways[sum] + with);
        }
    }
    ways[observed..].iter().sum::<f64>().min(1.0)
}

/// Sign and twice the mid-rank of each non-zero difference; NaN counts as zero.
fn doubled_signed_ranks(differences: &[f64]) -> Vec<(bool, usize)> {
    let mut sizes: Vec<(f64, f64)> =
        differences.iter().map(|d| if d.is_nan() { (0.0, 0.0) } else { (d.abs(), *d) }).collect();
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = Vec::with_capacity(sizes.len());
    let mut start = 0;
    while start < sizes.len() {
        let end = start + sizes[start..].iter().take_while(|(size, _)| *size == sizes[start].0).count();
        // Ranks start+1 ..= end; twice their mean is start + 1 + end.
        ranks
            .extend(sizes[start..end].iter().filter(|(size, _)| *size > 0.0).map(|(_, d)| (*d > 0.0, start + 1 + end)));
        start = end;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_seeds_can_claim_little() {
        assert_eq!(p_value(&[1.0, 2.0, 3.0]), 0.125);
        assert_eq!(p_value(&[-1.0, 2.0, 3.0]), 0.25);
        assert_eq!(p_value(&[]), 1.0);
        assert_eq!(p_value(&[0.0, 0.0]), 1.0);
    }

    #[test]
    fn an_infinite_difference_has_the_largest_rank() {
        assert_eq!(p_value(&[1.0, -2.0, f64::INFINITY]), p_value(&[1.0, -2.0, 3.0]));
    }

    /// Table of the signed-rank distribution: with n = 10, P(W+ >= 45) = P(W- <= 10) = 43/1024 (Wilcoxon 1945: 0.042).
    #[test]
    fn agrees_with_the_published_table() {
        let differences = [-1.0, -2.0, -3.0, -4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
        assert!((p_value(&differences) - 43.0 / 1024.0).abs() < 1e-15);
    }

    fn by_enumeration(differences: &[f64]) -> f64 {
        let ranks = doubled_signed_ranks(differences);
        let observed: usize = ranks.iter().filter(|(positive, _)| *positive).map(|(_, rank)| rank).sum();
        let assignments = 1_u32 << ranks.len();
        let extreme = (0..assignments).filter(|signs| {
            let sum: usize =
                ranks.iter().enumerate().filter(|(i, _)| signs >> i & 1 == 1).map(|(_, (_, rank))| rank).sum();
            sum >= observed
        });
        extreme.count() as f64 / f64::from(assignments)
    }

    proptest! {
        #[test]
        fn equals_enumeration_of_all_signs(differences in prop::collection::vec((-4_i32..=4).prop_map(f64::from), 0..10)) {
            prop_assert!((p_value(&differences) - by_enumeration(&differences)).abs() < 1e-12);
        }
    }
}
