//! What a search may do: which arms at which learning rates, on which seeds, and how many steps that costs at most.

use super::error::TrialError;
use super::learning_rates;

/// Most steps of everything together, in whole trainings: 60 000 steps for a recipe of 1000.
const BUDGET_TRAININGS: usize = 60;

/// Seeds that the usual budget is for.
const USUAL_SEEDS: usize = 3;

/// Shares of a whole training after which arms are dropped.
const RUNG_SHARES: [f64; 2] = [0.06, 0.2];

/// Fewest steps from which anything can be read.
const FEWEST_STEPS: usize = 10;

/// Arms that reach the end, if the budget allows.
const FINALISTS: usize = 4;

/// Which runs of the untreated network an arm has to beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// Those at its own best learning rate.
    BestLearningRate,
    /// Those at the recipe's learning rate: for an arm whose only change is the learning rate. Such an arm is the
    /// untreated network itself, whose whole trainings at that rate are there anyway; it costs nothing.
    RecipeLearningRate,
}

/// One side of the trial: the untreated network, or one prescription.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Learning rates to try, ascending.
    pub learning_rates: Vec<f64>,
    /// What it is compared with.
    pub against: Against,
    /// How many remedies it applies: 0 for the untreated network, 1, or 2 for a pair. Of two cures the one with fewer is
    /// better, and the best arm with one always reaches the end, so that a pair is never preferred unseen.
    pub remedies: usize,
}

/// A round after which two thirds of what is left are dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// Optimizer updates of each run.
    pub steps: usize,
    /// Seeds of each arm and learning rate; all arms the same, none of them a seed that verdicts rest on: an arm chosen
    /// for its luck on a seed must not be judged on that seed.
    pub seeds: Vec<u64>,
}

/// What a search may do. Arm 0 is the untreated network.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The arms.
    pub arms: Vec<Arm>,
    /// The learning rate the recipe asks for.
    pub recipe_learning_rate: f64,
    /// Seeds of the whole trainings that verdicts rest on.
    pub seeds: Vec<u64>,
    /// Optimizer updates of a whole training.
    pub full_steps: usize,
    /// Rounds before the whole trainings, steps ascending.
    pub rungs: Vec<Rung>,
    /// Most arms trained to the end on every seed, the untreated one not counted.
    pub finalists: usize,
    /// Most optimizer updates of search and random search together.
    pub budget_steps: usize,
    /// Loss below which the task is learnt and differences mean nothing.
    pub loss_floor: f64,
    /// Loss of a network that learnt nothing: what does not beat it improves nothing.
    pub untrained_loss: f64,
}

impl Arm {
    /// The untreated network at every learning rate of the grid around `recipe_learning_rate`.
    pub fn untreated(recipe_learning_rate: f64) -> Self {
        Self {
            learning_rates: learning_rates::grid(recipe_learning_rate),
            against: Against::BestLearningRate,
            remedies: 0,
        }
    }

    /// A prescription of that many remedies, at the rates of the same grid that a predicted ceiling leaves worth trying.
    pub fn treated(recipe_learning_rate: f64, remedies: usize, ceiling: Option<f64>) -> Self {
        Self {
            learning_rates: learning_rates::below_ceiling(&learning_rates::grid(recipe_learning_rate), ceiling),
            against: Against::BestLearningRate,
            remedies,
        }
    }

    /// The untreated network at another learning rate of its grid.
    pub fn other_learning_rate(learning_rate: f64) -> Self {
        Self { learning_rates: vec![learning_rate], against: Against::RecipeLearningRate, remedies: 1 }
    }
}

impl Plan {
    /// The usual plan within the usual budget: rungs at 6 % and 20 % of a training on one seed each (the ones after
    /// the largest of `seeds`), then up to four finalists on every seed of `seeds`. What does not fit the budget is left
    /// out: finalists first, then arms from the end of the list, so give the most promising first.
    ///
    /// `untrained_loss` is the loss of a network that learnt nothing; one percent of it is the floor.
    ///
    /// # Errors
    /// A plan that cannot be compared fairly, see [`TrialError`].
    pub fn usual(
        arms: Vec<Arm>,
        recipe_learning_rate: f64,
        seeds: Vec<u64>,
        full_steps: usize,
        untrained_loss: f64,
    ) -> Result<Self, TrialError> {
        let mut rungs: Vec<Rung> = Vec::new();
        let mut search_seed = after(&seeds);
        for share in RUNG_SHARES {
            let steps = ((full_steps as f64 * share).round() as usize).max(FEWEST_STEPS);
            if steps < full_steps && rungs.last().is_none_or(|last| last.steps < steps) {
                rungs.push(Rung { steps, seeds: vec![search_seed] });
                search_seed = search_seed.wrapping_add(1);
            }
        }
        // Who asks for more seeds than usual asks for what they cost.
        let budget =
            BUDGET_TRAININGS.saturating_mul(full_steps).saturating_mul(seeds.len().max(USUAL_SEEDS)) / USUAL_SEEDS;
        let plan = Self {
            arms,
            recipe_learning_rate,
            seeds,
            full_steps,
            rungs,
            finalists: FINALISTS,
            budget_steps: budget,
            loss_floor: (0.01 * untrained_loss).max(f64::MIN_POSITIVE),
            untrained_loss,
        };
        plan.within_budget(plan.budget_steps)
    }

    /// The same plan made to fit `budget_steps`.
    ///
    /// # Errors
    /// [`TrialError::BudgetTooSmall`] when not even one remedy can be compared fairly; anything [`Plan::check`] reports.
    pub fn within_budget(&self, budget_steps: usize) -> Result<Self, TrialError> {
        self.check()?;
        let mut plan = Self { budget_steps, ..self.clone() };
        while plan.most_steps() > budget_steps {
            if plan.finalists > 2 {
                plan.finalists -= 1;
            } else if plan.arms.len() > 2 {
                plan.arms.pop();
            } else if plan.finalists > 1 {
                plan.finalists -= 1;
            } else {
                return Err(TrialError::BudgetTooSmall { needed: plan.most_steps(), budget: budget_steps });
            }
        }
        Ok(plan)
    }

    /// Most steps of the untreated network, the search, and the random search that gets as many as the search.
    pub fn most_steps(&self) -> usize {
        self.untreated_steps() + 2 * self.most_search_steps()
    }

    /// Steps of the whole trainings of the untreated network.
    pub fn untreated_steps(&self) -> usize {
        self.arms.first().map_or(0, |arm| arm.learning_rates.len()) * self.seeds.len() * self.full_steps
    }

    /// Most steps of rungs and finalists.
    pub fn most_search_steps(&self) -> usize {
        let untreated = self.arms.first().map_or(0, |arm| arm.learning_rates.len());
        let mut left: usize = self.contenders().map(|arm| self.arms[arm].learning_rates.len()).sum();
        let mut steps = 0;
        for rung in &self.rungs {
            steps += (untreated + left) * rung.seeds.len() * rung.steps;
            left = self.kept(left);
        }
        steps + self.finalists.min(self.contenders().count()) * self.seeds.len() * self.full_steps
    }

    /// The arms that have runs of their own, the untreated one left out.
    pub(super) fn contenders(&self) -> impl Iterator<Item = usize> {
        (1..self.arms.len()).filter(|arm| self.arms[*arm].against == Against::BestLearningRate)
    }

    /// How many of that many configurations (arm and learning rate) a rung keeps: a third, but enough for the final.
    pub(super) fn kept(&self, configurations: usize) -> usize {
        configurations.div_ceil(3).max(self.finalists).min(configurations)
    }

    /// A seed that no verdict rests on.
    pub(super) fn search_seed(&self) -> u64 {
        after(&self.seeds)
    }

    /// Whether this plan compares like with like.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn check(&self) -> Result<(), TrialError> {
        let untreated = self.arms.first().ok_or(TrialError::NoBaseline)?;
        for (arm, description) in self.arms.iter().enumerate() {
            if description.learning_rates.is_empty() {
                return Err(TrialError::NoLearningRate { arm });
            }
            for &learning_rate in &description.learning_rates {
                if !(learning_rate.is_finite() && learning_rate > 0.0) {
                    return Err(TrialError::BadLearningRate { arm, learning_rate });
                }
                if !untreated.learning_rates.contains(&learning_rate) {
                    return Err(TrialError::UnfairLearningRate { arm, learning_rate });
                }
            }
        }
        if !untreated.learning_rates.contains(&self.recipe_learning_rate) {
            return Err(TrialError::UnfairLearningRate { arm: 0, learning_rate: self.recipe_learning_rate });
        }
        let mut distinct = self.seeds.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.is_empty() || distinct.len() != self.seeds.len() {
            return Err(TrialError::BadSeeds { seeds: self.seeds.clone() });
        }
        let mut before = 0;
        for (index, rung) in self.rungs.iter().enumerate() {
            let own = !rung.seeds.is_empty() && !rung.seeds.iter().any(|seed| self.seeds.contains(seed));
            if rung.steps <= before || rung.steps >= self.full_steps || !own {
                return Err(TrialError::BadRung {
                    rung: index,
                    steps: rung.steps,
                    seeds: rung.seeds.clone(),
                    full_steps: self.full_steps,
                });
            }
            before = rung.steps;
        }
        Ok(())
    }
}

/// The seed after the largest.
fn after(seeds: &[u64]) -> u64 {
    seeds.iter().max().map_or(0, |largest| largest.wrapping_add(1))
}
