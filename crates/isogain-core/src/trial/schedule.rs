//! Successive halving over arms and learning rates with paired seeds, as ask/tell.
//!
//! Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization (2016): run everything
//! for a few steps, keep the best third, run that for longer. The survivors, each at its best learning rate, are then
//! trained to the end on every seed, as is the untreated network at every learning rate of the search.
//!
//! On a long plateau all networks have learnt nothing when the last round ends, and its losses order them by noise. Then one
//! finalist is given up, and what its trainings would have cost pays for one more round of half a training.
//!
//! Any number of jobs may be in flight. Decisions are made only when a whole round has been answered and read the answers
//! in the order of the jobs, so the result does not depend on the order in which jobs finish.

use super::error::TrialError;
use super::paired::log_loss;
use super::plan::{Against, Plan};
use super::queue::Queue;
use super::{Job, Score, SeedScore};
use crate::statistics::median;

/// A search in progress.
#[derive(Clone, Debug)]
pub struct Schedule {
    plan: Plan,
    queue: Queue,
    stage: Stage,
    finalists: Vec<Configuration>,
    /// Whether the rung for networks that had all learnt nothing was added.
    has_longer_rung: bool,
}

/// What the search waits for.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// The jobs of a rung, by number.
    Rung { rung: usize, waiting: std::ops::Range<usize>, configurations: Vec<Configuration> },
    /// Everything that was asked.
    Final,
}

/// An arm at one learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Configuration {
    /// The arm.
    pub arm: usize,
    /// The step size.
    pub learning_rate: f64,
}

impl Schedule {
    /// Starts a search.
    ///
    /// # Errors
    /// A plan that does not compare like with like, or that could cost more than its budget.
    pub fn new(plan: Plan) -> Result<Self, TrialError> {
        plan.check()?;
        if plan.most_steps() > plan.budget_steps {
            return Err(TrialError::BudgetTooSmall { needed: plan.most_steps(), budget: plan.budget_steps });
        }
        let configurations: Vec<Configuration> = plan.contenders().flat_map(|arm| of_arm(&plan, arm)).collect();
        let mut schedule =
            Self { plan, queue: Queue::default(), stage: Stage::Final, finalists: Vec::new(), has_longer_rung: false };
        // Without a rung to choose a rate, the one nearest to the recipe's.
        let nearest_first = schedule.ordered(configurations, 0);
        schedule.enter(0, nearest_first);
        // Asked after the first rung and needed only at the end: work for the workers that wait at the ends of rungs.
        let seeds = schedule.plan.seeds.clone();
        schedule.add(&of_arm(&schedule.plan, 0), &seeds, schedule.plan.full_steps);
        Ok(schedule)
    }

    /// The next job, or `None` when there is none now: either the search is over, or jobs in flight decide what is next.
    pub fn ask(&mut self) -> Option<Job> {
        self.queue.ask()
    }

    /// What came out of a job.
    ///
    /// # Errors
    /// A job that was not handed out, or that was answered before.
    pub fn tell(&mut self, id: usize, score: Score) -> Result<(), TrialError> {
        self.queue.tell(id, score)?;
        while let Stage::Rung { rung, waiting, configurations } = &self.stage {
            if !self.queue.is_answered(waiting.clone()) {
                break;
            }
            let (rung, configurations) = (*rung, configurations.clone());
            let ranked = self.ordered(configurations, self.plan.rungs[rung].steps);
            self.enter(rung + 1, ranked);
        }
        Ok(())
    }

    /// Whether every job was answered and no more will be asked.
    pub fn is_finished(&self) -> bool {
        self.stage == Stage::Final && self.queue.is_all_answered()
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Jobs asked so far; all of them when the search is finished.
    pub fn jobs(&self) -> &[Job] {
        self.queue.jobs()
    }

    /// Jobs that were answered.
    pub fn answered(&self) -> impl Iterator<Item = &Job> {
        self.queue.answered()
    }

    /// Optimizer updates of rungs and finalists, that is without the whole trainings of the untreated network: what a
    /// random search over the same space may spend.
    pub fn search_steps(&self) -> usize {
        let whole_untreated = |job: &&Job| job.arm == 0 && job.steps == self.plan.full_steps;
        self.total_steps() - self.jobs().iter().filter(whole_untreated).map(|job| job.steps).sum::<usize>()
    }

    /// Optimizer updates of all jobs.
    pub fn total_steps(&self) -> usize {
        self.queue.total_steps()
    }

    /// The arms trained to the end on every seed, best first at the last rung; empty before that was decided.
    pub fn finalists(&self) -> &[Configuration] {
        &self.finalists
    }

    /// Whether every whole training of the untreated network was answered: before that, its own best learning rate may not
    /// have been seen, and nothing can be said to beat it.
    pub fn untreated_is_known(&self) -> bool {
        let answered = |job: &&Job| job.arm == 0 && job.steps == self.plan.full_steps;
        let wanted = self.plan.arms.first().map_or(0, |arm| arm.learning_rates.len()) * self.plan.seeds.len();
        self.answered().filter(answered).count() == wanted
    }

    /// Answers for this configuration after that many steps, in the order of the seeds asked.
    pub fn scores(&self, configuration: Configuration, steps: usize) -> Vec<SeedScore> {
        self.queue.answers(|job| {
            job.arm == configuration.arm && job.learning_rate == configuration.learning_rate && job.steps == steps
        })
    }

    /// The learning rate with the smallest median loss of this arm after that many steps, if it was run so far. Between
    /// equals the one nearest to the recipe's.
    pub fn best_learning_rate(&self, arm: usize, steps: usize) -> Option<Configuration> {
        let mut run = of_arm(&self.plan, arm);
        run.retain(|configuration| !self.scores(*configuration, steps).is_empty());
        self.ordered(run, steps).first().copied()
    }

    /// Starts a rung with the best of `configurations` (best first, from the rung before), or the final after the last.
    fn enter(&mut self, rung: usize, configurations: Vec<Configuration>) {
        if rung == self.plan.rungs.len() && self.enter_longer(rung, &configurations) {
            return;
        }
        let Some(description) = self.plan.rungs.get(rung).cloned() else {
            self.finalists = self.chosen_for_final(configurations);
            let (finalists, seeds) = (self.finalists.clone(), self.plan.seeds.clone());
            self.add(&finalists, &seeds, self.plan.full_steps);
            self.stage = Stage::Final;
            return;
        };
        let kept = if rung == 0 { configurations } else { self.survivors(configurations) };
        let start = self.jobs().len();
        let untreated = of_arm(&self.plan, 0);
        self.add(&untreated, &description.seeds, description.steps);
        self.add(&kept, &description.seeds, description.steps);
        self.stage = Stage::Rung { rung, waiting: start..self.jobs().len(), configurations: kept };
    }

    /// Starts one more rung where none of the last one's configurations has learnt anything. The untreated network does not
    /// take part: its whole trainings are asked already.
    fn enter_longer(&mut self, rung: usize, ranked: &[Configuration]) -> bool {
        let Some(last) = self.plan.rungs.last() else { return false };
        let learnt = |run: &SeedScore| run.score.loss.is_some_and(|loss| self.plan.has_learnt(loss));
        let has_learnt = |c: &Configuration| self.scores(*c, last.steps).iter().any(learnt);
        if self.has_longer_rung || ranked.iter().any(has_learnt) {
            return false;
        }
        let mut kept = ranked.to_vec();
        // A pair is never preferred unseen, see `Arm::remedies`.
        if let Some(single) = kept.iter().position(|c| self.plan.arms[c.arm].remedies == 1) {
            kept[..=single].rotate_right(1);
        }
        let arms: Vec<usize> = kept.iter().map(|configuration| configuration.arm).collect();
        let Some((longer, affordable)) = self.plan.longer_rung(&arms) else { return false };
        kept.truncate(affordable);
        let start = self.jobs().len();
        self.add(&kept, &longer.seeds, longer.steps);
        self.stage = Stage::Rung { rung, waiting: start..self.jobs().len(), configurations: kept };
        self.plan.rungs.push(longer);
        self.plan.finalists -= 1;
        self.has_longer_rung = true;
        true
    }

    fn add(&mut self, configurations: &[Configuration], seeds: &[u64], steps: usize) {
        for configuration in configurations {
            for &seed in seeds {
                self.queue.add(*configuration, seed, steps);
            }
        }
    }

    /// Smallest median ln loss after that many steps first, then the learning rate nearest to the recipe's, then the
    /// earliest arm.
    fn ordered(&self, configurations: Vec<Configuration>, steps: usize) -> Vec<Configuration> {
        let floored = |run: &SeedScore| log_loss(run.score.loss, self.plan.loss_floor);
        let mut keyed: Vec<(f64, f64, Configuration)> = configurations
            .into_iter()
            .map(|configuration| {
                let log_loss = median(self.scores(configuration, steps).iter().map(floored)).unwrap_or(f64::INFINITY);
                let distance = (configuration.learning_rate / self.plan.recipe_learning_rate).ln().abs();
                (log_loss, distance, configuration)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.arm.cmp(&b.2.arm)));
        keyed.into_iter().map(|(_, _, configuration)| configuration).collect()
    }

    /// The best of a rung's configurations: of every arm at least one where all arms fit the final, else the best one with
    /// a single remedy in any case.
    fn survivors(&self, ranked: Vec<Configuration>) -> Vec<Configuration> {
        let kept = self.plan.kept(ranked.len());
        if self.plan.contenders().count() > self.plan.finalists {
            return self.with_best_single(ranked, kept);
        }
        let best_of_arms = first_of_each_arm(&ranked);
        let rest = ranked.iter().filter(|configuration| !best_of_arms.contains(configuration));
        best_of_arms.iter().chain(rest).take(kept).copied().collect()
    }

    /// The best arms, each at its best learning rate.
    fn chosen_for_final(&self, ranked: Vec<Configuration>) -> Vec<Configuration> {
        let arms = first_of_each_arm(&ranked);
        let kept = self.plan.finalists.min(arms.len());
        self.with_best_single(arms, kept)
    }

    fn with_best_single(&self, ranked: Vec<Configuration>, kept: usize) -> Vec<Configuration> {
        let is_single = |c: &Configuration| self.plan.arms[c.arm].remedies == 1;
        let mut best: Vec<Configuration> = ranked.iter().take(kept).copied().collect();
        let first_single = ranked.iter().position(is_single).filter(|position| *position >= kept);
        if let (Some(position), Some(last)) = (first_single, best.last_mut()) {
            *last = ranked[position];
        }
        best
    }
}

fn first_of_each_arm(ranked: &[Configuration]) -> Vec<Configuration> {
    let mut arms: Vec<Configuration> = Vec::new();
    for configuration in ranked {
        if arms.iter().all(|chosen| chosen.arm != configuration.arm) {
            arms.push(*configuration);
        }
    }
    arms
}

/// An arm at each of its learning rates.
pub(super) fn of_arm(plan: &Plan, arm: usize) -> Vec<Configuration> {
    let rates = plan.arms.get(arm).map_or(&[][..], |description| &description.learning_rates);
    rates.iter().map(|&learning_rate| Configuration { arm, learning_rate }).collect()
}

impl Schedule {
    /// The runs an arm has to beat after that many steps: those of the untreated network at its own best learning rate,
    /// or at the recipe's.
    pub fn reference(&self, arm: usize, steps: usize) -> Option<Configuration> {
        match self.plan.arms.get(arm)?.against {
            Against::BestLearningRate => self.best_learning_rate(0, steps),
            Against::RecipeLearningRate => {
                Some(Configuration { arm: 0, learning_rate: self.plan.recipe_learning_rate })
            }
        }
    }

    /// The longest runs of an arm and their number of steps: of a finalist the whole trainings, of a dropped arm the last
    /// rung it took part in and the untreated network too, each at the best learning rate there. An arm that is the
    /// untreated network at another rate has that network's runs.
    pub fn longest(&self, arm: usize) -> Option<(Configuration, usize)> {
        let description = self.plan.arms.get(arm)?;
        if description.against == Against::RecipeLearningRate {
            let learning_rate = *description.learning_rates.first()?;
            return Some((Configuration { arm: 0, learning_rate }, self.plan.full_steps));
        }
        let rungs = self.plan.rungs.len() - usize::from(self.has_longer_rung);
        let rungs = self.plan.rungs.iter().take(rungs).map(|rung| rung.steps);
        let mut steps: Vec<usize> = rungs.chain([self.plan.full_steps]).collect();
        steps.reverse();
        steps.into_iter().find_map(|steps| Some((self.best_learning_rate(arm, steps)?, steps)))
    }
}
