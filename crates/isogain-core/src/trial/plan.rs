//! What a search may do: which arms at which learning rates, on which seeds, and how many steps that costs at most.

use super::error::TrialError;
use super::learning_rates;

/// Most steps of everything together, in whole trainings: 60 000 steps for a recipe of 1000.
const BUDGET_TRAININGS: usize = 60;

/// Seeds that the usual budget is for.
const USUAL_SEEDS: usize = 3;

/// Shares of a whole training after which arms are dropped.
const RUNG_SHARES: [f64; 2] = [0.06, 0.2];

/// Share of a whole training after which networks that had all learnt nothing are looked at again.
const LONGER_SHARE: f64 = 0.5;

/// Part of the loss of knowing nothing above which nothing was learnt: what tells such losses apart is noise.
const NOTHING_LEARNT: f64 = 0.99;

/// Fewest steps from which anything can be read.
const FEWEST_STEPS: usize = 10;

/// Arms that reach the end, if the budget allows.
const FINALISTS: usize = 4;

/// Finalists, arms and learning rates that are kept as long as there is something else to leave out.
const FEW_FINALISTS: usize = 2;
/// See [`FEW_FINALISTS`].
const FEW_ARMS: usize = 6;
/// See [`FEW_FINALISTS`].
const FEW_RATES: usize = 2;

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
    /// What an update costs, in updates of the untreated network: an engine may measure it. 1 where nobody did.
    pub cost: f64,
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
    /// Most that search and random search may cost together, in updates of the untreated network.
    pub budget_steps: usize,
    /// What a training costs besides its updates (initialising and judging), in updates of the same network. 0 where
    /// nobody measured.
    pub overhead_steps: f64,
    /// Whether a random search of the same size follows.
    pub random_search: bool,
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
            cost: 1.0,
        }
    }

    /// A prescription of that many remedies, at the rates of the same grid that a predicted ceiling leaves worth trying.
    pub fn treated(recipe_learning_rate: f64, remedies: usize, ceiling: Option<f64>) -> Self {
        Self {
            learning_rates: learning_rates::below_ceiling(&learning_rates::grid(recipe_learning_rate), ceiling),
            against: Against::BestLearningRate,
            remedies,
            cost: 1.0,
        }
    }

    /// The untreated network at another learning rate of its grid.
    pub fn other_learning_rate(learning_rate: f64) -> Self {
        Self { learning_rates: vec![learning_rate], against: Against::RecipeLearningRate, remedies: 1, cost: 1.0 }
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
            overhead_steps: 0.0,
            random_search: true,
            loss_floor: floor(untrained_loss),
            untrained_loss,
        };
        plan.within_budget(plan.budget_steps)
    }

    /// Whole trainings of one arm and nothing else.
    pub fn alone(arm: Arm, seeds: Vec<u64>, full_steps: usize, untrained_loss: f64) -> Self {
        Self {
            recipe_learning_rate: arm.learning_rates.first().copied().unwrap_or_default(),
            arms: vec![arm],
            seeds,
            full_steps,
            rungs: Vec::new(),
            finalists: 0,
            budget_steps: usize::MAX,
            overhead_steps: 0.0,
            random_search: false,
            loss_floor: floor(untrained_loss),
            untrained_loss,
        }
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

    /// The same plan made to fit `budget_steps`, where time is what is short: random search goes before arms do, and
    /// learning rates before the last arms, so that what is tried is still compared fairly on every seed.
    ///
    /// # Errors
    /// As [`Self::within_budget`].
    pub fn within_time(&self, budget_steps: usize) -> Result<Self, TrialError> {
        self.check()?;
        let mut plan = Self { budget_steps, ..self.clone() };
        while plan.most_steps() > budget_steps {
            if plan.random_search {
                plan.random_search = false;
            } else if plan.finalists > FEW_FINALISTS {
                plan.finalists -= 1;
            } else if plan.contenders().count() > FEW_ARMS {
                plan.arms.pop();
            } else if plan.arms[0].learning_rates.len() > FEW_RATES {
                plan.drop_a_rate();
            } else if plan.contenders().count() > 1 {
                plan.arms.pop();
            } else if plan.finalists > 1 {
                plan.finalists -= 1;
            } else {
                return Err(TrialError::BudgetTooSmall { needed: plan.most_steps(), budget: budget_steps });
            }
        }
        Ok(plan)
    }

    /// Takes the learning rate farthest from the recipe's out of every arm, of two equally far the larger one. An arm that
    /// was the untreated network at that rate has none left, and is not run.
    fn drop_a_rate(&mut self) {
        let distance = |rate: &f64| ((rate / self.recipe_learning_rate).ln().abs() * 1e6).round();
        let rates = self.arms[0].learning_rates.iter().copied();
        let farthest = rates.max_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.total_cmp(b)));
        for arm in &mut self.arms {
            arm.learning_rates.retain(|rate| Some(*rate) != farthest);
        }
        // A predicted ceiling may have left an arm this one alone.
        let fallback = self.arms[0].learning_rates.first().copied().unwrap_or(self.recipe_learning_rate);
        for arm in self.arms.iter_mut().filter(|arm| arm.against == Against::BestLearningRate) {
            if arm.learning_rates.is_empty() {
                arm.learning_rates.push(fallback);
            }
        }
    }

    /// Most steps of the untreated network, the search, and the random search that gets as many as the search.
    pub fn most_steps(&self) -> usize {
        self.untreated_steps() + (1 + usize::from(self.random_search)) * self.most_search_steps()
    }

    /// Steps of the whole trainings of the untreated network.
    pub fn untreated_steps(&self) -> usize {
        let rates = self.arms.first().map_or(0, |arm| arm.learning_rates.len());
        (rates * self.seeds.len()) * self.cost(0, self.full_steps).ceil() as usize
    }

    /// Most steps of rungs and finalists.
    pub fn most_search_steps(&self) -> usize {
        // What is kept is not known yet: the dearest.
        let mut dearest: Vec<usize> = self.contenders().collect();
        dearest.sort_by(|a, b| self.arms[*b].cost.total_cmp(&self.arms[*a].cost));
        let mut left: Vec<usize> =
            dearest.iter().flat_map(|arm| std::iter::repeat_n(*arm, self.arms[*arm].learning_rates.len())).collect();
        let untreated = self.arms.first().map_or(0, |arm| arm.learning_rates.len());
        let mut steps = 0.0;
        for rung in &self.rungs {
            let arms = std::iter::repeat_n(&0, untreated).chain(&left);
            steps += arms.map(|arm| self.cost(*arm, rung.steps)).sum::<f64>() * rung.seeds.len() as f64;
            left.truncate(self.kept(left.len()));
        }
        let finalists = dearest.iter().take(self.finalists);
        steps += finalists.map(|arm| self.cost(*arm, self.full_steps)).sum::<f64>() * self.seeds.len() as f64;
        steps.ceil() as usize
    }

    /// What a training of an arm costs.
    fn cost(&self, arm: usize, steps: usize) -> f64 {
        self.arms[arm].cost * (steps as f64 + self.overhead_steps)
    }

    /// The arms that have runs of their own, the untreated one left out.
    pub(super) fn contenders(&self) -> impl Iterator<Item = usize> {
        (1..self.arms.len()).filter(|arm| self.arms[*arm].against == Against::BestLearningRate)
    }

    /// How many of that many configurations (arm and learning rate) a rung keeps: a third, but enough for the final.
    pub(super) fn kept(&self, configurations: usize) -> usize {
        configurations.div_ceil(3).max(self.finalists).min(configurations)
    }

    /// Whether a loss is that of a network that has learnt something.
    pub(super) fn has_learnt(&self, loss: f64) -> bool {
        loss < NOTHING_LEARNT * self.untrained_loss
    }

    /// A longer rung for after the last one, and what may run in it of `ranked` (arms, best first), for the price of one
    /// finalist. `None` where there is only one, or no room between the last rung and a whole training.
    pub(super) fn longer_rung(&self, ranked: &[usize]) -> Option<(Rung, usize)> {
        let last = self.rungs.last()?;
        let steps = (self.full_steps as f64 * LONGER_SHARE).round() as usize;
        if self.finalists < 2 || steps <= last.steps {
            return None;
        }
        let mut dearest: Vec<usize> = self.contenders().collect();
        dearest.sort_by(|a, b| self.arms[*b].cost.total_cmp(&self.arms[*a].cost));
        let saved = self.cost(*dearest.get(self.finalists - 1)?, self.full_steps) * self.seeds.len() as f64;
        let prices = ranked.iter().scan(0.0, |spent, arm| {
            *spent += self.cost(*arm, steps);
            Some(*spent)
        });
        let affordable = prices.take_while(|spent| *spent <= saved).count();
        let seed = after(&last.seeds);
        (affordable >= self.finalists).then_some((Rung { steps, seeds: vec![seed] }, affordable))
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
            // The untreated network at a rate that a budget took out is not run.
            if description.learning_rates.is_empty() && description.against == Against::BestLearningRate {
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

/// One percent of the loss of knowing nothing.
fn floor(untrained_loss: f64) -> f64 {
    (0.01 * untrained_loss).max(f64::MIN_POSITIVE)
}

/// The seed after the largest.
fn after(seeds: &[u64]) -> u64 {
    seeds.iter().max().map_or(0, |largest| largest.wrapping_add(1))
}
