//! The flight recorder: the last watched steps, kept in memory so that they can be written when something breaks.

use std::collections::VecDeque;

use super::StepRecord;

/// Steps that a flight recorder keeps unless told otherwise.
pub const DEFAULT_STEPS: usize = 16;

/// The last watched steps, oldest first.
#[derive(Clone, Debug)]
pub struct FlightRecorder {
    capacity: usize,
    kept: VecDeque<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    /// `None` once the step is on disk, where it needs no second copy.
    unwritten: Option<Box<StepRecord>>,
}

impl FlightRecorder {
    /// Keeps the last `capacity` steps.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, kept: VecDeque::with_capacity(capacity) }
    }

    /// As it stood before `step`, with these of the last steps not written yet and the others on disk.
    pub fn restored(capacity: usize, step: u64, unwritten: Vec<StepRecord>) -> Self {
        let mut flight = Self::new(capacity);
        let mut unwritten = unwritten.into_iter().peekable();
        for number in step.saturating_sub(capacity as u64)..step {
            while unwritten.next_if(|kept| kept.step < number).is_some() {}
            match unwritten.next_if(|kept| kept.step == number) {
                Some(kept) => flight.keep(kept),
                None => flight.written(),
            }
        }
        flight
    }

    /// Those of the last steps that are not written yet, oldest first.
    pub fn unwritten(&self) -> impl Iterator<Item = &StepRecord> {
        self.kept.iter().filter_map(|kept| kept.unwritten.as_deref())
    }

    /// Takes note of a step that was written; it is not handed out again.
    pub fn written(&mut self) {
        self.push(Kept { unwritten: None });
    }

    /// Keeps a step that was not written.
    pub fn keep(&mut self, step: StepRecord) {
        self.push(Kept { unwritten: Some(Box::new(step)) });
    }

    /// Hands out those of the last steps that are not written yet, oldest first, and forgets them.
    pub fn take_unwritten(&mut self) -> Vec<StepRecord> {
        self.kept.drain(..).filter_map(|kept| kept.unwritten).map(|step| *step).collect()
    }

    /// Hands out the last step if it is not written yet, and forgets it.
    pub fn take_last(&mut self) -> Option<StepRecord> {
        self.kept.pop_back()?.unwritten.map(|step| *step)
    }

    fn push(&mut self, kept: Kept) {
        self.kept.push_back(kept);
        while self.kept.len() > self.capacity {
            self.kept.pop_front();
        }
    }
}

impl Default for FlightRecorder {
    fn default() -> Self {
        Self::new(DEFAULT_STEPS)
    }
}

impl StepRecord {
    /// Whether any value that was seen at this step is NaN or infinite.
    pub fn has_non_finite(&self) -> bool {
        !self.loss.is_finite()
            || self.joints.iter().any(|joint| joint.activation.non_finite + joint.cotangent.non_finite > 0)
            || self.parameters.iter().any(|parameter| {
                parameter.weight.non_finite + parameter.gradient.non_finite + parameter.update.non_finite > 0
            })
    }
}
