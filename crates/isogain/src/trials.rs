//! Runs what a schedule asks for: trials side by side, one thread each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use isogain_core::network::{Loss, Network};
use isogain_core::recipe::Recipe;
use isogain_core::record::Outcome;
use isogain_core::trial::error::TrialError;
use isogain_core::trial::random_search::RandomSearch;
use isogain_core::trial::result::Stopped;
use isogain_core::trial::schedule::Schedule;
use isogain_core::trial::{Job, Score};

use crate::Error;
use crate::cache::Cache;
use crate::check::Subject;
use crate::data::Dataset;
use crate::train::Trainer;

/// Something that asks for trials and is told what came out.
pub trait AskTell: Send {
    /// The next trial; `None` when there is none now.
    fn ask(&mut self) -> Option<Job>;
    /// What came out of a trial.
    ///
    /// # Errors
    /// A job that was not asked for, or was told already.
    fn tell(&mut self, job: usize, score: Score) -> Result<(), TrialError>;
    /// Whether no trial will be asked for any more.
    fn is_finished(&self) -> bool;
}

impl AskTell for Schedule {
    fn ask(&mut self) -> Option<Job> {
        Self::ask(self)
    }
    fn tell(&mut self, job: usize, score: Score) -> Result<(), TrialError> {
        Self::tell(self, job, score)
    }
    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }
}

impl AskTell for RandomSearch {
    fn ask(&mut self) -> Option<Job> {
        Self::ask(self)
    }
    fn tell(&mut self, job: usize, score: Score) -> Result<(), TrialError> {
        Self::tell(self, job, score)
    }
    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }
}

/// One arm: a recipe and its network.
#[derive(Clone, Debug)]
pub struct TrialArm {
    /// The recipe; its learning rate, seed and steps are set by the job.
    pub recipe: Recipe,
    /// Its network.
    pub network: Network,
    /// Its data; the same samples and targets for every arm.
    pub data: Arc<Dataset>,
    /// The loss that is told: one for all arms, the untreated network's.
    pub told: Loss,
}

impl TrialArm {
    /// An arm against this untreated network.
    pub fn new(subject: &Subject, untreated: &Subject) -> Self {
        Self {
            recipe: subject.recipe.clone(),
            network: subject.network.clone(),
            data: Arc::clone(&subject.data),
            told: untreated.network.loss,
        }
    }
}

/// How trials are run, and who is told.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// Trials at the same time.
    pub threads: usize,
    /// Set from outside to stop.
    pub stop: &'a AtomicBool,
    /// Called after each trial with the job and how it ended.
    pub progress: &'a (dyn Fn(&Job, &Outcome) + Sync),
}

impl Runner<'_> {
    /// Runs until the schedule asks for nothing more. The first arm is the untreated network.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when stopped; [`Error::Mismatch`] when the schedule refuses a score.
    pub fn run(&self, schedule: &mut dyn AskTell, arms: &[TrialArm]) -> Result<(), Error> {
        let drive = Drive { runner: *self, deadline: None, begun: &|_| {}, known: &|_| None, cache: None };
        match drive.run(schedule, arms)? {
            None => Ok(()),
            Some(_) => Err(Error::Interrupted),
        }
    }
}

/// Trials under way: a runner with what a search adds.
#[derive(Clone, Copy)]
pub(crate) struct Drive<'a> {
    pub(crate) runner: Runner<'a>,
    /// When the time is over.
    pub(crate) deadline: Option<Instant>,
    /// Called before each trial.
    pub(crate) begun: &'a (dyn Fn(&Job) + Sync),
    /// The outcome of a trial that was run before.
    pub(crate) known: &'a (dyn Fn(&Job) -> Option<Outcome> + Sync),
    /// Where trainings of earlier searches are kept.
    pub(crate) cache: Option<&'a Cache>,
}

impl Drive<'_> {
    /// Runs until the schedule asks for nothing more, or to what ended it before: then what was done so far is told.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the schedule refuses a score.
    pub(crate) fn run(&self, schedule: &mut dyn AskTell, arms: &[TrialArm]) -> Result<Option<Stopped>, Error> {
        let shared = Mutex::new((schedule, None::<Error>));
        let told = Condvar::new();
        std::thread::scope(|scope| {
            for _ in 0..self.runner.threads.max(1) {
                scope.spawn(|| self.work(&shared, &told, arms));
            }
        });
        let (schedule, error) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => Err(error),
            None if schedule.is_finished() => Ok(None),
            None => Ok(self.stopped()),
        }
    }

    /// Whether it is to stop, and why.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        if self.runner.stop.load(Ordering::Relaxed) {
            return Some(Stopped::Interrupted);
        }
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline).then_some(Stopped::Budget)
    }

    fn work(&self, shared: &Mutex<(&mut dyn AskTell, Option<Error>)>, told: &Condvar, arms: &[TrialArm]) {
        // A pool of one thread for each worker: Burn's parallel operations then stay on it instead of competing for a
        // common pool, and a trial computes the same numbers whatever runs beside it.
        let pool = match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pool,
            Err(error) => {
                lock(shared).1 = Some(Error::Mismatch(format!("cannot start a worker thread: {error}")));
                return;
            }
        };
        let is_stopped = || self.stopped().is_some();
        loop {
            let mut state = lock(shared);
            let job = loop {
                if is_stopped() || state.1.is_some() || state.0.is_finished() {
                    told.notify_all();
                    return;
                }
                match state.0.ask() {
                    Some(job) => break job,
                    None => state = told.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(state);
            let arm = &arms[job.arm];
            let known = || self.cache.and_then(|cache| cache.get(&job, arm));
            let outcome = (self.known)(&job).or_else(known).or_else(|| {
                (self.begun)(&job);
                let outcome = pool.install(|| run_job(&job, arm, &is_stopped))?;
                if let Some(cache) = self.cache.filter(|_| arm.data.intact().is_ok()) {
                    cache.put(&job, arm, &outcome);
                }
                Some(outcome)
            });
            // What was cut short is no answer.
            let Some(outcome) = outcome else {
                told.notify_all();
                return;
            };
            if let Err(error) = arm.data.intact() {
                lock(shared).1 = Some(error.into());
                told.notify_all();
                return;
            }
            (self.runner.progress)(&job, &outcome);
            let mut state = lock(shared);
            if let Err(error) = state.0.tell(job.id, Score::new(&outcome, &arm.data.summary, &arms[0].data.summary)) {
                state.1 = Some(Error::Mismatch(error.to_string()));
            }
            told.notify_all();
        }
    }
}

fn lock<'a, 'b>(
    shared: &'a Mutex<(&'b mut dyn AskTell, Option<Error>)>,
) -> MutexGuard<'a, (&'b mut dyn AskTell, Option<Error>)> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The recipe that a job trains.
pub fn job_recipe(job: &Job, recipe: &Recipe) -> Recipe {
    let mut recipe = recipe.clone();
    recipe.optimizer.learning_rate = job.learning_rate;
    recipe.run.steps = job.steps;
    recipe.run.seed = job.seed;
    recipe
}

/// Trains and judges; stops early where the loss stopped being finite. `None` when it was stopped from outside.
pub fn run_job(job: &Job, arm: &TrialArm, is_stopped: &dyn Fn() -> bool) -> Option<Outcome> {
    let recipe = job_recipe(job, &arm.recipe);
    let mut trainer = Trainer::new(&recipe, &arm.network, &arm.data, job.seed).telling(arm.told);
    while trainer.step < job.steps && !trainer.is_broken() {
        if is_stopped() {
            return None;
        }
        trainer.advance(&arm.data, false);
    }
    Some(trainer.outcome(&arm.data))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use isogain_core::recipe::parse;

    use super::*;

    /// A network of logits is the same network with its softmax or sigmoids: a trial must tell the same loss of both.
    #[test]
    fn two_losses_of_one_network_are_told_in_one_unit() {
        let subject = |loss: &str, output: &str| {
            let text =
                format!("[data]\nloss = \"{loss}\"\n[network]\ndepth = 2\nwidth = 16\ninit = \"he-normal\"\n{output}");
            let recipe = parse(&text, "recipe").unwrap();
            let data = Arc::new(Dataset::load(&recipe.data, Path::new(".")).unwrap());
            Subject::new(&recipe, data).unwrap()
        };
        let job = |steps| Job { id: 0, arm: 0, learning_rate: 0.1, seed: 1, steps };
        for (loss, output) in [("cross-entropy", "softmax"), ("binary-cross-entropy", "sigmoid")] {
            let squared = subject("mean-squared-error", &format!("output_activation = \"{output}\"\n"));
            let logits = subject(loss, "");
            let [one, other] =
                [&squared, &logits].map(|arm| run_job(&job(0), &TrialArm::new(arm, &squared), &|| false).unwrap());
            for (one, other) in [(one.loss, other.loss), (one.test_loss, other.test_loss)] {
                let (one, other) = (one.unwrap(), other.unwrap());
                // Single precision on one side.
                assert!((one - other).abs() < 1e-6 * one, "{output}: {one} {other}");
            }
            assert_eq!(one.train_accuracy, other.train_accuracy);
            // In training too, of a batch before its update; told by itself, the network has its own loss.
            let trained = |untreated: &Subject| {
                run_job(&job(1), &TrialArm::new(&logits, untreated), &|| false).unwrap().losses[0].unwrap()
            };
            let first = run_job(&job(1), &TrialArm::new(&squared, &squared), &|| false).unwrap().losses[0].unwrap();
            assert!((trained(&squared) - first).abs() < 1e-6 * first, "{output}");
            assert!(trained(&logits) > 2.0 * first, "{output}");
        }
    }
}
