//! What other programs recorded, as a run: one file for each format, and one that says which curve is which.
//!
//! A curve has a name and a number at each step; nothing says what network it belongs to. So such a run has no recipe, its
//! operations are those that curves are named after, and of the rules those speak that need no more.

mod assemble;
mod csv;
mod judge;
mod place;
mod tensorboard;

use std::path::{Path, PathBuf};

use super::{RUN_FILE, RecordError, Run, read};

/// Most numbers that are taken in; what follows is left out, and a note says so.
const MOST_VALUES: usize = 4_000_000;

/// Reads a recorded run: one of isogain's own, or what another program wrote. A `.csv` file; a TensorBoard event file,
/// whose name has `tfevents` in it; or a folder that holds event files and no run.
///
/// # Errors
/// Those of [`read`]; `Format` where nothing in the file can be shown.
pub fn open(path: &Path) -> Result<Run, RecordError> {
    let Some(files) = foreign(path) else { return read(path) };
    let mut curves = assemble::Curves::default();
    for file in &files {
        let bytes = std::fs::read(file).map_err(RecordError::io("read", file))?;
        if is_events(file) {
            tensorboard::read(&bytes, &mut curves);
        } else {
            csv::read(&bytes, &mut curves).map_err(|(line, message)| wrong(file, line, message))?;
        }
    }
    let source = path.display().to_string();
    let mut run = curves.run(&source).ok_or_else(|| {
        wrong(
            path,
            1,
            "no curve by step is in it that could be shown: a loss, a learning rate, or sizes by layer".into(),
        )
    })?;
    run.findings = judge::findings(&run);
    Ok(run)
}

/// Whether another program wrote it.
pub fn is_foreign(path: &Path) -> bool {
    foreign(path).is_some()
}

/// The files of another program's record, by name; `None` where it is one of isogain's own, or nothing.
fn foreign(path: &Path) -> Option<Vec<PathBuf>> {
    if path.is_dir() {
        if path.join(RUN_FILE).exists() {
            return None;
        }
        let mut files: Vec<PathBuf> =
            path.read_dir().ok()?.flatten().map(|entry| entry.path()).filter(|file| is_events(file)).collect();
        files.sort();
        return (!files.is_empty()).then_some(files);
    }
    let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    (is_csv || is_events(path)).then(|| vec![path.to_path_buf()])
}

fn is_events(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains("tfevents")) && !path.is_dir()
}

fn wrong(path: &Path, line: u64, message: String) -> RecordError {
    RecordError::Format { path: path.to_path_buf(), line, message }
}

#[cfg(test)]
mod tests;
