//! Decides which of the watched steps reach the disk: those of the cadence, and all of the last ones when something
//! breaks.

use crate::recipe::Level;
use crate::rules::Finding;

use super::cadence::is_written;
use super::flight::{self, FlightRecorder};
use super::line::Resumed;
use super::{Line, RecordError, StepRecord, Writer};

/// A writer with its cadence and flight recorder.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    flight: FlightRecorder,
    last_step: u64,
    broken: bool,
}

impl Recorder {
    /// For a run whose last step is `last_step` (the number of updates less one).
    pub fn new(writer: Writer, last_step: u64) -> Self {
        Self { writer, flight: FlightRecorder::default(), last_step, broken: false }
    }

    /// For a run that goes on at `step`, with these of its last steps not written before; what breaks soon after is then
    /// recorded as if the run had never been stopped.
    #[must_use]
    pub fn resumed(self, step: u64, unwritten: Vec<StepRecord>) -> Self {
        Self { flight: FlightRecorder::restored(flight::DEFAULT_STEPS, step, unwritten), ..self }
    }

    /// Those of the last steps that are not written, oldest first: to be saved with a checkpoint.
    pub fn unwritten(&self) -> Vec<&StepRecord> {
        self.flight.unwritten().collect()
    }

    /// Takes in a watched step: it is written if the cadence says so or somebody wanted a snapshot of it, and kept in the flight recorder otherwise. The
    /// first step with a value that is not finite is always written, after the unwritten ones that led to it.
    ///
    /// # Errors
    /// What [`Writer::write`] reports.
    pub fn step(&mut self, step: &StepRecord) -> Result<(), RecordError> {
        self.judged(step.clone(), step.has_non_finite())
    }

    /// The same for a step of which the caller knows better whether something broke: a loss that nobody told is NaN too,
    /// and an overflow that a loss scaler answers is no break.
    ///
    /// # Errors
    /// What [`Writer::write`] reports.
    pub fn judged(&mut self, step: StepRecord, non_finite: bool) -> Result<(), RecordError> {
        let breaks = !self.broken && non_finite;
        if breaks {
            self.broken = true;
            self.write_last_steps()?;
        }
        if breaks || step.snapshot.is_some() || is_written(step.step, self.last_step) {
            self.flight.written();
            self.writer.write(&Line::Step(Box::new(step)))
        } else {
            self.flight.keep(step);
            Ok(())
        }
    }

    /// Writes a finding; one that says that training fails (level [`Level::Deny`], seen after its start) follows the
    /// unwritten steps that led to it.
    ///
    /// # Errors
    /// What [`Writer::write`] reports.
    pub fn finding(&mut self, finding: &Finding) -> Result<(), RecordError> {
        if finding.level == Level::Deny && finding.step > 0 {
            self.write_last_steps()?;
        }
        self.writer.write(&Line::Finding(finding.clone()))
    }

    /// Writes those of the last steps that are not on disk yet, for a break that no watched step shows.
    ///
    /// # Errors
    /// What [`Writer::write`] reports.
    pub fn write_last_steps(&mut self) -> Result<(), RecordError> {
        self.flight.take_unwritten().into_iter().try_for_each(|step| self.writer.write(&Line::Step(Box::new(step))))
    }

    /// Writes the last step if it is not on disk yet: how a run ends belongs to it, and that it was the last one shows
    /// only afterwards where nobody planned its length.
    ///
    /// # Errors
    /// What [`Writer::write`] reports.
    pub fn write_last_step(&mut self) -> Result<(), RecordError> {
        match self.flight.take_last() {
            Some(step) => self.writer.write(&Line::Step(Box::new(step))),
            None => Ok(()),
        }
    }

    /// The run goes back to an earlier step and on from there: what was written of later ones is left behind.
    ///
    /// # Errors
    /// What [`Writer::write`] reports.
    pub fn back(&mut self, step: u64) -> Result<(), RecordError> {
        self.flight = FlightRecorder::restored(flight::DEFAULT_STEPS, step, Vec::new());
        self.broken = false;
        self.writer.write(&Line::Resumed(Resumed { step }))
    }

    /// Writes any other line.
    ///
    /// # Errors
    /// What [`Writer::write`] reports.
    pub fn write(&mut self, line: &Line) -> Result<(), RecordError> {
        self.writer.write(line)
    }

    /// Waits until every line so far is on disk; needed before a checkpoint is saved, which must not be ahead of it.
    ///
    /// # Errors
    /// The first failure of the run.
    pub fn sync(&mut self) -> Result<(), RecordError> {
        self.writer.sync()
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// The first failure of the run.
    pub fn finish(self) -> Result<(), RecordError> {
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests;
