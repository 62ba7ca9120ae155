//! The course of the loss: what training costs now, against what it cost at first and what knowing nothing costs.

use crate::record::StepRecord;

/// Losses that make up the start.
const FIRST: usize = 8;
/// Losses that are kept; a rule about the course sees no more of it.
const MOST: usize = 1024;
/// Where the loss of knowing nothing is unknown, this many times the largest of the first losses takes its place: a
/// loss of unknown kind must rise a good deal before it counts as running away.
const UNKNOWN: f64 = 3.0;
/// Part of the loss of knowing nothing below which a network has learned.
const LEARNED: f64 = 0.5;

/// The losses so far.
#[derive(Debug)]
pub(super) struct Losses {
    known: bool,
    given: Option<f64>,
    first: Vec<f64>,
    recent: Vec<(u64, f64)>,
    lowest: f64,
}

impl Losses {
    /// `known` says whether losses will come; `given` is the loss of knowing nothing.
    pub(super) fn new(known: bool, given: Option<f64>) -> Self {
        Self { known, given, first: Vec::new(), recent: Vec::new(), lowest: f64::INFINITY }
    }

    pub(super) fn push(&mut self, step: u64, loss: f64) {
        self.known = true;
        if self.first.len() < FIRST && loss.is_finite() {
            self.first.push(loss);
        }
        if self.recent.last().is_some_and(|(last, _)| *last == step) {
            self.recent.pop();
        }
        if self.recent.len() >= MOST {
            self.recent.drain(..MOST / 2);
        }
        self.recent.push((step, loss));
        if loss < self.lowest {
            self.lowest = loss;
        }
    }

    /// The loss of knowing nothing, as given or as good as it can be told.
    pub(super) fn baseline(&self) -> f64 {
        let first = self.first.iter().map(|loss| loss.abs()).fold(0.0, f64::max);
        self.given.unwrap_or(UNKNOWN * first)
    }

    /// The last loss; where none is known, a number that says nothing.
    pub(super) fn last(&self) -> f64 {
        self.recent.last().map_or_else(|| self.filler(), |(_, loss)| *loss)
    }

    pub(super) fn last_step(&self) -> Option<u64> {
        self.recent.last().map(|(step, _)| *step)
    }

    /// A loss that says nothing, for steps at which none is known.
    pub(super) fn filler(&self) -> f64 {
        if self.lowest.is_finite() { self.lowest } else { 0.0 }
    }

    /// Whether the loss fell well below where it began; `None` where it is unknown.
    pub(super) fn learned(&self) -> Option<bool> {
        let begin = self.given.or_else(|| self.first.first().copied()).filter(|begin| *begin > 0.0)?;
        (!self.recent.is_empty()).then(|| self.last() < LEARNED * begin)
    }

    /// The first loss over the loss of knowing nothing, where that was given.
    pub(super) fn first_over_baseline(&self) -> Option<f64> {
        Some(self.first.first()? / self.given?)
    }

    /// Whether the last loss is not finite.
    pub(super) fn ended(&self) -> bool {
        self.known && !self.recent.is_empty() && !self.last().is_finite()
    }

    /// Whether the loss is above what it had reached, by a loss of knowing nothing, now. A finite rise before it ends
    /// in NaN counts; a loss that was well until its first NaN does not: then that value is the finding.
    pub(super) fn runs_away(&self) -> bool {
        let Some(last) = self.recent.iter().rev().map(|(_, loss)| *loss).find(|loss| loss.is_finite()) else {
            return false;
        };
        let rise = last - self.lowest;
        rise > self.baseline() || (last < 0.0 && -last > 10.0 * self.baseline() && self.baseline() > 0.0)
    }

    /// As records that hold nothing else.
    pub(super) fn records(&self) -> Vec<StepRecord> {
        let record = |&(step, loss): &(u64, f64)| StepRecord {
            step,
            loss,
            learning_rate: f64::NAN,
            joints: Vec::new(),
            parameters: Vec::new(),
            clip: None,
            scaling: None,
            snapshot: None,
            histograms: Vec::new(),
        };
        self.recent.iter().map(record).collect()
    }
}
