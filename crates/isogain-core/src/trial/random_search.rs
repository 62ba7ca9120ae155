//! Random search over the same arms and learning rates with the same number of steps: what a search without any theory and
//! without pruning finds. Bergstra and Bengio, Random Search for Hyper-Parameter Optimization (2012).
//!
//! It draws configurations without replacement and trains each to the end on a seed of the search's own; the best one is
//! then trained on the seeds that verdicts rest on, so that it is judged as a cure is.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::error::TrialError;
use super::paired::log_loss;
use super::plan::Plan;
use super::schedule::{Configuration, of_arm};
use super::{Job, Score, SeedScore};

/// A random search in progress; asked and told like a [`super::schedule::Schedule`], with job numbers of its own.
#[derive(Clone, Debug)]
pub struct RandomSearch {
    plan: Plan,
    jobs: Vec<Job>,
    scores: Vec<Option<Score>>,
    handed_out: usize,
    /// Jobs of the drawn configurations; the ones after that belong to the best of them.
    drawn: usize,
}

impl RandomSearch {
    /// Draws as many configurations as whole trainings fit into `budget_steps`, those of the best one on the plan's seeds
    /// set aside.
    pub fn new(plan: &Plan, budget_steps: usize, seed: u64) -> Self {
        let arms = std::iter::once(0).chain(plan.contenders());
        let mut space: Vec<Configuration> = arms.flat_map(|arm| of_arm(plan, arm)).collect();
        space.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let trainings = budget_steps / plan.full_steps.max(1);
        space.truncate(trainings.saturating_sub(plan.seeds.len()));
        let drawing_seed = plan.search_seed();
        let jobs: Vec<Job> = space
            .iter()
            .enumerate()
            .map(|(id, configuration)| job(id, *configuration, drawing_seed, plan.full_steps))
            .collect();
        Self { plan: plan.clone(), scores: vec![None; jobs.len()], drawn: jobs.len(), jobs, handed_out: 0 }
    }

    /// The next job, or `None` when there is none now.
    pub fn ask(&mut self) -> Option<Job> {
        let job = self.jobs.get(self.handed_out)?.clone();
        self.handed_out += 1;
        Some(job)
    }

    /// What came out of a job.
    ///
    /// # Errors
    /// A job that was not handed out, or that was answered before.
    pub fn tell(&mut self, id: usize, score: Score) -> Result<(), TrialError> {
        match self.scores.get_mut(id) {
            Some(slot @ None) if id < self.handed_out => *slot = Some(score),
            _ => return Err(TrialError::UnexpectedAnswer { id }),
        }
        let all_drawn_answered = self.scores[..self.drawn].iter().all(Option::is_some);
        if all_drawn_answered
            && self.jobs.len() == self.drawn
            && let Some(best) = self.best_drawn()
        {
            for seed in &self.plan.seeds {
                self.jobs.push(job(self.jobs.len(), best, *seed, self.plan.full_steps));
                self.scores.push(None);
            }
        }
        Ok(())
    }

    /// Whether every job was answered and no more will be asked.
    pub fn is_finished(&self) -> bool {
        self.scores.iter().all(Option::is_some)
    }

    /// Jobs asked so far; all of them when the search is finished.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Jobs that were answered.
    pub fn answered(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().zip(&self.scores).filter(|(_, score)| score.is_some()).map(|(job, _)| job)
    }

    /// Optimizer updates of all jobs.
    pub fn total_steps(&self) -> usize {
        self.jobs.iter().map(|job| job.steps).sum()
    }

    /// The best configuration and its runs on every seed; `None` when nothing fitted the budget or it is not finished.
    pub fn best(&self) -> Option<(Configuration, Vec<SeedScore>)> {
        let best = self.best_drawn().filter(|_| self.is_finished())?;
        let judged = self.jobs.iter().zip(&self.scores).skip(self.drawn);
        let runs =
            judged.filter_map(|(job, score)| Some(SeedScore { seed: job.seed, score: score.clone()? })).collect();
        Some((best, runs))
    }

    /// The drawn configuration with the smallest loss; between equals the first drawn.
    fn best_drawn(&self) -> Option<Configuration> {
        let loss = |id: &usize| log_loss(self.scores[*id].as_ref().and_then(|score| score.loss), self.plan.loss_floor);
        let best = (0..self.drawn).min_by(|a, b| loss(a).total_cmp(&loss(b)))?;
        Some(configuration(&self.jobs[best]))
    }
}

fn configuration(job: &Job) -> Configuration {
    Configuration { arm: job.arm, learning_rate: job.learning_rate }
}

fn job(id: usize, configuration: Configuration, seed: u64, steps: usize) -> Job {
    Job { id, arm: configuration.arm, learning_rate: configuration.learning_rate, seed, steps }
}
