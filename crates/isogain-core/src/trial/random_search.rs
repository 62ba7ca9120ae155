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
use super::queue::Queue;
use super::schedule::{Configuration, of_arm};
use super::{Job, Score, SeedScore};

/// A random search in progress; asked and told like a [`super::schedule::Schedule`], with job numbers of its own.
#[derive(Clone, Debug)]
pub struct RandomSearch {
    plan: Plan,
    queue: Queue,
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
        let mut queue = Queue::default();
        for configuration in &space {
            queue.add(*configuration, drawing_seed, plan.full_steps);
        }
        Self { plan: plan.clone(), queue, drawn: space.len() }
    }

    /// The next job, or `None` when there is none now.
    pub fn ask(&mut self) -> Option<Job> {
        self.queue.ask()
    }

    /// What came out of a job.
    ///
    /// # Errors
    /// A job that was not handed out, or that was answered before.
    pub fn tell(&mut self, id: usize, score: Score) -> Result<(), TrialError> {
        self.queue.tell(id, score)?;
        if self.queue.is_answered(0..self.drawn)
            && self.jobs().len() == self.drawn
            && let Some(best) = self.best_drawn()
        {
            for seed in &self.plan.seeds {
                self.queue.add(best, *seed, self.plan.full_steps);
            }
        }
        Ok(())
    }

    /// Whether every job was answered and no more will be asked.
    pub fn is_finished(&self) -> bool {
        self.queue.is_all_answered()
    }

    /// Jobs asked so far; all of them when the search is finished.
    pub fn jobs(&self) -> &[Job] {
        self.queue.jobs()
    }

    /// Jobs that were answered.
    pub fn answered(&self) -> impl Iterator<Item = &Job> {
        self.queue.answered()
    }

    /// Optimizer updates of all jobs.
    pub fn total_steps(&self) -> usize {
        self.queue.total_steps()
    }

    /// The best configuration and its runs on every seed; `None` when nothing fitted the budget or it is not finished.
    pub fn best(&self) -> Option<(Configuration, Vec<SeedScore>)> {
        let best = self.best_drawn().filter(|_| self.is_finished())?;
        Some((best, self.queue.answers(|job| job.id >= self.drawn)))
    }

    /// The drawn configuration with the smallest loss; between equals the first drawn.
    fn best_drawn(&self) -> Option<Configuration> {
        let loss = |id: &usize| log_loss(self.queue.score(*id).and_then(|score| score.loss), self.plan.loss_floor);
        let best = (0..self.drawn).min_by(|a, b| loss(a).total_cmp(&loss(b)))?;
        self.jobs().get(best).map(configuration)
    }
}

fn configuration(job: &Job) -> Configuration {
    Configuration { arm: job.arm, learning_rate: job.learning_rate }
}
