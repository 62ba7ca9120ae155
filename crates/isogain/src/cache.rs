//! Trainings of earlier searches. A training is its recipe, its data and the program, and nothing else: one that is known is
//! not run again, so that a search that was stopped, or is wanted on more seeds, begins where the last one ended.
//!
//! One file each, named by a hash of the three and holding them in full: what a file says of another training is no answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use isogain_core::recipe::to_toml;
use isogain_core::record::Outcome;
use isogain_core::trial::Job;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::file::replace;
use crate::trials::{TrialArm, job_recipe};

/// Outcomes in a folder.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    program: String,
    found: AtomicUsize,
    failure: Mutex<Option<Error>>,
}

/// A file.
#[derive(Serialize, Deserialize)]
struct Entry {
    key: Key,
    outcome: Outcome,
}

/// What a training depends on.
#[derive(PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Key {
    /// Version, size and time of the program: another one may compute other numbers.
    program: String,
    /// The whole recipe with the job's learning rate, seed and steps.
    recipe: String,
    /// Summary of the data, whose sums tell other data apart.
    data: String,
    /// The loss that is told.
    told: String,
}

impl Cache {
    /// In this folder, which is made when there is something to keep.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let file = std::env::current_exe().and_then(std::fs::metadata).ok();
        let build = file.and_then(|file| {
            let time = file.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some(format!("{}.{}", file.len(), time.as_nanos()))
        });
        let program = format!("{} {}", env!("CARGO_PKG_VERSION"), build.unwrap_or_default());
        Self { folder: folder.into(), program, found: AtomicUsize::new(0), failure: Mutex::new(None) }
    }

    /// Trainings that were known so far.
    pub fn found(&self) -> usize {
        self.found.load(Ordering::Relaxed)
    }

    /// Why nothing more is kept, if something went wrong: a search goes on without.
    pub fn failure(&self) -> Option<String> {
        self.lock().as_ref().map(ToString::to_string)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, job: &Job, arm: &TrialArm) -> Option<Key> {
        let data = serde_json::to_string(&arm.data.summary).ok()?;
        Some(Key {
            program: self.program.clone(),
            recipe: to_toml(&job_recipe(job, &arm.recipe)),
            data,
            told: format!("{:?}", arm.told),
        })
    }

    fn path(&self, key: &Key) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.folder.join(format!("{:016x}.json", hasher.finish()))
    }

    /// What came out of this training before. A file that is damaged is as good as none.
    pub(crate) fn get(&self, job: &Job, arm: &TrialArm) -> Option<Outcome> {
        let key = self.key(job, arm)?;
        let entry: Entry = serde_json::from_slice(&std::fs::read(self.path(&key)).ok()?).ok()?;
        (entry.key == key).then(|| {
            self.found.fetch_add(1, Ordering::Relaxed);
            entry.outcome
        })
    }

    /// Keeps what came out of a training.
    pub(crate) fn put(&self, job: &Job, arm: &TrialArm, outcome: &Outcome) {
        let Some(key) = self.key(job, arm).filter(|_| self.lock().is_none()) else { return };
        let path = self.path(&key);
        if let Err(error) = write(&self.folder, &path, &Entry { key, outcome: outcome.clone() }) {
            *self.lock() = Some(error);
        }
    }
}

/// The second file is this process's own: two searches may keep the same training at the same time.
fn write(folder: &Path, path: &Path, entry: &Entry) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let bytes = serde_json::to_vec(entry).map_err(|error| Error::Mismatch(error.to_string()))?;
    replace(path, &path.with_extension(format!("{}.partial", std::process::id())), &bytes)
}
