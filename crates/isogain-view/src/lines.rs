//! The lines of a file that may still grow, read piece by piece: no line and no piece is larger than a bound, whatever the
//! file is.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

/// Longest line that is read, bytes. A step of a thousand layers, taken apart, has some three million.
pub(crate) const LONGEST_LINE: usize = 16 << 20;

/// Bytes read at once.
const PIECE: usize = 1 << 18;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line with its newline.
    Line(Vec<u8>),
    /// A line that was too long; it is not kept.
    TooLong,
    /// Nothing more for now.
    End,
    /// A piece of a line that goes on; there is more to read.
    More,
    /// The file got shorter than what was read: it is another file.
    Shrunk,
}

/// Reads a file by its lines.
#[derive(Debug)]
pub(crate) struct Lines {
    file: File,
    /// Bytes read.
    read: u64,
    /// What was read and belongs to no line that was handed out.
    pending: Vec<u8>,
    /// How far `pending` was searched for a newline.
    searched: usize,
    /// Whether the rest of the line is thrown away.
    skips: bool,
}

impl Lines {
    pub(crate) fn new(file: File) -> Self {
        Self { file, read: 0, pending: Vec::new(), searched: 0, skips: false }
    }

    /// The next line, or why there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn next(&mut self) -> std::io::Result<Next> {
        if let Some(next) = self.take_line() {
            return Ok(next);
        }
        let length = self.file.metadata()?.len();
        if length < self.read {
            return Ok(Next::Shrunk);
        }
        if length == self.read {
            return Ok(Next::End);
        }
        let start = self.pending.len();
        self.pending.resize(start + PIECE, 0);
        let found = loop {
            match self.file.read(&mut self.pending[start..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.pending.truncate(start + *found.as_ref().unwrap_or(&0));
        self.read += found? as u64;
        Ok(self.take_line().unwrap_or(Next::More))
    }

    fn take_line(&mut self) -> Option<Next> {
        let newline = self.pending[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(newline) = newline.map(|at| self.searched + at) else {
            self.searched = self.pending.len();
            if self.skips || self.pending.len() > LONGEST_LINE {
                self.skips = true;
                self.pending = Vec::new();
                self.searched = 0;
            }
            return None;
        };
        let rest = self.pending.split_off(newline + 1);
        let line = std::mem::replace(&mut self.pending, rest);
        self.searched = 0;
        if std::mem::take(&mut self.skips) || line.len() > LONGEST_LINE {
            return Some(Next::TooLong);
        }
        Some(Next::Line(line))
    }

    /// What follows the last newline; a line that lacks its newline, or the beginning of one.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.pending
    }

    /// Whether the last line so far is longer than any that is read.
    pub(crate) fn is_skipping(&self) -> bool {
        self.skips
    }

    /// Bytes that were read.
    pub(crate) fn position(&self) -> u64 {
        self.read
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Begins again.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn rewind(&mut self) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        (self.read, self.searched, self.skips) = (0, 0, false);
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn all(lines: &mut Lines) -> Vec<Next> {
        let mut found = Vec::new();
        loop {
            match lines.next().unwrap() {
                Next::End => return found,
                Next::More => {}
                other => found.push(other),
            }
        }
    }

    #[test]
    fn a_file_that_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let mut file = File::create(&path).unwrap();
        let mut lines = Lines::new(File::open(&path).unwrap());
        assert_eq!(all(&mut lines), []);
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(all(&mut lines), [Next::Line(b"one\n".to_vec())]);
        assert_eq!(lines.unfinished(), b"tw");
        file.write_all(b"o\n\nthree").unwrap();
        assert_eq!(all(&mut lines), [Next::Line(b"two\n".to_vec()), Next::Line(b"\n".to_vec())]);
        assert_eq!(lines.unfinished(), b"three");
        file.set_len(2).unwrap();
        assert_eq!(lines.next().unwrap(), Next::Shrunk);
        lines.rewind().unwrap();
        assert_eq!((all(&mut lines).len(), lines.unfinished()), (0, &b"on"[..]));
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"first\n").unwrap();
        file.set_len(6 + 3 * LONGEST_LINE as u64).unwrap();
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(b"\nlast\n").unwrap();
        let mut lines = Lines::new(File::open(&path).unwrap());
        let mut most = 0;
        let mut found = Vec::new();
        loop {
            most = most.max(lines.pending.capacity());
            match lines.next().unwrap() {
                Next::End => break,
                Next::More => {}
                other => found.push(other),
            }
        }
        assert_eq!(found, [Next::Line(b"first\n".to_vec()), Next::TooLong, Next::Line(b"last\n".to_vec())]);
        assert!(most <= 2 * LONGEST_LINE + 2 * PIECE, "{most}");
    }
}
