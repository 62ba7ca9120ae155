//! A training in a folder: recipe, record, checkpoint, weights. Watched at every step, stopped at any moment, resumed to
//! the same losses bit for bit.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use isogain_core::recipe::{self, Recipe, to_toml};
use isogain_core::record::cadence::{is_taken_apart, is_written};
use isogain_core::record::line::{Resumed, SCHEMA};
use isogain_core::record::{
    self, Header, Healed, Line, Outcome, RECIPE_FILE, RUN_FILE, Recorder, Run, Snapshot, StepRecord, Writer,
};
use isogain_core::rules::{Case, Finding, diagnose};

use crate::Error;
use crate::check::Subject;
use crate::checkpoint;
use crate::heal::{Healer, Healing, Surroundings};
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

    /// States that repairs may go back to, the older first.
    fn kept(&self) -> [PathBuf; 2] {
        ["kept-1.safetensors", "kept-2.safetensors"].map(|name| self.0.join(name))
    }

    /// Whether nothing is recorded yet: a full disk leaves a record without its header.
    fn record_is_empty(&self) -> bool {
        std::fs::metadata(self.0.join(RUN_FILE)).is_ok_and(|record| record.len() == 0)
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
    /// Whether findings are answered by repairs that help. A run that was begun like that goes on like that.
    pub heal: bool,
    /// Called as repairs begin and end.
    pub healing: &'a (dyn Fn(Healing<'_>) + Sync),
}

/// A run that came to its end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// What is wrong, all evidence considered.
    pub findings: Vec<Finding>,
    /// What was done about findings on the way.
    pub healed: Vec<Healed>,
    /// Whether it had come to its end before, so that there was nothing left to do.
    pub was_over: bool,
}

/// Trains from the start.
///
/// # Errors
/// When the folder cannot be written; [`Error::Interrupted`] when stopped, with everything on disk.
pub fn fresh(subject: &Subject, data_folder: &Path, folder: &RunFolder, watch: Watch<'_>) -> Result<Ended, Error> {
    let writer = Writer::create(folder.path(), header(subject, data_folder)?)?;
    let mut trainer = begin(subject);
    trainer.healed = watch.heal.then(Vec::new);
    Training::new(subject, trainer).drive(writer, folder, watch)
}

/// What a record says about this subject before its first step.
///
/// # Errors
/// As [`at_home`].
pub fn header(subject: &Subject, data_folder: &Path) -> Result<Header, Error> {
    Ok(Header {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        recipe: to_toml(&at_home(&subject.recipe, data_folder)?),
        network: subject.network.clone(),
        data: subject.data.summary.clone(),
        seed: subject.recipe.run.seed,
        precision: subject.recipe.run.precision,
    })
}

/// A training of which nothing is written.
#[derive(Clone, Debug)]
pub struct Unrecorded {
    /// The steps that a record would have.
    pub history: Vec<StepRecord>,
    /// How it ended.
    pub outcome: Outcome,
    /// What is wrong, all evidence considered.
    pub findings: Vec<Finding>,
}

/// Trains from the start, watched, and writes nothing. `None` when it was stopped from outside.
///
/// # Errors
/// When the data changed meanwhile.
pub fn unrecorded(subject: &Subject, is_stopped: &dyn Fn() -> bool) -> Result<Option<Unrecorded>, Error> {
    let mut training = Training::new(subject, begin(subject));
    let last = training.last_step();
    while !training.is_over() {
        if is_stopped() {
            return Ok(None);
        }
        // Watching changes no number, so that a step in between need not be.
        let is_kept = is_written(training.trainer.step as u64, last);
        let record = training.trainer.advance(&subject.data, is_kept);
        training.history.extend(record);
    }
    let (outcome, findings) = training.judged()?;
    Ok(Some(Unrecorded { history: training.history, outcome, findings }))
}

fn begin(subject: &Subject) -> Trainer {
    Trainer::new(&subject.recipe, &subject.network, &subject.data, subject.recipe.run.seed)
}

/// The recipe with the path of its data made absolute, so that a copy in another folder still finds it.
///
/// # Errors
/// When the current folder cannot be told, or the path is not UTF-8 and so cannot stand in a recipe.
pub fn at_home(recipe: &Recipe, folder: &Path) -> Result<Recipe, Error> {
    let mut recipe = recipe.clone();
    for written in recipe.data.paths_mut() {
        let path = folder.join(&*written);
        let path = std::path::absolute(&path).map_err(Error::io("find", path))?;
        let Some(text) = path.to_str() else {
            let path = path.display();
            return Err(Error::Mismatch(format!("{path}: not a UTF-8 path, and a recipe is UTF-8 text; rename it")));
        };
        *written = text.to_owned();
    }
    Ok(recipe)
}

/// Goes on from the last checkpoint; from the start where the run was cut off before there was one.
///
/// `recipe.toml` may ask for more steps than before; a run that has done all of them is judged again, and nothing is
/// written.
///
/// # Errors
/// When the record or the checkpoint is damaged; when the recipe is not the recorded one; otherwise as [`fresh`].
pub fn resume(subject: &Subject, folder: &RunFolder, watch: Watch<'_>) -> Result<Ended, Error> {
    let has_checkpoint = folder.checkpoint().exists();
    if !has_checkpoint && folder.record_is_empty() {
        return fresh(subject, folder.path(), folder, watch);
    }
    let recorded = record::read(folder.path())?;
    if !recorded.trials.is_empty() {
        let path = folder.path().display();
        return Err(Error::Mismatch(format!("{path} holds a search of many trainings; only a single one can go on")));
    }
    let now = at_home(&subject.recipe, folder.path())?;
    unchanged(&now, &recorded.header.recipe, folder)?;
    let load = |path: &Path| checkpoint::load(&subject.recipe, &subject.network, &subject.data, path);
    let (mut trainer, unwritten) =
        if has_checkpoint { load(&folder.checkpoint())? } else { (begin(subject), Vec::new()) };
    // A run that was begun with repairs goes on with them.
    trainer.healed = trainer.healed.or(watch.heal.then(Vec::new));
    let kept = folder.kept().into_iter().filter(|path| trainer.healed.is_some() && path.exists());
    let kept = kept.map(|path| Ok(load(&path)?.0)).collect::<Result<Vec<Trainer>, Error>>()?;
    let mut training = Training::new(subject, trainer).remembering(&recorded, unwritten);
    training.healer = training.healer.with_kept(kept.into_iter().filter(|kept| kept.step <= training.trainer.step));
    if training.is_over() && recorded.outcome.is_some() {
        let (outcome, findings) = training.judged()?;
        return Ok(Ended { outcome, findings, healed: training.healed(), was_over: true });
    }
    let mut writer = Writer::append(folder.path())?;
    writer.write(&Line::Resumed(Resumed { step: training.trainer.step as u64 }))?;
    // A crash between checkpoint and record may have left the last one out.
    for healed in training.healed().into_iter().skip(recorded.healed.len()) {
        writer.write(&Line::Healed(Box::new(healed)))?;
    }
    training.drive(writer, folder, watch)
}

/// Whatever a step depends on must be as it was, or the run would not go on to the same losses.
fn unchanged(now: &Recipe, recorded: &str, folder: &RunFolder) -> Result<(), Error> {
    let before = recipe::parse(recorded, RUN_FILE)?;
    let reshaped = now.schedule.depends_on_length() && now.run.steps != before.run.steps;
    let tables = [
        ("[data]", now.data != before.data),
        ("[network]", now.network != before.network),
        ("[optimizer]", now.optimizer != before.optimizer),
        ("[schedule]", now.schedule != before.schedule),
        ("[clip]", now.clip != before.clip),
        ("run.seed", now.run.seed != before.run.seed),
        ("run.precision", now.run.precision != before.run.precision),
        ("run.device", now.run.device != before.run.device),
        ("run.loss_scale", now.run.loss_scale != before.run.loss_scale),
        ("run.steps (on which the schedule depends)", reshaped),
    ];
    let Some((changed, _)) = tables.into_iter().find(|(_, changed)| *changed) else { return Ok(()) };
    let free = if now.schedule.depends_on_length() { "[rules]" } else { "run.steps and [rules]" };
    Err(Error::Mismatch(format!(
        "{}: {changed} is not what {RUN_FILE} says the run began with; only {free} may change when a run goes on. Undo \
         the change, or train it as a run of its own",
        folder.recipe().display()
    )))
}

/// Rules look at what was measured at every step.
fn as_judged(record: StepRecord) -> StepRecord {
    StepRecord { snapshot: None, histograms: Vec::new(), ..record }
}

/// A run in progress.
struct Training<'a> {
    subject: &'a Subject,
    trainer: Trainer,
    /// The steps that are written, as rules look at them.
    history: Vec<StepRecord>,
    /// Rules whose finding is written.
    announced: Vec<String>,
    /// Of the steps before this part of the run, the last ones that are not in the record.
    unwritten: Vec<StepRecord>,
    /// Answers findings, where somebody wants that.
    healer: Healer,
    /// What a batch last showed on the way, for repairs: units that died since the start are seen there alone.
    latest: Option<Snapshot>,
}

impl<'a> Training<'a> {
    fn new(subject: &'a Subject, trainer: Trainer) -> Self {
        let healer = Healer::new(subject.recipe.run.steps);
        let (history, announced, unwritten) = (Vec::new(), Vec::new(), Vec::new());
        Self { subject, trainer, history, announced, unwritten, healer, latest: None }
    }

    /// Takes over what an earlier part of the run has seen, so that it is judged as one run.
    fn remembering(mut self, recorded: &Run, mut unwritten: Vec<StepRecord>) -> Self {
        let step = self.trainer.step as u64;
        let last = self.last_step();
        let since = self.repaired_at()..step;
        let seen = recorded.steps.iter().filter(|record| since.contains(&record.step));
        if self.trainer.healed.is_some() {
            self.latest = seen.clone().filter_map(|record| record.snapshot.clone()).next_back();
        }
        let kept = seen.filter(|record| record.has_non_finite() || is_written(record.step, last)).cloned();
        self.history = kept.map(as_judged).collect();
        let found = recorded.findings.iter().filter(|finding| since.contains(&finding.step));
        self.announced = found.map(|finding| finding.rule.clone()).collect();
        // A run that was cut off may have written some of them after its last checkpoint.
        unwritten.retain(|kept| recorded.steps.binary_search_by_key(&kept.step, |record| record.step).is_err());
        self.unwritten = unwritten;
        self
    }

    fn steps(&self) -> usize {
        self.subject.recipe.run.steps
    }

    fn last_step(&self) -> u64 {
        self.steps().saturating_sub(1) as u64
    }

    fn is_over(&self) -> bool {
        self.trainer.step >= self.steps() || self.trainer.is_broken()
    }

    fn case<'b>(&'b self, end: Option<&'b Snapshot>, outcome: Option<&'b Outcome>) -> Case<'b> {
        Case { recipe: self.trainer.recipe(), history: &self.history, end, outcome, ..self.subject.case() }
    }

    /// What was done about findings so far.
    fn healed(&self) -> Vec<Healed> {
        self.trainer.healed.clone().unwrap_or_default()
    }

    /// The step from which on the run is as it is: evidence of before is of another one.
    fn repaired_at(&self) -> u64 {
        let healed = self.trainer.healed.iter().flatten();
        healed.filter(|healed| healed.applied.is_some()).map(|healed| healed.step).next_back().unwrap_or_default()
    }

    /// Whether a finding says something new: not announced yet, and not about what was repaired since.
    fn is_news(&self, finding: &Finding) -> bool {
        !self.announced.contains(&finding.rule) && (finding.step >= self.repaired_at())
    }

    /// Says what is wrong by now, and answers it with the repair that helps most, where somebody wants that.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when stopped before a finding was answered: it is then not written either, and comes up again
    /// when the run goes on.
    fn look(&mut self, recorder: &mut Recorder, folder: &RunFolder, watch: Watch<'_>) -> Result<(), Error> {
        let stopped = || watch.stop.load(Ordering::Relaxed);
        for finding in diagnose(&self.case(self.latest.as_ref(), None)) {
            if !self.is_news(&finding) {
                continue;
            }
            (watch.finding)(&finding);
            let case = self.case(self.latest.as_ref(), None);
            let around = Surroundings { subject: self.subject, case, stopped: &stopped, told: watch.healing };
            let next = self.healer.answer(&self.trainer, &finding, &around)?;
            recorder.finding(&finding)?;
            self.announced.push(finding.rule);
            if let Some(next) = next
                && self.go_on_with(next, recorder, folder)?
            {
                break;
            }
        }
        Ok(())
    }

    /// Goes on with what came of answering a finding; whether the run is another one now.
    fn go_on_with(&mut self, next: Trainer, recorder: &mut Recorder, folder: &RunFolder) -> Result<bool, Error> {
        let before = std::mem::replace(&mut self.trainer, next);
        self.healer.back(self.trainer.step);
        let Some(healed) = self.trainer.healed.iter().flatten().next_back().cloned() else { return Ok(false) };
        let is_other = healed.applied.is_some();
        if is_other {
            self.history.clear();
            self.announced.clear();
            self.latest = None;
        }
        // The checkpoint first: it holds the same line, and a run that goes on from it writes what the record lacks.
        recorder.sync()?;
        let unwritten = if is_other { Vec::new() } else { recorder.unwritten() };
        checkpoint::save(&self.trainer, &unwritten, &folder.checkpoint())?;
        if self.trainer.step < before.step {
            recorder.back(self.trainer.step as u64)?;
        }
        recorder.write(&Line::Healed(Box::new(healed)))?;
        Ok(is_other)
    }

    /// How it ended, and what is wrong, all evidence considered.
    fn judged(&self) -> Result<(Outcome, Vec<Finding>), Error> {
        let Subject { recipe, data, .. } = self.subject;
        let trainer = &self.trainer;
        let outcome = trainer.outcome(data);
        data.intact()?;
        let end = trainer.snapshot(&first_batch(recipe, data, trainer.seed()))?;
        let findings = diagnose(&self.case(Some(&end), Some(&outcome)));
        Ok((outcome, findings))
    }

    /// The record first: a checkpoint ahead of it would leave a gap where the disk is full.
    fn save(&self, recorder: &mut Recorder, folder: &RunFolder) -> Result<(), Error> {
        recorder.sync()?;
        for (kept, path) in self.healer.kept().zip(folder.kept()) {
            checkpoint::save(kept, &[], &path)?;
        }
        checkpoint::save(&self.trainer, &recorder.unwritten(), &folder.checkpoint())
    }

    /// Ends the run for now, with everything on disk.
    fn stop(&self, mut recorder: Recorder, folder: &RunFolder) -> Result<Ended, Error> {
        self.save(&mut recorder, folder)?;
        recorder.finish()?;
        Err(Error::Interrupted)
    }

    fn drive(mut self, writer: Writer, folder: &RunFolder, watch: Watch<'_>) -> Result<Ended, Error> {
        let last = self.last_step();
        let unwritten = std::mem::take(&mut self.unwritten);
        let mut recorder = Recorder::new(writer, last).resumed(self.trainer.step as u64, unwritten);
        let mut saved = Instant::now();
        // What a stop left unanswered.
        if self.trainer.healed.is_some() && self.trainer.step > 0 {
            match self.look(&mut recorder, folder, watch) {
                Err(Error::Interrupted) => return self.stop(recorder, folder),
                seen => seen?,
            }
        }
        while !self.is_over() {
            if watch.stop.load(Ordering::Relaxed) {
                return self.stop(recorder, folder);
            }
            if self.trainer.healed.is_some() {
                self.healer.watch(&self.trainer);
            }
            let batch = self.trainer.next_batch(&self.subject.data);
            let apart = is_taken_apart(self.trainer.step as u64, last).then(|| self.trainer.taken_apart(&batch));
            let (_, Some(mut record)) = self.trainer.advance_on(&batch, true) else { break };
            // What is not finite cannot be taken apart; the record says where that began.
            if let Some((snapshot, histograms)) = apart.transpose()?.filter(|_| !record.has_non_finite()) {
                if self.trainer.healed.is_some() {
                    self.latest = Some(snapshot.clone());
                }
                record.snapshot = Some(snapshot);
                record.histograms = histograms;
            }
            (watch.progress)(self.trainer.step, record.loss);
            recorder.step(&record)?;
            if record.has_non_finite() || self.trainer.is_broken() || is_written(record.step, last) {
                self.history.push(as_judged(record));
                match self.look(&mut recorder, folder, watch) {
                    Err(Error::Interrupted) => return self.stop(recorder, folder),
                    seen => seen?,
                }
            }
            if saved.elapsed() > CHECKPOINT_EVERY {
                self.save(&mut recorder, folder)?;
                saved = Instant::now();
            }
        }
        self.save(&mut recorder, folder)?;
        checkpoint::save_weights(&self.trainer.model, &folder.weights())?;
        let (outcome, findings) = self.judged()?;
        for finding in findings.iter().filter(|finding| !self.announced.contains(&finding.rule)) {
            recorder.finding(finding)?;
        }
        recorder.write(&Line::Outcome(outcome.clone()))?;
        recorder.finish()?;
        Ok(Ended { outcome, findings, healed: self.healed(), was_over: false })
    }
}
