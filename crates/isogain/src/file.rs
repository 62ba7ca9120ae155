//! Files that are whole at every moment.

use std::path::Path;

use crate::Error;

/// Writes a file through a second one beside it and a rename, so that a crash or a full disk leaves the older file whole.
///
/// # Errors
/// When it cannot be written or renamed.
pub(crate) fn replace(path: &Path, partial: &Path, bytes: &[u8]) -> Result<(), Error> {
    if let Err(error) = std::fs::write(partial, bytes) {
        // Half a file is of no use to anyone; if it cannot be removed either, the error below says why.
        std::fs::remove_file(partial).ok();
        return Err(Error::io("write", partial)(error));
    }
    std::fs::rename(partial, path).map_err(Error::io("write", path))
}
