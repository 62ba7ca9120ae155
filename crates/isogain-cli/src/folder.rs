//! Where a run goes: what is on disk is never written over.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use isogain::run::RunFolder;

/// The folder asked for, which must hold nothing; or the default one, with a number behind it where that is taken.
pub(crate) fn fresh(asked: Option<&Path>, default: &str) -> Result<PathBuf> {
    let Some(path) = asked else {
        return Ok(numbered(default).find(|path| !is_taken(path)).unwrap_or_else(|| PathBuf::from(default)));
    };
    if path.is_file() {
        bail!("--out {}: is a file; a folder is needed", path.display());
    }
    if is_taken(path) {
        let hint = if RunFolder::new(path).checkpoint().exists() {
            ", or go on with the run in it: isogain train --resume"
        } else {
            ""
        };
        bail!("--out {}: is not empty; choose another folder{hint}", path.display());
    }
    Ok(path.to_path_buf())
}

/// The last of the default folders that is taken.
pub(crate) fn latest(default: &str) -> Option<PathBuf> {
    numbered(default).take_while(|path| is_taken(path)).last()
}

fn numbered(default: &str) -> impl Iterator<Item = PathBuf> {
    (1..).map(move |number: u32| match number {
        1 => PathBuf::from(default),
        _ => PathBuf::from(format!("{default}-{number}")),
    })
}

fn is_taken(path: &Path) -> bool {
    path.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}
