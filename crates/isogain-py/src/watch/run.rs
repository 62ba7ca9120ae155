//! The end of a step: its record, what is wrong, and the run on disk; and the same step over several processes.

use std::collections::BTreeMap;

use isogain_core::online::schedule::Measure;
use isogain_core::online::{Observed, OperationKind};
use isogain_core::record::line::{Note, SCHEMA};
use isogain_core::record::{
    Header, JointRecord, Line, ParameterRecord, RecordError, Recorder, StepRecord, UnitRecord, Writer,
};
use isogain_core::render::alarm::alarm;
use isogain_core::rules::{Finding, severity};
use isogain_core::statistics::{Moments, NumberFormat};

use super::Told;
use super::state::{self, State};

/// Where only layers are measured, every so many of these steps is judged.
const JUDGE_EVERY: u64 = 16;
/// Fewest samples in which a unit that is always off means anything.
const FEWEST_SAMPLES: usize = 32;
/// Numbers of one tensor in the vector that is summed, and in the one that is maximised.
const SUMS: usize = 5;
/// See [`SUMS`].
const MAXIMA: usize = 3;
/// Stands for a share that was not measured, where a NaN would have no maximum.
const UNKNOWN: f64 = -1.0;
/// Numbers of an operation's units, which follow those of its two tensors.
const UNITS: usize = 3;

impl State {
    pub(crate) fn finish(&mut self, step: u64, loss: Option<f64>, learning_rate: f64, skipped: bool) -> Vec<Told> {
        let level = std::mem::replace(&mut self.level, Measure::Nothing);
        let Some(online) = &mut self.online else { return Vec::new() };
        online.learning_rate(learning_rate);
        if let Some(loss) = loss.filter(|_| !skipped) {
            online.loss(step, loss);
        }
        if level == Measure::Nothing {
            let alarming = loss.is_some_and(|loss| !loss.is_finite()) || online.loss_alarms();
            let findings = if alarming && !skipped { online.observe(&Observed::default()) } else { Vec::new() };
            return self.tell(findings);
        }
        let mut record = self.record(step, loss, learning_rate);
        // A loss that nobody told is no value that is not finite.
        record.loss = loss.unwrap_or(0.0);
        let non_finite = record.has_non_finite() && !skipped;
        record.loss = loss.unwrap_or(f64::NAN);
        if self.writes && self.recorder.is_none() {
            let opened = self.open();
            self.recorded(opened);
        }
        self.judged += 1;
        let judges =
            !skipped && (level == Measure::Everything || non_finite || self.judged.is_multiple_of(JUDGE_EVERY));
        let kept = judges.then(|| record.clone());
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.judged(record, non_finite);
            self.recorded(written);
        }
        if !judges {
            return Vec::new();
        }
        let record = kept;
        let observed = Observed {
            units: self.units(),
            narrow: self.narrow(),
            loss_scale: self.scale,
            processes: self.processes,
            record,
        };
        let findings = self.online.as_mut().map(|online| online.observe(&observed)).unwrap_or_default();
        self.tell(findings)
    }

    /// See [`super::Watch::pass_by`].
    pub(crate) fn pass_by(&mut self, step: u64, adds: bool) -> bool {
        if let (Some(online), Some(loss)) = (&mut self.online, self.told.loss(adds)) {
            online.loss(step, loss);
            if !loss.is_finite() || online.loss_alarms() {
                return true;
            }
        }
        self.told = state::Told::default();
        false
    }

    /// A record that cannot be written ends; the training is watched on without it.
    fn recorded(&mut self, result: Result<(), RecordError>) {
        if let Err(error) = result {
            (self.recorder, self.writes) = (None, false);
            self.problem("record", error.to_string());
        }
    }

    fn tell(&mut self, findings: Vec<Finding>) -> Vec<Told> {
        let mut told = Vec::with_capacity(findings.len());
        for finding in findings {
            if let Some(recorder) = &mut self.recorder {
                let written = recorder.finding(&finding);
                self.recorded(written);
            }
            let json = serde_json::to_string(&finding).unwrap_or_default();
            told.push((json, alarm(&finding), severity::word(finding.level).to_owned()));
        }
        told
    }

    fn record(&mut self, step: u64, loss: Option<f64>, learning_rate: f64) -> StepRecord {
        let joint = |slot: &super::state::Slot| JointRecord {
            name: slot.name.clone(),
            activation: slot.activation,
            cotangent: slot.cotangent,
            detail: None,
        };
        let parameter = |parameter: &super::state::Parameter| ParameterRecord {
            name: parameter.name.clone(),
            weight: parameter.weight,
            gradient: parameter.gradient,
            update: parameter.update,
        };
        StepRecord {
            step,
            loss: loss.unwrap_or(f64::NAN),
            learning_rate,
            joints: self
                .slots
                .iter()
                .filter(|slot| slot.activation.count + slot.cotangent.count > 0)
                .map(joint)
                .collect(),
            parameters: self.parameters.iter().map(parameter).collect(),
            clip: None,
            scaling: None,
            snapshot: self.snapshot.take(),
            histograms: self.histogram_records(),
        }
    }

    fn units(&self) -> Vec<UnitRecord> {
        let feeds = |at: usize| self.slots.get(at + 1).is_some_and(|next| next.reads_previous);
        let record = |(at, slot): (usize, &super::state::Slot)| {
            let units = slot.units.filter(|units| units.samples >= FEWEST_SAMPLES)?;
            Some(UnitRecord {
                name: slot.name.clone(),
                units: units.units,
                dead: units.dead,
                duplicates: 0,
                // A gate or an output may be flat and do its work; what feeds the next layer may not.
                saturated_fraction: if feeds(at) { units.saturated } else { f64::NAN },
                signal_fraction: f64::NAN,
            })
        };
        self.slots.iter().enumerate().filter_map(record).collect()
    }

    fn narrow(&self) -> BTreeMap<String, NumberFormat> {
        let narrow = |slot: &&super::state::Slot| {
            let kind = &self.modules[slot.module].kind;
            slot.narrow && matches!(kind, OperationKind::Linear { .. } | OperationKind::Convolution { .. })
        };
        self.slots.iter().filter(narrow).map(|slot| (slot.name.clone(), NumberFormat::FP16)).collect()
    }

    fn open(&mut self) -> Result<(), RecordError> {
        let mut recorder = match self.resumes_at {
            Some(step) => self.append(step)?,
            None => self.create()?,
        };
        if let Some(recorder) = &mut recorder {
            for text in self.notes.drain(..) {
                recorder.write(&Line::Note(Note { text }))?;
            }
        }
        self.recorder = recorder;
        Ok(())
    }

    fn create(&self) -> Result<Option<Recorder>, RecordError> {
        let (Some(folder), Some(online)) = (&self.folder, &self.online) else { return Ok(None) };
        let recipe = "# Written by isogain.watch: the network was built by a program, so there is no recipe.\n";
        let writer = Writer::create(
            folder,
            Header {
                schema: SCHEMA,
                version: env!("CARGO_PKG_VERSION").into(),
                recipe: recipe.into(),
                network: online.network().clone(),
                data: online.data().clone(),
                seed: online.recipe().run.seed,
                precision: online.recipe().run.precision,
            },
        )?;
        Ok(Some(Recorder::new(writer, u64::MAX)))
    }

    pub(crate) fn note(&mut self, text: String) {
        match &mut self.recorder {
            Some(recorder) => {
                let written = recorder.write(&Line::Note(Note { text }));
                self.recorded(written);
            }
            // Until the record is opened; without one nobody reads it.
            None if self.writes && self.folder.is_some() => self.notes.push(text),
            None => {}
        }
    }

    pub(crate) fn take_recorder(&mut self) -> Option<Recorder> {
        self.writes = false;
        self.recorder.take()
    }

    pub(crate) fn export(&self, calls: &[usize], counted: &[bool]) -> (Vec<f64>, Vec<f64>) {
        let (mut sums, mut maxima) = (Vec::new(), Vec::new());
        let mut units = Vec::new();
        let mut push = |moments: &Moments| {
            sums.extend([
                moments.count as f64,
                moments.sum,
                moments.sum_of_squares,
                moments.zeros as f64,
                moments.non_finite as f64,
            ]);
            let low = moments.min.map_or(f64::NEG_INFINITY, |min| -min);
            maxima.extend([moments.max.unwrap_or(f64::NEG_INFINITY), low, moments.abs_max]);
        };
        for (module, &calls) in calls.iter().enumerate() {
            for call in 0..calls {
                let slot = self.modules[module].slots.get(call).map(|&slot| &self.slots[slot]);
                push(&slot.map_or_else(Moments::default, |slot| slot.activation));
                push(&slot.map_or_else(Moments::default, |slot| slot.cotangent));
                // A unit that is off for all samples is off in every process: no more than the fewest.
                let of = slot.and_then(|slot| slot.units).unwrap_or_default();
                let saturated = if of.saturated.is_nan() { UNKNOWN } else { of.saturated };
                units.extend([-(of.dead as f64), -saturated, of.units as f64]);
            }
        }
        for (parameter, &counted) in self.parameters.iter().zip(counted) {
            for moments in [&parameter.weight, &parameter.gradient, &parameter.update] {
                push(if counted { moments } else { &EMPTY });
            }
        }
        maxima.extend(units);
        (sums, maxima)
    }

    pub(crate) fn import(&mut self, calls: &[usize], sums: &[f64], maxima: &[f64]) -> Result<(), String> {
        let slots = calls.iter().sum::<usize>();
        let tensors = 2 * slots + 3 * self.parameters.len();
        if sums.len() != SUMS * tensors || maxima.len() != MAXIMA * tensors + UNITS * slots {
            let (sums, maxima) = (sums.len(), maxima.len());
            return Err(format!("{sums} sums and {maxima} maxima are not those of {tensors} tensors"));
        }
        let (maxima, units) = maxima.split_at(MAXIMA * tensors);
        let mut units = units.chunks(UNITS);
        let mut rows = sums.chunks(SUMS).zip(maxima.chunks(MAXIMA)).map(|(sums, maxima)| merged(sums, maxima));
        let mut next = || rows.next().unwrap_or_default();
        for (module, &calls) in calls.iter().enumerate() {
            for call in 0..calls {
                let at = self.slot(module, call);
                (self.slots[at].activation, self.slots[at].cotangent) = (next(), next());
                if let (Some(of), Some(&[dead, saturated, _])) = (&mut self.slots[at].units, units.next()) {
                    of.dead = -dead as usize;
                    of.saturated = if -saturated == UNKNOWN { f64::NAN } else { -saturated };
                }
            }
        }
        for parameter in &mut self.parameters {
            (parameter.weight, parameter.gradient, parameter.update) = (next(), next(), next());
        }
        Ok(())
    }
}

/// Writes what is left, and waits for the disk.
pub(crate) fn finish(mut recorder: Recorder) -> Result<(), RecordError> {
    recorder.write_last_step()?;
    recorder.finish()
}

const EMPTY: Moments =
    Moments { count: 0, sum: 0.0, sum_of_squares: 0.0, min: None, max: None, abs_max: 0.0, zeros: 0, non_finite: 0 };

fn merged(sums: &[f64], maxima: &[f64]) -> Moments {
    Moments {
        count: sums[0] as u64,
        sum: sums[1],
        sum_of_squares: sums[2],
        min: (maxima[1] > f64::NEG_INFINITY).then_some(-maxima[1]),
        max: (maxima[0] > f64::NEG_INFINITY).then_some(maxima[0]),
        abs_max: maxima[2],
        zeros: sums[3] as u64,
        non_finite: sums[4] as u64,
    }
}
