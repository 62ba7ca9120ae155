//! The list of runs: of each record the first line and the last ones, read again when the file has changed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::time::{Duration, SystemTime};

use isogain_core::record::Line;
use isogain_report::{Listed, Part, list_parts};

use crate::found::{self, Found, Root};

/// Longest first line that is read for the list.
const LONGEST_HEADER: u64 = 4 << 20;
/// How much of the end is read.
const TAIL: u64 = 4 << 20;
/// A record that was written so recently is still written.
const RECENT: Duration = Duration::from_secs(60);

/// What was read of the records.
#[derive(Debug, Default)]
pub(crate) struct Lister {
    known: HashMap<String, (u64, Option<SystemTime>, Listed)>,
}

impl Lister {
    /// The parts of the page, as the folders are now.
    pub(crate) fn parts(&mut self, roots: &[Root]) -> Vec<Part> {
        let (runs, more) = found::runs(roots);
        self.known.retain(|id, _| runs.iter().any(|run| run.id == *id));
        let listed: Vec<Listed> = runs.iter().filter_map(|run| self.listed(run)).collect();
        let folders: Vec<&str> = roots.iter().map(|root| root.name.as_str()).collect();
        list_parts(&listed, &folders.join(", "), more)
    }

    fn listed(&mut self, run: &Found) -> Option<Listed> {
        let data = run.record.symlink_metadata().ok()?;
        let (length, written) = (data.len(), data.modified().ok());
        let is_recent = written.and_then(|written| written.elapsed().ok()).is_some_and(|age| age < RECENT);
        let told = match self.known.get(&run.id) {
            Some((known, at, listed)) if (*known, *at) == (length, written) => listed.clone(),
            _ => {
                let listed = read(run, length);
                self.known.insert(run.id.clone(), (length, written, listed.clone()));
                listed
            }
        };
        let state = match (told.state.as_str(), is_recent) {
            ("", true) => "running".to_owned(),
            ("", false) => "stopped, or nothing was written for a minute".to_owned(),
            (state, _) => state.to_owned(),
        };
        Some(Listed { state, ..told })
    }
}

/// What a record says in its first and last lines; the state is empty where it has not ended.
fn read(run: &Found, length: u64) -> Listed {
    let mut listed = Listed {
        id: run.id.clone(),
        name: run.name.clone(),
        data: String::new(),
        last_step: None,
        last_loss: None,
        state: String::new(),
        bytes: length,
    };
    let Some(mut file) = found::open(&run.record) else {
        listed.state = "gone".into();
        return listed;
    };
    let mut first = Vec::new();
    let header = BufReader::new(&mut file).take(LONGEST_HEADER).read_until(b'\n', &mut first);
    match header.ok().map(|_| Line::parse(&first)) {
        Some(Ok(Line::Header(header))) => listed.data = header.data.source,
        _ if length == 0 => listed.state = "nothing is written yet".into(),
        _ => listed.state = "no record of a run, or a damaged one".into(),
    }
    for line in tail(&mut file, length).unwrap_or_default().rsplit(|byte| *byte == b'\n') {
        match Line::parse(line) {
            Ok(Line::Outcome(outcome)) => {
                listed.state = "ended".into();
                listed.last_step = Some(outcome.steps.saturating_sub(1));
                listed.last_loss = outcome.losses.last().copied().flatten().or(outcome.loss);
                break;
            }
            Ok(Line::Step(step)) => {
                listed.last_step = Some(step.step);
                listed.last_loss = Some(step.loss).filter(|loss| loss.is_finite());
                break;
            }
            _ => {}
        }
    }
    listed
}

fn tail(file: &mut File, length: u64) -> std::io::Result<Vec<u8>> {
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}
