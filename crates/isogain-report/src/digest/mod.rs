//! A recorded run, brought to the size of a page while it is read: whatever its length, the memory stays bounded and the
//! steps themselves are not kept.

mod column;
mod course;
mod flight;
mod level;
mod ridges;
mod rows;
mod words;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use isogain_core::flow::{Flow, Head};
use isogain_core::record::line::{Header, Note};
use isogain_core::record::{HistogramRecord, Line, Run, Snapshot, StepRecord};

pub(crate) use column::Column;
pub(crate) use course::Point;
pub(crate) use flight::Flight;
pub(crate) use level::Level;
pub(crate) use ridges::{Ridge, Ridges};

use course::Course;
use rows::Rows;

/// Columns of a map: more recorded steps share them.
const MOST_COLUMNS: usize = 400;
/// Operations with a row; of more, evenly spaced ones.
const MOST_JOINTS: usize = 2048;
/// Parameters with a row.
const MOST_PARAMETERS: usize = 4096;
/// Findings, notes, trials and repairs that are kept.
const MOST_WORDS: usize = 500;

/// Histograms of one step, two kilobytes each.
const MOST_HISTOGRAMS: usize = 4096;

/// Orders of magnitude at one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histograms {
    /// The step.
    pub(crate) step: u64,
    /// By tensor, in the order of the record.
    pub(crate) of: Vec<HistogramRecord>,
}

/// A run as the page shows it.
#[derive(Clone, Debug)]
pub struct Digest {
    /// Everything but the steps, of which the first and the last are kept without what was measured.
    run: Run,
    joints: Rows,
    parameters: Rows,
    columns: Vec<Arc<Column>>,
    /// Recorded steps that share a column.
    stride: u64,
    /// Recorded steps since the start of the last column.
    in_last: u64,
    recorded: u64,
    losses: Course,
    /// What the first step of the training says of the network as it was built.
    start: Option<Arc<Snapshot>>,
    first_snapshot: Option<Arc<Snapshot>>,
    last_snapshot: Option<Arc<Snapshot>>,
    first_histograms: Arc<Histograms>,
    last_histograms: Arc<Histograms>,
    ridges: Ridges,
    /// The phase diagram, once it is drawn.
    phase: OnceLock<Option<String>>,
    recent: VecDeque<Arc<Column>>,
    flight: Option<Flight>,
    words_left_out: usize,
}

impl Digest {
    /// Of a run of which nothing but the header is known yet.
    pub fn new(mut header: Header) -> Self {
        words::cut_recipe(&mut header.recipe);
        Self {
            run: Run::new(header),
            joints: Rows::new(MOST_JOINTS),
            parameters: Rows::new(MOST_PARAMETERS),
            columns: Vec::new(),
            stride: 1,
            in_last: 0,
            recorded: 0,
            losses: Course::default(),
            start: None,
            first_snapshot: None,
            last_snapshot: None,
            first_histograms: Arc::default(),
            last_histograms: Arc::default(),
            ridges: Ridges::default(),
            phase: OnceLock::new(),
            recent: VecDeque::new(),
            flight: None,
            words_left_out: 0,
        }
    }

    /// Of a run that was read whole.
    pub fn of(run: &Run) -> Self {
        let mut digest = Self::new(run.header.clone());
        run.steps.iter().for_each(|step| digest.step(step));
        run.findings.iter().for_each(|finding| digest.absorb(Line::Finding(finding.clone())));
        run.trials.iter().for_each(|trial| digest.absorb(Line::Trial(trial.clone())));
        run.notes.iter().for_each(|text| digest.absorb(Line::Note(Note { text: text.clone() })));
        run.healed.iter().for_each(|healed| digest.absorb(Line::Healed(Box::new(healed.clone()))));
        digest.run.resumed = run.resumed.clone();
        digest.run.truncated = run.truncated;
        if let Some(outcome) = run.outcome.clone() {
            digest.absorb(Line::Outcome(outcome));
        }
        digest
    }

    /// Takes in the next line; `line` is not a header.
    pub fn absorb(&mut self, line: Line) {
        match line {
            Line::Step(step) => self.step(&step),
            Line::Outcome(mut outcome) => {
                // Every step has its loss here; the lines had some of them.
                let losses = std::mem::take(&mut outcome.losses);
                if !losses.is_empty() {
                    self.losses = Course::default();
                    let steps = (0..).zip(&losses);
                    steps.for_each(|(step, loss)| self.losses.add(step, loss.unwrap_or(f64::NAN)));
                }
                self.run.absorb(Line::Outcome(outcome));
            }
            Line::Resumed(resumed) => {
                let step = resumed.step;
                self.columns.retain(|column| column.step < step);
                self.recent.retain(|column| column.step < step);
                self.losses.cut(step);
                if self.flight.as_ref().is_some_and(|flight| flight.step() >= step) {
                    self.flight = None;
                }
                self.ridges.cut(step);
                for histograms in [&mut self.first_histograms, &mut self.last_histograms] {
                    if histograms.step >= step {
                        *histograms = Arc::default();
                    }
                }
                for snapshot in [&mut self.first_snapshot, &mut self.last_snapshot] {
                    if snapshot.as_ref().is_some_and(|snapshot| snapshot.step >= step) {
                        *snapshot = None;
                    }
                }
                self.run.absorb(line);
                // The last step is told from what is left.
                if let Some(point) = self.losses.points().last().copied() {
                    self.stand(point.step, point.loss, 0.0);
                }
            }
            Line::Header(_) => {}
            Line::Finding(_) if self.run.findings.len() >= MOST_WORDS => self.words_left_out += 1,
            Line::Trial(_) if self.run.trials.len() >= MOST_WORDS => self.words_left_out += 1,
            Line::Note(_) if self.run.notes.len() >= MOST_WORDS => self.words_left_out += 1,
            Line::Finding(mut finding) => {
                words::bound(&mut finding);
                self.run.absorb(Line::Finding(finding));
            }
            Line::Note(mut note) => {
                words::cut(&mut note.text);
                self.run.absorb(Line::Note(note));
            }
            Line::Trial(_) => self.run.absorb(line),
            Line::Healed(_) if self.run.healed.len() >= MOST_WORDS => self.words_left_out += 1,
            Line::Healed(mut healed) => {
                words::bound_healed(&mut healed);
                self.run.absorb(Line::Healed(healed));
            }
        }
    }

    fn step(&mut self, record: &StepRecord) {
        self.recorded += 1;
        self.losses.add(record.step, record.loss);
        self.stand(record.step, record.loss, record.learning_rate);
        if record.step == 0 && self.start.is_none() {
            self.start = Some(Arc::new(start(record)));
        }
        if let Some(snapshot) = &record.snapshot {
            let snapshot = Arc::new(snapshot.clone());
            self.first_snapshot.get_or_insert_with(|| Arc::clone(&snapshot));
            self.last_snapshot = Some(snapshot);
        }
        if !record.histograms.is_empty() {
            self.ridges.add(record.step, &record.histograms);
            let kept = record.histograms.iter().take(MOST_HISTOGRAMS).cloned().collect();
            self.last_histograms = Arc::new(Histograms { step: record.step, of: kept });
            if self.first_histograms.of.is_empty() {
                self.first_histograms = Arc::clone(&self.last_histograms);
            }
        }
        let column = Arc::new(Column::of(record, &mut self.joints, &mut self.parameters));
        Flight::watch(&mut self.flight, &mut self.recent, &column, record);
        let at = self.columns.partition_point(|earlier| earlier.step <= column.step);
        if at < self.columns.len() {
            // The flight recorder's steps come after a later one at times.
            self.columns.insert(at, column);
        } else if self.in_last > 0 && self.in_last < self.stride {
            if let Some(last) = self.columns.last_mut() {
                Arc::make_mut(last).join(&column);
            }
            self.in_last += 1;
        } else {
            self.columns.push(column);
            self.in_last = 1;
        }
        if self.columns.len() > MOST_COLUMNS {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let pairs = std::mem::take(&mut self.columns);
        let mut pairs = pairs.into_iter();
        while let Some(mut first) = pairs.next() {
            match pairs.next() {
                Some(second) => {
                    Arc::make_mut(&mut first).join(&second);
                    self.in_last = 2 * self.stride;
                }
                None => self.in_last = self.in_last.min(self.stride),
            }
            self.columns.push(first);
        }
        self.stride *= 2;
    }

    /// Keeps the first and the last step as far as the run's standing is told from them.
    fn stand(&mut self, step: u64, loss: f64, learning_rate: f64) {
        let light = StepRecord {
            step,
            loss,
            learning_rate,
            joints: Vec::new(),
            parameters: Vec::new(),
            clip: None,
            scaling: None,
            histograms: Vec::new(),
            snapshot: None,
        };
        let steps = &mut self.run.steps;
        match &mut steps[..] {
            [.., last] if last.step > step => {}
            [_, last] => *last = light,
            _ => steps.push(light),
        }
    }

    /// That the file ends in the middle of a line, or does so no longer.
    pub fn set_truncated(&mut self, truncated: bool) {
        self.run.truncated = truncated;
    }

    /// Header, findings, trials, notes and outcome; of the steps the first and the last, and no list of losses.
    pub fn overview(&self) -> &Run {
        &self.run
    }

    /// The run with its losses alone, for a comparison.
    pub fn losses_alone(&self) -> Run {
        let mut run = self.run.clone();
        let light = run.steps.first().cloned();
        run.steps = self
            .losses
            .points()
            .iter()
            .filter_map(|point| Some(StepRecord { step: point.step, loss: point.loss, ..light.clone()? }))
            .collect();
        run
    }

    /// Steps that were read.
    pub fn recorded_steps(&self) -> u64 {
        self.recorded
    }

    /// What does not fit on a page, in sentences.
    pub fn left_out(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.stride > 1 {
            told.push(format!(
                "{} recorded steps share {} columns; each shows its first step, and what was not finite in any",
                self.recorded,
                self.columns.len()
            ));
        }
        for (rows, name) in [(&self.joints, "operations"), (&self.parameters, "parameters")] {
            if rows.left_out() > 0 {
                told.push(format!("{} {name} have no row of their own", rows.left_out()));
            }
        }
        if self.words_left_out > 0 {
            told.push(format!(
                "{} findings, notes, trials and repairs beyond the first {MOST_WORDS}",
                self.words_left_out
            ));
        }
        told
    }

    pub(crate) fn joints(&self) -> &[String] {
        self.joints.names()
    }

    pub(crate) fn parameters(&self) -> &[String] {
        self.parameters.names()
    }

    pub(crate) fn joint_row(&self, name: &str) -> Option<usize> {
        self.joints.place(name)
    }

    pub(crate) fn columns(&self) -> &[Arc<Column>] {
        &self.columns
    }

    pub(crate) fn losses(&self) -> Vec<Point> {
        self.losses.points()
    }

    pub(crate) fn losses_are_joined(&self) -> bool {
        self.losses.is_joined()
    }

    /// Moments of parameters and outputs before the first update; without a flow.
    pub(crate) fn start(&self) -> Option<&Snapshot> {
        self.start.as_deref()
    }

    pub(crate) fn first_snapshot(&self) -> Option<&Snapshot> {
        self.first_snapshot.as_deref()
    }

    pub(crate) fn last_snapshot(&self) -> Option<&Snapshot> {
        self.last_snapshot.as_deref()
    }

    /// The first and the last step with histograms; empty where none were recorded.
    pub(crate) fn histograms(&self) -> [&Histograms; 2] {
        [&self.first_histograms, &self.last_histograms]
    }

    /// Keeps the phase diagram, which tells of the start alone.
    pub(crate) fn phase(&self) -> &OnceLock<Option<String>> {
        &self.phase
    }

    /// Orders of magnitude by step.
    pub(crate) fn ridges(&self) -> &Ridges {
        &self.ridges
    }

    pub(crate) fn flight(&self) -> Option<&Flight> {
        self.flight.as_ref()
    }
}

/// The first step as far as it is a snapshot.
fn start(record: &StepRecord) -> Snapshot {
    let nan = f64::NAN;
    let head =
        Head { loss: record.loss, output_rms: nan, output_spread_rms: nan, cotangent_rms: nan, joints: Vec::new() };
    Snapshot {
        step: record.step,
        batch: 1,
        flow: Flow {
            total_log_gain: None,
            joints: Vec::new(),
            head,
            weights: Vec::new(),
            counterfactual: None,
            path_lengths: None,
            jacobian: None,
        },
        units: Vec::new(),
        parameters: record.parameters.clone(),
        joints: record.joints.clone(),
        sharpness: None,
        shattering: None,
        broken_laws: Vec::new(),
    }
}
