//! Two arms compared seed by seed: same initialisation seed, same order of the data, same number of steps.

use serde::{Deserialize, Serialize};

use super::SeedScore;
use super::signed_rank::p_value;
use crate::statistics::median;

/// An arm against a reference over the seeds both were run with.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// The seeds both were run with, ascending.
    pub seeds: Vec<u64>,
    /// ln(reference loss / arm loss) for each seed, positive where the arm is better; infinite where only one of the two
    /// diverged, 0 where both did.
    pub log_loss_gains: Vec<f64>,
    /// Training accuracy of the arm minus that of the reference for each seed; empty for regression.
    pub accuracy_gains: Vec<f64>,
    /// ln loss of the reference, ascending; positive infinity where it diverged.
    pub reference: Vec<f64>,
    /// ln loss of the arm, ascending.
    pub arm: Vec<f64>,
}

/// How large a difference is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Median over seeds of arm loss / reference loss; below 1 is better. `None` when the arm diverged on most seeds.
    pub median_loss_ratio: Option<f64>,
    /// Median over seeds of the gain in training accuracy; `None` for regression.
    pub accuracy_gain: Option<f64>,
    /// Probability that a run of the arm beats a run of the reference, ties counted half (Vargha and Delaney's A).
    pub superiority: f64,
    /// Exact one-sided signed-rank probability of a gain like this by chance; never below 2^-seeds.
    pub p_value: f64,
    /// Number of paired seeds.
    pub seeds: usize,
}

impl Paired {
    /// Pairs two arms by seed. Losses below `floor` count as `floor`: below it a network has learnt the task and a ratio
    /// of losses means nothing. A loss that is not finite is worse than every other.
    pub fn new(reference: &[SeedScore], arm: &[SeedScore], floor: f64) -> Self {
        let mut pairs: Vec<(&SeedScore, &SeedScore)> = arm
            .iter()
            .filter_map(|of_arm| {
                Some((reference.iter().find(|of_reference| of_reference.seed == of_arm.seed)?, of_arm))
            })
            .collect();
        pairs.sort_by_key(|(_, of_arm)| of_arm.seed);
        let log_losses: Vec<(f64, f64)> =
            pairs.iter().map(|(r, a)| (log_loss(r.score.loss, floor), log_loss(a.score.loss, floor))).collect();
        Self {
            seeds: pairs.iter().map(|(_, of_arm)| of_arm.seed).collect(),
            log_loss_gains: log_losses.iter().map(|(r, a)| if r == a { 0.0 } else { r - a }).collect(),
            accuracy_gains: pairs
                .iter()
                .filter_map(|(r, a)| Some(a.score.train_accuracy? - r.score.train_accuracy?))
                .collect(),
            reference: sorted(log_losses.iter().map(|(r, _)| *r)),
            arm: sorted(log_losses.iter().map(|(_, a)| *a)),
        }
    }

    /// The size of the difference.
    pub fn effect(&self) -> Effect {
        let ratio = (-median(self.log_loss_gains.iter().copied()).unwrap_or(0.0)).exp();
        Effect {
            median_loss_ratio: (ratio.is_finite() && !self.seeds.is_empty()).then_some(ratio),
            accuracy_gain: median(self.accuracy_gains.iter().copied()),
            superiority: self.superiority(),
            p_value: p_value(&self.log_loss_gains),
            seeds: self.seeds.len(),
        }
    }

    fn superiority(&self) -> f64 {
        let pairs = self.arm.len() * self.reference.len();
        if pairs == 0 {
            return 0.5;
        }
        let won = self.arm.iter().flat_map(|a| self.reference.iter().map(move |r| (a, r)));
        let won: f64 = won.map(|(a, r)| if a < r { 1.0 } else { 0.5 * f64::from(u8::from(a == r)) }).sum();
        won / pairs as f64
    }
}

/// ln max(loss, floor); positive infinity for a loss that is missing or not finite.
pub fn log_loss(loss: Option<f64>, floor: f64) -> f64 {
    loss.filter(|loss| loss.is_finite()).map_or(f64::INFINITY, |loss| loss.max(floor).ln())
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Score;
    use super::*;

    const FLOOR: f64 = 1e-3;

    fn run(seed: u64, loss: f64) -> SeedScore {
        let score = Score {
            loss: loss.is_finite().then_some(loss),
            train_accuracy: Some(if loss < 1.0 { 1.0 } else { 0.1 }),
            test_accuracy: None,
            test_loss: None,
        };
        SeedScore { seed, score }
    }

    #[test]
    fn pairs_by_seed_whatever_the_order() {
        let reference = [run(2, 2.0), run(0, 2.3), run(1, 2.3)];
        let arm = [run(0, 0.023), run(1, 0.23), run(2, 0.002), run(7, 1e9)];
        let paired = Paired::new(&reference, &arm, FLOOR);
        assert_eq!(paired.seeds, [0, 1, 2]);
        let effect = paired.effect();
        assert!((effect.median_loss_ratio.unwrap() - 0.01).abs() < 1e-12);
        assert_eq!(effect.accuracy_gain, Some(0.9));
        assert_eq!((effect.superiority, effect.p_value, effect.seeds), (1.0, 0.125, 3));
    }

    #[test]
    fn divergence_is_worse_than_any_loss_and_equal_to_divergence() {
        let paired = Paired::new(&[run(0, 1e30), run(1, f64::NAN)], &[run(0, f64::INFINITY), run(1, f64::NAN)], FLOOR);
        assert_eq!(paired.log_loss_gains, [f64::NEG_INFINITY, 0.0]);
        assert_eq!(paired.effect().median_loss_ratio, None);
        assert_eq!(paired.effect().superiority, 0.25);
    }

    #[test]
    fn below_the_floor_all_losses_are_alike() {
        let paired = Paired::new(&[run(0, 1e-4)], &[run(0, 1e-9)], FLOOR);
        assert_eq!(paired.log_loss_gains, [0.0]);
    }

    proptest! {
        #[test]
        fn swapping_the_arms_turns_the_sign(losses in prop::collection::vec((0.01..10.0_f64, 0.01..10.0_f64), 1..8)) {
            let a: Vec<_> = losses.iter().enumerate().map(|(i, l)| run(i as u64, l.0)).collect();
            let b: Vec<_> = losses.iter().enumerate().map(|(i, l)| run(i as u64, l.1)).collect();
            let (forth, back) = (Paired::new(&a, &b, FLOOR), Paired::new(&b, &a, FLOOR));
            for (x, y) in forth.log_loss_gains.iter().zip(&back.log_loss_gains) {
                prop_assert_eq!(*x, -*y);
            }
            prop_assert!((forth.effect().superiority + back.effect().superiority - 1.0).abs() < 1e-12);
        }
    }
}
