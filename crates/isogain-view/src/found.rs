//! The runs under the folders given: found anew each time, so that a run that begins later is seen.

use std::fs::File;
use std::path::{Path, PathBuf};

use isogain_core::record::RUN_FILE;
use sha2::{Digest as _, Sha256};

/// Folders below a given one that are looked into.
const DEEPEST: usize = 5;
/// Folders that are looked at in one search.
const MOST_FOLDERS: usize = 20_000;
/// Runs that are listed.
pub(crate) const MOST_RUNS: usize = 1000;

/// A folder that runs are looked for in, or a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The folder or file.
    pub path: PathBuf,
    /// What it is called on the page.
    pub name: String,
}

impl From<PathBuf> for Root {
    fn from(path: PathBuf) -> Self {
        Self { name: path.display().to_string(), path }
    }
}

/// A run's place. Requests name it by `id`; no path is ever made from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Twelve hexadecimal digits of the path's hash.
    pub(crate) id: String,
    /// What it is called: its folder as it was given, and the folders below.
    pub(crate) name: String,
    /// Its record, with no symbolic link below the given folder.
    pub(crate) record: PathBuf,
}

/// The runs under these folders, by name, and whether there were more than are listed.
pub(crate) fn runs(roots: &[Root]) -> (Vec<Found>, bool) {
    let mut found = Vec::new();
    let mut left = MOST_FOLDERS;
    for Root { path: root, name } in roots {
        // The record itself may be given, and a given path may be a link: it is what was asked for.
        let is_record = root.file_name().is_some_and(|name| name == RUN_FILE) && root.is_file();
        let folder = if is_record { root.parent().unwrap_or(Path::new(".")) } else { root };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if let Ok(folder) = folder.canonicalize() {
            search(&folder, name, 0, &mut left, &mut found);
        }
    }
    found.sort_by(|a: &Found, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
    found.dedup_by(|a, b| a.id == b.id);
    let more = found.len() > MOST_RUNS || left == 0;
    found.truncate(MOST_RUNS);
    (found, more)
}

fn search(folder: &Path, name: &str, depth: usize, left: &mut usize, found: &mut Vec<Found>) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    let record = folder.join(RUN_FILE);
    if is_plain(&record) {
        found.push(Found { id: id(&record), name: name.to_owned(), record });
    }
    let Ok(entries) = folder.read_dir() else { return };
    if depth == DEEPEST {
        return;
    }
    let mut folders: Vec<std::ffi::OsString> = entries
        .flatten()
        // Not through links: they can lead out of the folder, or around in a circle.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name())
        .filter(|name| !name.as_encoded_bytes().starts_with(b"."))
        .collect();
    folders.sort();
    for below in folders {
        let name = format!("{}/{}", name.trim_end_matches('/'), below.to_string_lossy());
        search(&folder.join(below), &name, depth + 1, left, found);
    }
}

/// Whether it is a file itself, neither a link to one nor a pipe or device that would block the reader.
fn is_plain(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|data| data.is_file())
}

/// Opens a record that was found; `None` if it is gone, or is not the plain file any more that it was.
pub(crate) fn open(record: &Path) -> Option<File> {
    if !is_plain(record) {
        return None;
    }
    let file = File::open(record).ok()?;
    same(&file, record).then_some(file)
}

/// Whether an open file is still the one at this path.
#[cfg(unix)]
pub(crate) fn same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(open), Ok(there)) => there.is_file() && (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Whether an open file is still the one at this path, as far as that can be told.
#[cfg(not(unix))]
pub(crate) fn same(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(open), Ok(there)) => there.is_file() && open.created().ok() == there.created().ok(),
        _ => false,
    }
}

fn id(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_below_and_links_lead_nowhere() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let root = place.path().join("runs");
        assert!(runs(&[root.clone().into()]).0.is_empty(), "a folder that does not exist yet");
        for folder in ["a", "b/c", ".hidden", "1/2/3/4/5/6"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join(RUN_FILE), "").unwrap();
        }
        std::fs::write(outside.path().join(RUN_FILE), "").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(outside.path(), root.join("link")).unwrap();
            symlink(&root, root.join("circle")).unwrap();
            std::fs::create_dir(root.join("file")).unwrap();
            symlink(outside.path().join(RUN_FILE), root.join("file").join(RUN_FILE)).unwrap();
        }
        let (found, more) = runs(&[root.clone().into(), root.join("a").into()]);
        let names: Vec<&str> =
            found.iter().map(|run| run.name.strip_prefix(&*place.path().to_string_lossy()).unwrap()).collect();
        assert_eq!((names, more), (vec!["/runs/a", "/runs/b/c"], false));
        assert!(open(&found[0].record).is_some());
        std::fs::remove_file(&found[0].record).unwrap();
        assert!(open(&found[0].record).is_none());
    }
}
