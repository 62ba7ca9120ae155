//! Reads a run, whole or while it grows. A truncated last line is the normal end of a run that was killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::rules::Finding;

use super::line::{Header, Line, TrialRecord};
use super::{Healed, Outcome, RUN_FILE, RecordError, StepRecord};

/// Longest line that is read, bytes; a longer one is no line of a run.
pub const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// A run as its lines tell it. What a resumed run left behind is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What was run.
    pub header: Header,
    /// The steps that were written, by step.
    pub steps: Vec<StepRecord>,
    /// What is wrong, in the order it was found.
    pub findings: Vec<Finding>,
    /// The trainings of a search, in the order they ended.
    pub trials: Vec<TrialRecord>,
    /// How the run ended; `None` while it runs or when it was stopped.
    pub outcome: Option<Outcome>,
    /// Notes, in order.
    pub notes: Vec<String>,
    /// What was done about findings while the run went on, in order.
    pub healed: Vec<Healed>,
    /// The steps at which the run was resumed, in order.
    pub resumed: Vec<u64>,
    /// Whether the file ends in the middle of a line.
    pub truncated: bool,
}

impl Run {
    /// A run of which nothing but the header is known yet.
    pub fn new(header: Header) -> Self {
        Self {
            header,
            steps: Vec::new(),
            findings: Vec::new(),
            trials: Vec::new(),
            outcome: None,
            notes: Vec::new(),
            healed: Vec::new(),
            resumed: Vec::new(),
            truncated: false,
        }
    }

    /// Takes in the next line; `line` is not a header.
    pub fn absorb(&mut self, line: Line) {
        match line {
            Line::Header(header) => self.header = *header,
            // Nearly always at the end; the flight recorder's steps come after a later one at times.
            Line::Step(step) => {
                let at = self.steps.partition_point(|earlier| earlier.step <= step.step);
                self.steps.insert(at, *step);
            }
            Line::Finding(finding) => self.findings.push(finding),
            Line::Trial(trial) => self.trials.push(trial),
            Line::Outcome(outcome) => self.outcome = Some(outcome),
            Line::Note(note) => self.notes.push(note.text),
            Line::Healed(healed) => self.healed.push(*healed),
            Line::Resumed(resumed) => {
                self.steps.retain(|step| step.step < resumed.step);
                self.findings.retain(|finding| finding.step < resumed.step);
                self.outcome = None;
                self.resumed.push(resumed.step);
            }
        }
    }
}

/// Reads the run in a folder, or in a file of its own.
///
/// # Errors
/// `Io` when there is no such file or it cannot be read; `Format` with file and line when it is not a run, when it was
/// written by a newer version, or when a line other than the last is damaged.
pub fn read(path: &Path) -> Result<Run, RecordError> {
    let mut reader = Reader::open(path)?;
    let mut run: Option<Run> = None;
    let mut absorb = |line| match (&mut run, line) {
        (Some(run), line) => run.absorb(line),
        (None, Line::Header(header)) => run = Some(Run::new(*header)),
        // `Reader` lets nothing through before a header.
        (None, _) => {}
    };
    while let Some(line) = reader.next_line()? {
        absorb(line);
    }
    let mut truncated = false;
    match reader.unfinished()? {
        Unfinished::Nothing => {}
        Unfinished::Whole(line) => absorb(line),
        Unfinished::Cut(_) if run.is_some() => truncated = true,
        Unfinished::Cut(error) => return Err(error),
    }
    match run {
        Some(run) => Ok(Run { truncated, ..run }),
        None => Err(reader.error("the file is empty: a run starts with a header line".into())),
    }
}

/// Reads the header alone.
///
/// # Errors
/// Those of [`read`].
pub(super) fn header(path: &Path) -> Result<Header, RecordError> {
    let mut reader = Reader::open(path)?;
    let first = match reader.next_line()? {
        Some(line) => Some(line),
        None => match reader.unfinished()? {
            Unfinished::Whole(line) => Some(line),
            Unfinished::Cut(error) => return Err(error),
            Unfinished::Nothing => None,
        },
    };
    match first {
        Some(Line::Header(header)) => Ok(*header),
        _ => Err(reader.error("the file is empty: a run starts with a header line".into())),
    }
}

/// Reads a run line by line, also while it is being written.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    /// End of the last whole line. What follows is read again each time, since a resumed run may have cut it off.
    offset: u64,
    lines: u64,
    headed: bool,
}

/// What follows the last newline.
enum Unfinished {
    Nothing,
    /// A line that lacks nothing but its newline.
    Whole(Line),
    /// The beginning of a line, and what is wrong with it.
    Cut(RecordError),
}

impl Reader {
    /// Opens the run in a folder, or in a file of its own.
    ///
    /// # Errors
    /// `Io` when it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        let path = if path.is_dir() { path.join(RUN_FILE) } else { path.into() };
        let file = File::open(&path).map_err(RecordError::io("open", &path))?;
        Ok(Self { path, file: BufReader::new(file), offset: 0, lines: 0, headed: false })
    }

    /// The whole lines that were added since the last call; empty when there are none.
    ///
    /// # Errors
    /// Those of [`read`], except that a file without a header is taken for one that is not written yet. The lines
    /// before a damaged one are returned first, and every later call reports it.
    pub fn poll(&mut self) -> Result<Vec<Line>, RecordError> {
        let mut lines = Vec::new();
        loop {
            match self.next_line() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => return Ok(lines),
                Err(error) if lines.is_empty() => return Err(error),
                Err(_) => return Ok(lines),
            }
        }
    }

    /// The next whole line; `None` at the end of the file, which may grow later.
    ///
    /// # Errors
    /// Those of [`Reader::poll`].
    pub fn next_line(&mut self) -> Result<Option<Line>, RecordError> {
        loop {
            let bytes = self.bytes_to_newline()?;
            if bytes.last() != Some(&b'\n') {
                self.rewind()?;
                return Ok(None);
            }
            let parsed = if bytes.trim_ascii().is_empty() { Ok(None) } else { self.parse(&bytes).map(Some) };
            match parsed {
                Ok(line) => {
                    self.offset += bytes.len() as u64;
                    self.lines += 1;
                    if line.is_some() {
                        self.headed = true;
                        return Ok(line);
                    }
                }
                Err(error) => {
                    self.rewind()?;
                    return Err(error);
                }
            }
        }
    }

    fn unfinished(&mut self) -> Result<Unfinished, RecordError> {
        let bytes = self.bytes_to_newline()?;
        self.rewind()?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Unfinished::Nothing);
        }
        Ok(self.parse(&bytes).map_or_else(Unfinished::Cut, Unfinished::Whole))
    }

    fn bytes_to_newline(&mut self) -> Result<Vec<u8>, RecordError> {
        let mut bytes = Vec::new();
        let limited = &mut self.file.by_ref().take(LONGEST_LINE + 1);
        limited.read_until(b'\n', &mut bytes).map_err(RecordError::io("read", &self.path))?;
        if bytes.len() as u64 > LONGEST_LINE {
            self.rewind()?;
            let mebibytes = LONGEST_LINE >> 20;
            return Err(self.error(format!("longer than {mebibytes} MiB, which no line of a run is")));
        }
        Ok(bytes)
    }

    /// Back to the end of the last whole line, and forgets what was read beyond it.
    fn rewind(&mut self) -> Result<(), RecordError> {
        let length = self.file.get_ref().metadata().map_err(RecordError::io("read", &self.path))?.len();
        if length < self.offset {
            return Err(self.error("the file got shorter while it was read; read it again from the start".into()));
        }
        self.file.seek(SeekFrom::Start(self.offset)).map_err(RecordError::io("read", &self.path)).map(drop)
    }

    fn parse(&self, bytes: &[u8]) -> Result<Line, RecordError> {
        match (Line::parse(bytes).map_err(|message| self.error(message))?, self.headed) {
            (Line::Header(_), true) => Err(self.error("a second header; a run has one, in its first line".into())),
            (line @ Line::Header(_), false) | (line, true) => Ok(line),
            (_, false) => Err(self.error("a run starts with a header line".into())),
        }
    }

    /// Concerns the line after the last whole one.
    fn error(&self, message: String) -> RecordError {
        RecordError::Format { path: self.path.clone(), line: self.lines + 1, message }
    }
}

#[cfg(test)]
mod tests;
