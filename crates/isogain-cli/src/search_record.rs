//! The record of a search: each training is on disk as soon as it ends, so that neither Ctrl-C nor a crash loses it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use isogain::Error;
use isogain::check::Subject;
use isogain::run;
use isogain_core::record::line::{Note, TrialRecord};
use isogain_core::record::{Line, RecordError, Writer};

/// Writes the lines of a search; a failure is reported at its end, because the search is worth more than its record.
#[derive(Debug)]
pub(crate) struct SearchRecord {
    folder: PathBuf,
    writer: Mutex<Option<Writer>>,
}

impl SearchRecord {
    /// A record in this folder; nothing is written yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), writer: Mutex::default() }
    }

    /// Writes the header and what is wrong before training. This is also the first thing that a folder which cannot be
    /// written stops, before any time is spent.
    pub(crate) fn begin(&self, subject: &Subject, data_folder: &Path) -> Result<(), Error> {
        let mut writer = Writer::create(&self.folder, run::header(subject, data_folder)?)?;
        for finding in subject.findings() {
            writer.write(&Line::Finding(finding))?;
        }
        *self.lock() = Some(writer);
        Ok(())
    }

    /// Writes a training that has ended.
    pub(crate) fn trial(&self, trial: TrialRecord) {
        self.write(&Line::Trial(trial));
    }

    /// Writes a sentence for readers.
    pub(crate) fn note(&self, text: &str) {
        self.write(&Line::Note(Note { text: text.into() }));
    }

    /// Waits until everything is on disk.
    pub(crate) fn finish(self) -> Result<(), RecordError> {
        self.writer.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Writer::finish)
    }

    fn write(&self, line: &Line) {
        if let Some(writer) = self.lock().as_mut() {
            // The writer remembers its first failure for `finish`.
            writer.write(line).ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
