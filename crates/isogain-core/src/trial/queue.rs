//! The jobs of a search in the order asked, with what came out of them.

use super::error::TrialError;
use super::schedule::Configuration;
use super::{Job, Score, SeedScore};

/// Jobs with their answers; any number of them may be in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    jobs: Vec<Job>,
    scores: Vec<Option<Score>>,
    /// Jobs below this number were handed out.
    handed_out: usize,
}

impl Queue {
    /// One more job.
    pub(super) fn add(&mut self, configuration: Configuration, seed: u64, steps: usize) {
        let Configuration { arm, learning_rate } = configuration;
        self.jobs.push(Job { id: self.jobs.len(), arm, learning_rate, seed, steps });
        self.scores.push(None);
    }

    /// The next job that was not handed out yet.
    pub(super) fn ask(&mut self) -> Option<Job> {
        let job = self.jobs.get(self.handed_out)?.clone();
        self.handed_out += 1;
        Some(job)
    }

    /// Takes the answer to a job.
    ///
    /// # Errors
    /// A job that was not handed out, or that was answered before.
    pub(super) fn tell(&mut self, id: usize, score: Score) -> Result<(), TrialError> {
        match self.scores.get_mut(id) {
            Some(slot @ None) if id < self.handed_out => {
                *slot = Some(score);
                Ok(())
            }
            _ => Err(TrialError::UnexpectedAnswer { id }),
        }
    }

    /// All jobs so far.
    pub(super) fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The jobs that were answered, in the order asked.
    pub(super) fn answered(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().zip(&self.scores).filter(|(_, score)| score.is_some()).map(|(job, _)| job)
    }

    /// The answer to a job, if there is one.
    pub(super) fn score(&self, id: usize) -> Option<&Score> {
        self.scores.get(id)?.as_ref()
    }

    /// Whether these jobs are all answered.
    pub(super) fn is_answered(&self, mut jobs: std::ops::Range<usize>) -> bool {
        jobs.all(|id| self.score(id).is_some())
    }

    /// Whether all jobs so far are answered.
    pub(super) fn is_all_answered(&self) -> bool {
        self.is_answered(0..self.jobs.len())
    }

    /// Optimizer updates of all jobs so far.
    pub(super) fn total_steps(&self) -> usize {
        self.jobs.iter().map(|job| job.steps).sum()
    }

    /// The answers to the jobs that are wanted, in the order asked.
    pub(super) fn answers(&self, wanted: impl Fn(&Job) -> bool) -> Vec<SeedScore> {
        let answered = self.jobs.iter().zip(&self.scores).filter(|(job, _)| wanted(job));
        answered.filter_map(|(job, score)| Some(SeedScore { seed: job.seed, score: score.clone()? })).collect()
    }
}
