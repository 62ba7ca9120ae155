//! Follows one record while it is written: reads what is new, forgets the steps once they are taken in, and tells what it
//! had to leave out.

use std::path::Path;
use std::time::{Duration, Instant};

use isogain_core::record::Line;
use isogain_report::{Digest, Part, empty_parts, run_parts};

use crate::found;
use crate::lines::{LONGEST_LINE, Lines, Next};

/// Damaged lines that are told one by one.
const MOST_TOLD: usize = 5;

/// One record, as far as it was read.
#[derive(Debug)]
pub(crate) struct Follower {
    lines: Option<Lines>,
    digest: Option<Digest>,
    /// Lines so far, for what is said of damaged ones.
    number: u64,
    damaged: u64,
    told: Vec<String>,
    restarts: u64,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// To the end; whether anything was new.
    End(bool),
    /// Not yet to the end.
    More,
}

impl Follower {
    pub(crate) fn new() -> Self {
        Self { lines: None, digest: None, number: 0, damaged: 0, told: Vec::new(), restarts: 0 }
    }

    /// Reads on for about that long.
    pub(crate) fn read(&mut self, record: &Path, budget: Duration) -> Came {
        let start = Instant::now();
        let mut is_new = false;
        // A file that was replaced is another run.
        if self.lines.as_ref().is_some_and(|lines| !found::same(lines.file(), record)) {
            self.restart();
            self.lines = None;
            is_new = true;
        }
        if self.lines.is_none() {
            self.lines = found::open(record).map(Lines::new);
        }
        loop {
            let Some(lines) = &mut self.lines else { return Came::End(is_new) };
            match lines.next() {
                Ok(Next::Line(line)) => self.take(&line),
                Ok(Next::TooLong) => {
                    self.number += 1;
                    self.tell(format!("longer than {} MiB", LONGEST_LINE >> 20));
                }
                Ok(Next::End) => {
                    let is_cut = lines.is_skipping() || !lines.unfinished().trim_ascii().is_empty();
                    if let Some(digest) = &mut self.digest {
                        digest.set_truncated(is_cut);
                    }
                    return Came::End(is_new);
                }
                Ok(Next::More) => {}
                Ok(Next::Shrunk) => {
                    if lines.rewind().is_err() {
                        self.lines = None;
                    }
                    self.restart();
                }
                Err(error) => {
                    let message = format!("reading stopped: {error}");
                    if !self.told.contains(&message) {
                        self.told.push(message);
                        is_new = true;
                    }
                    return Came::End(is_new);
                }
            }
            is_new = true;
            if start.elapsed() > budget {
                return Came::More;
            }
        }
    }

    fn restart(&mut self) {
        *self = Self { lines: self.lines.take(), restarts: self.restarts + 1, ..Self::new() };
    }

    fn take(&mut self, line: &[u8]) {
        self.number += 1;
        if line.trim_ascii().is_empty() {
            return;
        }
        match (Line::parse(line), &mut self.digest) {
            (Ok(Line::Header(header)), None) => self.digest = Some(Digest::new(*header)),
            (Ok(Line::Header(_)), Some(_)) => self.tell("a second header; a run has one, in its first line".to_owned()),
            (Ok(line), Some(digest)) => digest.absorb(line),
            (Ok(_), None) => self.tell("a run starts with a header line".to_owned()),
            (Err(message), _) => self.tell(message),
        }
    }

    fn tell(&mut self, message: String) {
        self.damaged += 1;
        if self.told.len() < MOST_TOLD {
            let message: String = message.chars().take(300).collect();
            self.told.push(format!("line {}: {message}", self.number));
        }
    }

    /// What was not taken in, in sentences.
    pub(crate) fn left_out(&self) -> Vec<String> {
        let mut told = self.told.clone();
        let more = self.damaged.saturating_sub(MOST_TOLD as u64);
        if more > 0 {
            told.push(format!("{more} more lines that cannot be read"));
        }
        if self.lines.as_ref().is_some_and(Lines::is_skipping) {
            told.push(format!(
                "line {}, which has no end yet and is longer than {} MiB",
                self.number + 1,
                LONGEST_LINE >> 20
            ));
        }
        if self.restarts > 0 {
            told.push(format!("what the file held before it was written anew ({} times)", self.restarts));
        }
        told
    }

    /// What is known of the run.
    pub(crate) fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The page's parts.
    pub(crate) fn parts(&self, name: &str) -> Vec<Part> {
        match (&self.digest, &self.lines) {
            (Some(digest), _) => run_parts(digest, name, &self.left_out()),
            (None, None) => {
                empty_parts(name, "there is no record here yet; this page shows it as soon as there is one", &[])
            }
            (None, Some(_)) if self.damaged > 0 => {
                empty_parts(name, "this is no record of a run, or a damaged one", &self.left_out())
            }
            (None, Some(_)) => empty_parts(name, "nothing is written yet", &self.left_out()),
        }
    }

    /// How far it is, in a few words.
    pub(crate) fn state(&self, came: Came) -> String {
        let steps = self.digest.as_ref().map_or(0, Digest::recorded_steps);
        let Some(lines) = &self.lines else { return "waiting for the record".to_owned() };
        let length = lines.file().metadata().map_or(0, |data| data.len());
        let percent = 100.0 * lines.position() as f64 / length.max(1) as f64;
        match came {
            Came::More => format!("reading: {percent:.0} % of {:.0} MB, {steps} recorded steps", length as f64 / 1e6),
            Came::End(_) => format!("live; {steps} recorded steps read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = include_str!("../../isogain-report/tests/runs/hostile.jsonl");

    fn read(follower: &mut Follower, path: &Path) {
        while follower.read(path, Duration::from_secs(5)) == Came::More {}
    }

    fn page(follower: &Follower) -> String {
        follower.parts("runs/x").iter().map(|part| part.html.as_str()).collect()
    }

    #[test]
    fn a_record_is_followed_from_before_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let mut follower = Follower::new();
        read(&mut follower, &path);
        assert!(page(&follower).contains("no record here yet"));
        let first_line = RUN.lines().next().unwrap();
        std::fs::write(&path, &first_line[..40]).unwrap();
        read(&mut follower, &path);
        assert!(page(&follower).contains("Nothing is written yet"));
        let count = RUN.lines().count();
        let cut = &RUN[..RUN.len() - 20];
        std::fs::write(&path, cut).unwrap();
        read(&mut follower, &path);
        let before = follower.digest().unwrap().recorded_steps();
        assert!(follower.digest().unwrap().overview().truncated && before > 0 && count > 3);
        std::fs::write(&path, RUN).unwrap();
        read(&mut follower, &path);
        assert!(!follower.digest().unwrap().overview().truncated);
        // Replaced by another file it is another run.
        std::fs::write(folder.path().join("other"), format!("{first_line}\n")).unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        read(&mut follower, &path);
        assert_eq!(follower.digest().unwrap().recorded_steps(), 0);
    }

    #[test]
    fn damaged_lines_are_told_and_the_rest_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let mut lines: Vec<&str> = RUN.lines().collect();
        lines.insert(1, "{\"line\":\"step\",\"step\":<script>}");
        lines.insert(2, lines[0]);
        lines.insert(3, "\u{0}\u{0}\u{0}");
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let mut follower = Follower::new();
        read(&mut follower, &path);
        assert_eq!(follower.digest().unwrap().recorded_steps(), 4);
        let page = page(&follower);
        assert!(page.contains("line 2: ") && page.contains("line 3: a second header") && page.contains("line 4: "));
        assert!(!page.contains("<script>"));
    }
}
