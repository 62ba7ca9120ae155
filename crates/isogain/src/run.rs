//! A training in a folder: recipe, record, checkpoint, weights. Watched at every step, stopped at any moment, resumed to
//! the same losses bit for bit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use isogain_core::recipe::{Data, Recipe, to_toml};
use isogain_core::record::cadence::is_written;
use isogain_core::record::line::{Resumed, SCHEMA};
use isogain_core::record::{Header, Line, Outcome, RECIPE_FILE, Recorder, Snapshot, StepRecord, Writer};
use isogain_core::rules::{Case, Finding, diagnose};

use crate::Error;
use crate::check::Subject;
use crate::checkpoint;
use crate::snapshot::snapshot;
use crate::train::{Trainer, first_batch};

/// Time between checkpoints, so that a crash costs little.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15);

/// The files of a run.
#[derive(Clone, Debug)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// A folder that holds a run, or will.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The recipe of the run.
    pub fn recipe(&self) -> PathBuf {
        self.0.join(RECIPE_FILE)
    }

    /// What the next step depends on.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint.safetensors")
    }

    /// The trained weights.
    pub fn weights(&self) -> PathBuf {
        self.0.join("weights.safetensors")
    }

    /// Whether a run was begun here.
    pub fn is_taken(&self) -> bool {
        self.recipe().exists() || self.checkpoint().exists()
    }
}

/// Who watches a run.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Set from outside to stop.
    pub stop: &'a AtomicBool,
    /// Called after each step with the updates done and the loss.
    pub progress: &'a (dyn Fn(usize, f64) + Sync),
    /// Called with each finding when it first appears.
    pub finding: &'a (dyn Fn(&Finding) + Sync),
}

/// A run that came to its end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// What is wrong, all evidence considered.
    pub findings: Vec<Finding>,
}

/// Trains from the start.
///
/// # Errors
/// When the folder cannot be written; [`Error::Interrupted`] when stopped, with everything on disk.
pub fn fresh(subject: &Subject, data_folder: &Path, folder: &RunFolder, watch: Watch<'_>) -> Result<Ended, Error> {
    let text = to_toml(&at_home(&subject.recipe, data_folder)?);
    let header = Header {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        recipe: text,
        network: subject.network.clone(),
        data: subject.data.summary.clone(),
        seed: subject.recipe.run.seed,
        precision: subject.recipe.run.precision,
    };
    let writer = Writer::create(folder.path(), header)?;
    let trainer = Trainer::new(&subject.recipe, &subject.network, &subject.data, subject.recipe.run.seed);
    drive(subject, trainer, writer, folder, watch)
}

/// The recipe with the path of its data made absolute, so that a copy in another folder still finds it.
///
/// # Errors
/// When the current folder cannot be told.
pub fn at_home(recipe: &Recipe, folder: &Path) -> Result<Recipe, Error> {
    let mut recipe = recipe.clone();
    if recipe.data.source != Data::BUILT_IN {
        let path = folder.join(&recipe.data.source);
        recipe.data.source = std::path::absolute(&path).map_err(Error::io("find", path))?.display().to_string();
    }
    Ok(recipe)
}

/// Goes on from the last checkpoint.
///
/// # Errors
/// When the checkpoint is damaged or belongs to another recipe; otherwise as [`fresh`].
pub fn resume(subject: &Subject, folder: &RunFolder, watch: Watch<'_>) -> Result<Ended, Error> {
    let trainer = checkpoint::load(&subject.recipe, &subject.network, &subject.data, &folder.checkpoint())?;
    let mut writer = Writer::append(folder.path())?;
    writer.write(&Line::Resumed(Resumed { step: trainer.step as u64 }))?;
    drive(subject, trainer, writer, folder, watch)
}

fn drive(
    subject: &Subject,
    mut trainer: Trainer,
    writer: Writer,
    folder: &RunFolder,
    watch: Watch<'_>,
) -> Result<Ended, Error> {
    let steps = subject.recipe.run.steps;
    let last = steps.saturating_sub(1) as u64;
    let mut recorder = Recorder::new(writer, last);
    let mut history: Vec<StepRecord> = Vec::new();
    let mut announced: Vec<String> = Vec::new();
    let mut saved = Instant::now();
    while trainer.step < steps && !trainer.is_broken() {
        if watch.stop.load(Ordering::Relaxed) {
            checkpoint::save(&trainer, &folder.checkpoint())?;
            recorder.finish()?;
            return Err(Error::Interrupted);
        }
        let Some(record) = trainer.advance(&subject.data, true) else { break };
        (watch.progress)(trainer.step, record.loss);
        recorder.step(&record)?;
        if trainer.is_broken() || is_written(record.step, last) {
            history.push(record);
            let findings = diagnose(&case(subject, &history, None, None));
            for finding in findings.into_iter().filter(|finding| !announced.contains(&finding.rule)).collect::<Vec<_>>()
            {
                recorder.finding(&finding)?;
                (watch.finding)(&finding);
                announced.push(finding.rule);
            }
        }
        if saved.elapsed() > CHECKPOINT_EVERY {
            checkpoint::save(&trainer, &folder.checkpoint())?;
            saved = Instant::now();
        }
    }
    checkpoint::save(&trainer, &folder.checkpoint())?;
    checkpoint::save_weights(&trainer.model, &folder.weights())?;
    let outcome = trainer.outcome(&subject.data);
    let end =
        snapshot(&trainer.model, &first_batch(&subject.recipe, &subject.data, trainer.seed()), trainer.step as u64)?;
    let findings = diagnose(&case(subject, &history, Some(&end), Some(&outcome)));
    for finding in findings.iter().filter(|finding| !announced.contains(&finding.rule)) {
        recorder.finding(finding)?;
    }
    recorder.write(&Line::Outcome(outcome.clone()))?;
    recorder.finish()?;
    Ok(Ended { outcome, findings })
}

fn case<'a>(
    subject: &'a Subject,
    history: &'a [StepRecord],
    end: Option<&'a Snapshot>,
    outcome: Option<&'a Outcome>,
) -> Case<'a> {
    Case { history, end, outcome, ..subject.case() }
}
