//! Exact results of theory and published ones, measured again on our own engine.
//!
//! One experiment is one file and one line in [`TABLE`]. It says what is claimed and by whom, runs networks, and returns
//! plain numbers beside what they should be; nothing here prints. What is only remembered of a paper is not compared
//! with: a number is exact, printed by its source, or measured by an independent program, and says which.

mod adam_eps;
mod adding_problem;
mod attention_failure;
mod batch_norm_depth;
mod batch_norm_explosion;
mod bench;
mod born_dead;
mod clipping_family;
mod default_init;
mod depth_scales;
mod dormant_units;
mod gain_audit;
mod glorot_profiles;
mod half_precision;
mod jacobian_spectrum;
mod log_normal_gradients;
mod orthogonal_depth;
mod path_lengths;
mod phase_diagram;
mod recurrent_memory;
pub mod rescue_table;
mod shattered_gradients;
mod tailored_rescue;
mod temporal_order;
mod thousand_layers;
mod training;
mod transformer_depth;
mod width_transfer;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use isogain_core::names::nearest;
use isogain_core::summary::reproduction::{Figure, Reproduction, Row};

use crate::Error;

/// Every experiment, in the order of the page: what depth does before training, then norms, skips, time, attention,
/// optimizers and numbers.
pub const TABLE: [&Experiment; 26] = [
    &default_init::EXPERIMENT,
    &phase_diagram::EXPERIMENT,
    &depth_scales::EXPERIMENT,
    &gain_audit::EXPERIMENT,
    &glorot_profiles::EXPERIMENT,
    &log_normal_gradients::EXPERIMENT,
    &born_dead::EXPERIMENT,
    &jacobian_spectrum::EXPERIMENT,
    &orthogonal_depth::EXPERIMENT,
    &tailored_rescue::EXPERIMENT,
    &rescue_table::EXPERIMENT,
    &batch_norm_explosion::EXPERIMENT,
    &batch_norm_depth::EXPERIMENT,
    &shattered_gradients::EXPERIMENT,
    &path_lengths::EXPERIMENT,
    &thousand_layers::EXPERIMENT,
    &width_transfer::EXPERIMENT,
    &recurrent_memory::EXPERIMENT,
    &adding_problem::EXPERIMENT,
    &temporal_order::EXPERIMENT,
    &attention_failure::EXPERIMENT,
    &transformer_depth::EXPERIMENT,
    &clipping_family::EXPERIMENT,
    &adam_eps::EXPERIMENT,
    &half_precision::EXPERIMENT,
    &dormant_units::EXPERIMENT,
];

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
    /// What it takes of one core of a machine of 2025, in seconds: for people who wait, and for the order of all.
    pub seconds: u32,
    run: fn(&Lab<'_>) -> Result<Found, Error>,
}

/// What an experiment found.
#[derive(Debug, Default)]
struct Found {
    rows: Vec<Row>,
    figures: Vec<Figure>,
    notes: Vec<String>,
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
    fn stopped(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Between two parts of an experiment: `done` of `all` are over.
    fn at(&self, done: usize, all: usize) -> Result<(), Error> {
        self.stopped()?;
        (self.progress)(done as f64 / all.max(1) as f64);
        Ok(())
    }
}

impl Experiment {
    /// The experiment of this name.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        TABLE.into_iter().find(|one| one.name == name).ok_or_else(|| {
            let hint = nearest(name, TABLE.iter().map(|one| one.name));
            let hint = hint.map_or_else(String::new, |hint| format!("; did you mean '{hint}'?"));
            Error::Mismatch(format!("unknown experiment '{name}'{hint} (isogain reproduce lists all)"))
        })
    }

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
            rows,
            figures,
            notes,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
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
