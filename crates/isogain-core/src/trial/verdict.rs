//! From a paired comparison to a verdict, with the claim no larger than the number of seeds allows.
//!
//! With n seeds the exact signed-rank test cannot go below 2^-n, 1/8 for three seeds: agreement of all seeds alone would
//! be claimed by chance far too often when several remedies are compared. So while 2^-n is above the wanted error rate, a
//! difference must in addition separate the two groups and be large against the reference's own spread over seeds.

use super::Verdict;
use super::paired::Paired;
use super::signed_rank::p_value;
use crate::statistics::median;

/// What it takes to claim something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judge {
    /// Smallest ln loss ratio that matters.
    pub margin: f64,
    /// Wanted rate of claims by chance, over all comparisons together.
    pub alpha: f64,
    /// Arms compared with the same reference (Bonferroni).
    pub comparisons: usize,
    /// Fewest paired seeds for any claim.
    pub min_seeds: usize,
    /// Loss of a network that learnt nothing: an arm whose median is not better by the margin learnt nothing either, and
    /// that its loss is finite where the reference diverged is no improvement. Infinite where it is not known.
    pub untrained_loss: f64,
    /// How many times the reference's range over seeds the median difference must be while 2^-seeds > alpha.
    pub spread_factor: f64,
}

impl Default for Judge {
    /// 10 % of loss, 5 % of claims by chance, three seeds, the reference's range.
    ///
    /// Checked by simulation of whole searches without any effect (tests of the parent module): with three seeds, four
    /// finalists, whatever the spread over seeds, about 2 % of the searches contain a false `improves`.
    fn default() -> Self {
        Self {
            margin: -(0.9_f64.ln()),
            alpha: 0.05,
            comparisons: 1,
            min_seeds: 3,
            untrained_loss: f64::INFINITY,
            spread_factor: 1.0,
        }
    }
}

impl Judge {
    /// The verdict on an arm that was compared seed by seed.
    pub fn verdict(&self, paired: &Paired) -> Verdict {
        if paired.seeds.len() < self.min_seeds {
            return Verdict::Inconclusive;
        }
        let gains = &paired.log_loss_gains;
        let losses: Vec<f64> = gains.iter().map(|gain| -gain).collect();
        if self.claims(&losses, paired, separated(&paired.reference, &paired.arm)) {
            Verdict::Harms
        } else if self.claims(gains, paired, separated(&paired.arm, &paired.reference)) {
            if median(paired.arm.iter().copied()).is_some_and(|loss| loss <= self.untrained_loss.ln() - self.margin) {
                Verdict::Improves
            } else {
                Verdict::NoEffect
            }
        } else if gains.iter().all(|gain| gain.abs() < self.margin) {
            Verdict::NoEffect
        } else {
            Verdict::Inconclusive
        }
    }

    /// The reference's range over seeds. A loss above that of knowing nothing counts as knowing nothing: one seed that
    /// diverges among others that learn nothing is no spread that an arm would have to exceed.
    fn reference_range(&self, paired: &Paired) -> f64 {
        let untrained = self.untrained_loss.ln();
        let reference: Vec<f64> = paired.reference.iter().map(|loss| loss.min(untrained)).collect();
        range(&reference)
    }

    /// Whether `gains` (positive where the claimed winner is better) are more than chance.
    fn claims(&self, gains: &[f64], paired: &Paired, separated: bool) -> bool {
        let smallest_p = 0.5_f64.powi(gains.len() as i32);
        let wanted_p = self.alpha / self.comparisons.max(1) as f64;
        let typical = median(gains.iter().copied()).unwrap_or(0.0);
        if typical < self.margin || p_value(gains) > wanted_p.max(smallest_p) {
            return false;
        }
        smallest_p <= wanted_p || (separated && typical >= self.spread_factor * self.reference_range(paired))
    }
}

/// Whether the worst of the winner is better than the best of the loser (ln losses, ascending).
fn separated(winner: &[f64], loser: &[f64]) -> bool {
    matches!((winner.last(), loser.first()), (Some(worst), Some(best)) if worst < best)
}

/// Largest minus smallest of ascending values; 0 where all are equal, even if infinite.
fn range(values: &[f64]) -> f64 {
    match (values.first(), values.last()) {
        (Some(first), Some(last)) if first != last => last - first,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Score, SeedScore};
    use super::*;

    fn runs(losses: &[f64]) -> Vec<SeedScore> {
        let run = |(seed, loss): (usize, &f64)| SeedScore {
            seed: seed as u64,
            score: Score {
                loss: loss.is_finite().then_some(*loss),
                train_accuracy: None,
                test_accuracy: None,
                test_loss: None,
            },
        };
        losses.iter().enumerate().map(run).collect()
    }

    fn verdict(reference: &[f64], arm: &[f64]) -> Verdict {
        Judge::default().verdict(&Paired::new(&runs(reference), &runs(arm), 1e-3))
    }

    const NAN: f64 = f64::NAN;

    /// Losses of 30 layers of width 64 on the digits after 1000 steps, three seeds each.
    #[test]
    fn judges_what_thirty_layers_do() {
        let stuck = [2.303, 2.303, 2.302];
        let he = [0.965, 1.588, 0.603];
        let glorot_batch_norm = [0.175, 0.343, 0.189];
        let scaled_residual = [0.008, 0.008, 0.007];
        assert_eq!(verdict(&stuck, &he), Verdict::Improves);
        assert_eq!(verdict(&stuck, &glorot_batch_norm), Verdict::Improves);
        assert_eq!(verdict(&he, &scaled_residual), Verdict::Improves);
        assert_eq!(verdict(&stuck, &[2.294, 2.302, 2.301]), Verdict::NoEffect);
        assert_eq!(verdict(&stuck, &[NAN, NAN, NAN]), Verdict::Harms);
        assert_eq!(verdict(&scaled_residual, &he), Verdict::Harms);
        assert_eq!(verdict(&scaled_residual, &[NAN, NAN, 0.008]), Verdict::Inconclusive);
        assert_eq!(verdict(&[NAN, NAN, NAN], &[NAN, NAN, NAN]), Verdict::NoEffect);
        assert_eq!(verdict(&[NAN, NAN, NAN], &scaled_residual), Verdict::Improves);
    }

    #[test]
    fn stuck_is_no_improvement_over_diverged() {
        let judge = Judge { untrained_loss: std::f64::consts::LN_10, ..Judge::default() };
        let against_diverged = |arm: &[f64]| judge.verdict(&Paired::new(&runs(&[NAN, NAN, NAN]), &runs(arm), 1e-3));
        assert_eq!(against_diverged(&[2.303, 2.302, 2.303]), Verdict::NoEffect);
        assert_eq!(against_diverged(&[16.0, 13.0, 15.0]), Verdict::NoEffect);
        assert_eq!(against_diverged(&[1.2, 1.0, 1.3]), Verdict::Improves);
    }

    #[test]
    fn two_seeds_claim_nothing() {
        assert_eq!(verdict(&[2.3, 2.3], &[0.01, 0.01]), Verdict::Inconclusive);
    }

    /// A network that is ill on some seeds only: the remedy cannot be shown to help where nothing was wrong.
    #[test]
    fn seeds_that_disagree_are_inconclusive() {
        assert_eq!(verdict(&[0.01, 2.3, 2.3], &[0.02, 0.01, 0.01]), Verdict::Inconclusive);
    }

    #[test]
    fn a_gain_within_the_seed_spread_is_not_claimed_from_three_seeds() {
        assert_eq!(verdict(&[0.5, 0.6, 0.8], &[0.4, 0.4, 0.4]), Verdict::Inconclusive);
    }

    #[test]
    fn many_seeds_need_no_separation() {
        let reference: Vec<f64> = (0..12).map(|seed| 0.5 + 0.05 * f64::from(seed)).collect();
        let arm: Vec<f64> = reference.iter().map(|loss| 0.8 * loss).collect();
        assert_eq!(verdict(&reference, &arm), Verdict::Improves);
        assert_eq!(verdict(&arm, &reference), Verdict::Harms);
    }
}
