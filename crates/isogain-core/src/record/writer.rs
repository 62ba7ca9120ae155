//! Appends lines to a run from a thread of its own, so that a slow disk does not slow the training down.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::line::{Header, Line};
use super::reader::{LONGEST_LINE, header};
use super::{RECIPE_FILE, RUN_FILE, RecordError};

/// Lines that may wait for the disk; the next one blocks until there is room, so nothing is dropped.
const WAITING_LINES: usize = 64;

/// Appends lines to a run. Dropping it writes what waits; [`Writer::finish`] also reports whether that worked.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    messages: Option<SyncSender<Message>>,
    thread: Option<JoinHandle<Result<(), RecordError>>>,
    failure: Option<RecordError>,
}

/// What the writing thread is told.
enum Message {
    /// A line to be appended.
    Line(Vec<u8>),
    /// To be answered once everything before it is on the disk itself.
    Sync(SyncSender<()>),
}

impl Writer {
    /// Starts a run in `folder`, which is made if it is missing: writes `run.jsonl` with its header, and `recipe.toml`
    /// unless there is one.
    ///
    /// # Errors
    /// `Io` with the path when the folder or a file cannot be written, holds a run already, or is in use by another
    /// writer.
    pub fn create(folder: &Path, header: Header) -> Result<Self, RecordError> {
        fs::create_dir_all(folder).map_err(RecordError::io("create the folder", folder))?;
        let path = folder.join(RUN_FILE);
        // Not `create_new`: a file that a full disk left empty holds nothing that could be lost.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(RecordError::io("create", &path))?;
        lock(&file, &path)?;
        if file.metadata().map_err(RecordError::io("create", &path))?.len() > 0 {
            let reason = "a run is recorded there already; resume it or choose another folder";
            return Err(RecordError::io("create", &path)(io::Error::new(ErrorKind::AlreadyExists, reason)));
        }
        write_recipe(&folder.join(RECIPE_FILE), &header.recipe)?;
        let bytes = bytes(&Line::Header(Box::new(header)), &path)?;
        if let Err(error) = file.write_all(&bytes) {
            // A header cut short would be in the way of the next attempt; if this fails too, that attempt says so.
            file.set_len(0).ok();
            return Err(RecordError::io("write to", &path)(error));
        }
        Self::start(file, path)
    }

    /// Goes on with the run in `folder`. A last line that a crash cut short is removed first.
    ///
    /// # Errors
    /// `Io` with the path when the file cannot be written or is in use by another writer; `Format` when its first line
    /// is no header this version can read.
    pub fn append(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join(RUN_FILE);
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(RecordError::io("open", &path))?;
        lock(&file, &path)?;
        header(&path)?;
        repair(&mut file).map_err(RecordError::io("repair", &path))?;
        Self::start(file, path)
    }

    /// Hands a line to the writing thread.
    ///
    /// # Errors
    /// The first failure of that thread (disk full ...), which may concern an earlier line; nothing is written after it.
    pub fn write(&mut self, line: &Line) -> Result<(), RecordError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let bytes = bytes(line, &self.path)?;
        match &self.messages {
            Some(messages) if messages.send(Message::Line(bytes)).is_ok() => Ok(()),
            // The thread hung up, so it has failed.
            _ => self.close(),
        }
    }

    /// Waits until every line so far is on the disk itself, so that what is saved elsewhere is never ahead of the record.
    ///
    /// # Errors
    /// The first failure since the run was opened.
    pub fn sync(&mut self) -> Result<(), RecordError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let (done, answer) = sync_channel(1);
        let sent = self.messages.as_ref().is_some_and(|messages| messages.send(Message::Sync(done)).is_ok());
        // No answer: the thread hung up, so it has failed.
        if sent && answer.recv().is_ok() { Ok(()) } else { self.close() }
    }

    /// Waits until every line is on the disk itself.
    ///
    /// # Errors
    /// The first failure since the run was opened.
    pub fn finish(mut self) -> Result<(), RecordError> {
        self.close()
    }

    fn start(file: File, path: PathBuf) -> Result<Self, RecordError> {
        let (sender, receiver) = sync_channel(WAITING_LINES);
        let of_thread = path.clone();
        let thread = thread::Builder::new()
            .name("isogain-record".into())
            .spawn(move || drain(file, &of_thread, &receiver))
            .map_err(RecordError::io("start the thread that writes", &path))?;
        Ok(Self { path, messages: Some(sender), thread: Some(thread), failure: None })
    }

    fn close(&mut self) -> Result<(), RecordError> {
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join().unwrap_or_else(|_| {
                Err(RecordError::io("write to", &self.path)(io::Error::other("the writing thread panicked")))
            });
            self.failure = ended.err();
        }
        self.failure.clone().map_or(Ok(()), Err)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Who wants to know whether it worked calls `finish`.
        self.close().ok();
    }
}

/// The writing thread: one `write_all` for each line, so that a crash can cut short only the last one.
fn drain(mut file: File, path: &Path, messages: &Receiver<Message>) -> Result<(), RecordError> {
    for message in messages {
        match message {
            Message::Line(line) => {
                file.write_all(&line).and_then(|()| file.flush()).map_err(RecordError::io("write to", path))?;
            }
            Message::Sync(done) => {
                to_disk(&file, path)?;
                // Who asked waits for the answer, or is gone.
                done.send(()).ok();
            }
        }
    }
    to_disk(&file, path)
}

fn to_disk(file: &File, path: &Path) -> Result<(), RecordError> {
    match file.sync_all() {
        // Pipes and some network file systems have no such operation.
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Err(RecordError::io("write to", path)(error))
        }
        _ => Ok(()),
    }
}

fn bytes(line: &Line, path: &Path) -> Result<Vec<u8>, RecordError> {
    line.to_bytes().map_err(|error| RecordError::io("write to", path)(error.into()))
}

fn write_recipe(path: &Path, recipe: &str) -> Result<(), RecordError> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(recipe.as_bytes()).map_err(RecordError::io("write to", path)),
        // Possibly the user's own, with comments; the header holds what was run.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(RecordError::io("create", path)(error)),
    }
}

/// Keeps a second writer out as long as `file` is open. Not on Windows, where a lock would keep readers out as well.
fn lock(file: &File, path: &Path) -> Result<(), RecordError> {
    if cfg!(windows) {
        return Ok(());
    }
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let reason = "another process is writing to this run";
            Err(RecordError::io("open", path)(io::Error::new(ErrorKind::ResourceBusy, reason)))
        }
        // Some network file systems have no locks; the run is still worth recording there.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Leaves the position at the end of the last whole line, with nothing after it. A line that lacks only its newline
/// gets it; anything else that lacks one is cut off.
fn repair(file: &mut File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    let start = after_last_newline(file, length)?;
    if start < length {
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(LONGEST_LINE).read_to_end(&mut tail)?;
        if Line::parse(&tail).is_ok() {
            file.seek(SeekFrom::End(0))?;
            return file.write_all(b"\n");
        }
        file.set_len(start)?;
    }
    file.seek(SeekFrom::Start(start)).map(drop)
}

/// Position after the last newline; 0 without one.
fn after_last_newline(file: &mut File, length: u64) -> io::Result<u64> {
    const BLOCK: u64 = 64 * 1024;
    let mut block = Vec::new();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        block.clear();
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
