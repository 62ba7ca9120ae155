//! A file that is read in pieces and watched for changes meanwhile.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Place, Result};

/// An open file and the length it had then.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Trials on several threads share one position.
    file: Mutex<File>,
}

impl Opened {
    /// Opens a file that must be there; see [`crate::formats::find`] for the paths of a recipe.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::system("read", path))?;
        let meta = file.metadata().map_err(Error::system("read", path))?;
        if meta.is_dir() {
            return Err(Error::whole(path, "is a folder; a file is needed here"));
        }
        Ok(Self { path: path.to_path_buf(), bytes: meta.len(), file: Mutex::new(file) })
    }

    /// Fills `buffer` from `offset` on.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                let now = file.metadata().map(|meta| meta.len()).unwrap_or(0);
                let message = format!("the file shrank while it was read: {} bytes before, {now} now", self.bytes);
                Error::file(&self.path, Place::Byte(now.min(offset + buffer.len() as u64)), message)
            }
            _ => Error::file(&self.path, Place::Byte(offset), format!("cannot read: {error}")),
        })
    }

    /// So many bytes from `offset` on; none is set aside that the file does not hold.
    pub(crate) fn bytes_at(&self, offset: u64, count: u64) -> Result<Vec<u8>> {
        if offset.checked_add(count).is_none_or(|end| end > self.bytes) {
            let message = format!("the file ends at byte {}; {count} bytes are needed from here on", self.bytes);
            return Err(Error::file(&self.path, Place::Byte(offset), message));
        }
        let count =
            usize::try_from(count).map_err(|_| Error::whole(&self.path, "too large for the memory of this machine"))?;
        let mut buffer = vec![0; count];
        self.read_at(offset, &mut buffer)?;
        Ok(buffer)
    }

    /// The first bytes, at most so many.
    pub(crate) fn start(&self, most: u64) -> Result<Vec<u8>> {
        self.bytes_at(0, self.bytes.min(most))
    }

    /// The whole file.
    pub(crate) fn all(&self) -> Result<Vec<u8>> {
        let bytes = self.bytes_at(0, self.bytes)?;
        self.unchanged()?;
        Ok(bytes)
    }

    /// Whether it is as long as it was.
    pub(crate) fn unchanged(&self) -> Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let now = file.metadata().map_err(Error::system("read", &self.path))?.len();
        if now == self.bytes {
            return Ok(());
        }
        let message = format!("the file changed while it was read: {} bytes before, {now} now", self.bytes);
        Err(Error::whole(&self.path, message))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{OpenOptions, write};
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_changes_while_it_is_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d");
        write(&path, [7; 100]).unwrap();
        let file = Opened::new(&path).unwrap();
        let told = |error: Error| error.to_string().replace(&path.display().to_string(), "d");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[8; 20]).unwrap();
        let grown = told(file.all().unwrap_err());
        assert_eq!(grown, "d: the file changed while it was read: 100 bytes before, 120 now");
        write(&path, [7; 60]).unwrap();
        let shrunk = told(file.bytes_at(50, 50).unwrap_err());
        assert_eq!(shrunk, "d: byte 60: the file shrank while it was read: 100 bytes before, 60 now");
        let behind = told(file.bytes_at(90, u64::MAX).unwrap_err());
        assert_eq!(behind, "d: byte 90: the file ends at byte 100; 18446744073709551615 bytes are needed from here on");
    }
}
