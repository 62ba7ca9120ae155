//! Claims that are measured on networks of our own: what an experiment is, how many run side by side, and what they share.
//!
//! An experiment returns plain numbers beside what they should be; nothing here prints.

pub(crate) mod bench;
pub(crate) mod training;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use isogain_core::names::nearest;
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Reproduction, Row};

use crate::Error;

/// A claim, and how it is measured.
#[derive(Debug)]
pub struct Experiment {
    /// Its name on the command line: the name of its file, with dashes.
    pub name: &'static str,
    /// What it shows, a few words.
    pub title: &'static str,
    /// Who claims it: authors and year.
    pub source: &'static str,
    /// What is measured, and how.
    pub setting: &'static str,
    /// What would prove it wrong, a sentence; `None` where the numbers beside ours say that already.
    pub disproof: Option<&'static str>,
    /// What it takes of one core of a machine of 2025, in seconds: for people who wait, and for the order of all.
    pub seconds: u32,
    pub(crate) run: fn(&Lab<'_>) -> Result<Found, Error>,
}

/// What an experiment found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) notes: Vec<String>,
}

impl Found {
    /// One more number, beside what theory says exactly.
    pub(crate) fn exact(&mut self, what: impl Into<String>, ours: f64, theirs: Expected) {
        self.rows.push(Row::new(what, ours, theirs, Basis::Exact));
    }

    /// One more number, beside the outcome that is claimed.
    pub(crate) fn claimed(&mut self, what: impl Into<String>, ours: f64, theirs: Expected) {
        self.rows.push(Row::new(what, ours, theirs, Basis::Claimed));
    }
}

/// Who watches an experiment.
#[derive(Clone, Copy)]
pub struct Lab<'a> {
    /// Set from outside to stop.
    pub stop: &'a AtomicBool,
    /// Called as it goes on, with the part that is done, in [0, 1].
    pub progress: &'a (dyn Fn(f64) + Sync),
}

impl Lab<'_> {
    /// An error once somebody wants it to end.
    pub(crate) fn stopped(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Between two parts of an experiment: `done` of `all` are over.
    pub(crate) fn at(&self, done: usize, all: usize) -> Result<(), Error> {
        self.stopped()?;
        (self.progress)(done as f64 / all.max(1) as f64);
        Ok(())
    }
}

impl Experiment {
    /// Runs it. The numbers are the same at every call: every seed is fixed, and everything is computed on one thread.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when stopped.
    pub fn run(&self, lab: &Lab<'_>) -> Result<Reproduction, Error> {
        let start = Instant::now();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| Error::Mismatch(format!("cannot start a worker thread: {error}")))?;
        let Found { rows, figures, notes } = pool.install(|| (self.run)(lab))?;
        Ok(Reproduction {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            source: self.source.to_owned(),
            setting: self.setting.to_owned(),
            disproof: self.disproof.map(str::to_owned),
            rows,
            figures,
            notes,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// The experiment of this name in a table; `list` says where all of its names are.
pub(crate) fn named(table: &[&'static Experiment], name: &str, list: &str) -> Result<&'static Experiment, Error> {
    table.iter().copied().find(|one| one.name == name).ok_or_else(|| {
        let hint = nearest(name, table.iter().map(|one| one.name));
        let hint = hint.map_or_else(String::new, |hint| format!("; did you mean '{hint}'?"));
        Error::Mismatch(format!("unknown experiment '{name}'{hint} ({list})"))
    })
}

/// Runs several at the same time, the longest first, each on a thread of its own; `done` is told of each as it ends.
///
/// # Errors
/// The first error of an experiment or of `done`, after those in progress have ended; [`Error::Interrupted`] when
/// stopped.
pub fn run_all(
    experiments: &[&'static Experiment],
    threads: usize,
    stop: &AtomicBool,
    progress: &(dyn Fn(&'static Experiment, f64) + Sync),
    done: &(dyn Fn(&Reproduction) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    let mut queue: Vec<&'static Experiment> = experiments.to_vec();
    queue.sort_by_key(|one| std::cmp::Reverse(one.seconds));
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None::<Error>));
    let fail = |error: Error| {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let has_failed = failed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
                    let Some(one) = queue.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !has_failed) else {
                        return;
                    };
                    let lab = Lab { stop, progress: &|part| progress(one, part) };
                    if let Err(error) = one.run(&lab).and_then(|found| done(&found)) {
                        fail(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
