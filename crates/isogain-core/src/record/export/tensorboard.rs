//! A run as a TensorBoard event file: records with a length and checksums, each a protobuf message `Event`.
//!
//! The format is that of TensorFlow's `tensorflow/core/lib/io/record_writer.h`, `core/util/event.proto` and
//! `core/framework/summary.proto`; only the fields that scalars and histograms need are written. A record knows no times, so that a step's
//! time is its number in seconds: the same run gives the same bytes.

use std::io::{self, Write};

use crate::record::{HistogramRecord, JointRecord, ParameterRecord, Run, StepRecord};

/// What TensorBoard calls such a file; it reads files of a folder whose name has `tfevents` in it.
pub const FILE_NAME: &str = "events.out.tfevents.0000000000.isogain";

/// Writes the events: `loss`, `learning_rate`, `clip/...`, and by operation and parameter `activation_rms/<name>`,
/// `cotangent_rms/...`, `weight_rms/...`, `gradient_rms/...`, `update_rms/...`, `update_over_weight/...`.
///
/// Where orders of magnitude were recorded, `activation_exponents/<name>` and so on are histograms of |x|, a bucket for each
/// power of two.
///
/// The loss is there for every step of a run that ended, and for the written steps otherwise. What does not exist (the mean
/// of nothing) is left out; what is not finite is written as such.
///
/// # Errors
/// When `output` cannot be written.
pub fn to_tensorboard(run: &Run, mut output: impl Write) -> io::Result<()> {
    let mut event = Message::default();
    event.double(1, 0.0);
    event.bytes(3, b"brain.Event:2");
    event.record(&mut output)?;
    for (step, loss) in run.losses() {
        scalars(&mut output, step, &[("loss".to_owned(), loss)])?;
    }
    for step in &run.steps {
        scalars(&mut output, step.step, &of_step(step))?;
        for record in &step.histograms {
            histogram(&mut output, step.step, record)?;
        }
    }
    output.flush()
}

fn of_step(step: &StepRecord) -> Vec<(String, f64)> {
    let mut values = vec![("learning_rate".to_owned(), step.learning_rate)];
    if let Some(clip) = &step.clip {
        values.push(("clip/norm_before".to_owned(), clip.norm_before));
        values.push(("clip/norm_after".to_owned(), clip.norm_after));
        values.push(("clip/cosine".to_owned(), clip.cosine));
        values.push(("clip/acted".to_owned(), f64::from(u8::from(clip.acted))));
    }
    let mut add = |kind: &str, name: &str, value: Option<f64>| {
        values.extend(value.map(|value| (format!("{kind}/{name}"), value)));
    };
    for JointRecord { name, activation, cotangent, .. } in &step.joints {
        add("activation_rms", name, activation.rms());
        add("cotangent_rms", name, cotangent.rms());
    }
    for ParameterRecord { name, weight, gradient, update } in &step.parameters {
        add("weight_rms", name, weight.rms());
        add("gradient_rms", name, gradient.rms());
        add("update_rms", name, update.rms());
        let ratio = update.rms().zip(weight.rms().filter(|rms| *rms > 0.0)).map(|(update, weight)| update / weight);
        add("update_over_weight", name, ratio);
    }
    values
}

/// One event with a summary of these values.
fn scalars(output: &mut impl Write, step: u64, values: &[(String, f64)]) -> io::Result<()> {
    let mut summary = Message::default();
    for (tag, number) in values {
        let mut value = Message::default();
        value.bytes(1, tag.as_bytes());
        // TensorBoard keeps scalars in single precision.
        value.float(2, *number as f32);
        summary.bytes(1, &value.0);
    }
    summary.event(step, output)
}

/// One event with the magnitudes of one tensor; zeros and subnormal numbers are in the first bucket, values that are not
/// finite in none.
fn histogram(output: &mut impl Write, step: u64, record: &HistogramRecord) -> io::Result<()> {
    let counts = &record.histogram.counts()[..255];
    let occupied = |count: &u64| *count > 0;
    let (Some(first), Some(last)) = (counts.iter().position(occupied), counts.iter().rposition(occupied)) else {
        return Ok(());
    };
    let edge = |bin: usize| if bin == 0 { 0.0 } else { 2.0_f64.powi(bin as i32 - 127) };
    // Of each bin its middle in the logarithm: what is shown is the buckets.
    let middle = |bin: usize| if bin == 0 { 0.0 } else { edge(bin) * std::f64::consts::SQRT_2 };
    let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
        counts.iter().enumerate().map(|(bin, count)| *count as f64 * of(middle(bin))).sum()
    };
    let mut proto = Message::default();
    proto.double(1, edge(first));
    proto.double(2, edge(last + 1));
    proto.double(3, counts.iter().sum::<u64>() as f64);
    proto.double(4, sum(&|x| x));
    proto.double(5, sum(&|x| x * x));
    let packed = |values: &mut dyn Iterator<Item = f64>| values.flat_map(f64::to_le_bytes).collect::<Vec<u8>>();
    proto.bytes(6, &packed(&mut (first..=last).map(|bin| edge(bin + 1))));
    proto.bytes(7, &packed(&mut counts[first..=last].iter().map(|count| *count as f64)));
    let mut value = Message::default();
    value.bytes(1, format!("{}_exponents/{}", record.kind.word(), record.name).as_bytes());
    value.bytes(5, &proto.0);
    let mut summary = Message::default();
    summary.bytes(1, &value.0);
    summary.event(step, output)
}

/// A protobuf message, as its bytes.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    /// Writes the event of which this is the summary.
    fn event(&self, step: u64, output: &mut impl Write) -> io::Result<()> {
        let mut event = Self::default();
        event.double(1, step as f64);
        event.integer(2, step);
        event.bytes(5, &self.0);
        event.record(output)
    }

    /// Length, its checksum, the message, its checksum.
    fn record(&self, output: &mut impl Write) -> io::Result<()> {
        let length = (self.0.len() as u64).to_le_bytes();
        output.write_all(&length)?;
        output.write_all(&masked(&length).to_le_bytes())?;
        output.write_all(&self.0)?;
        output.write_all(&masked(&self.0).to_le_bytes())
    }
}

/// The checksum as a record holds it: rotated and moved, so that a checksum of data with checksums in it stays good.
pub(in crate::record) fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), RFC 3720 appendix B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)])
}

/// The remainder of each byte.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Line, samples};

    /// The vectors of RFC 3720, appendix B.4.
    #[test]
    fn checksums_of_the_standard() {
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_framed() {
        let mut run = Run::new(samples::header());
        run.absorb(Line::Step(Box::new(crate::record::StepRecord { step: 300, ..samples::full_step() })));
        let mut bytes = Vec::new();
        to_tensorboard(&run, &mut bytes).unwrap();
        let mut rest = &bytes[..];
        let mut messages = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked(&rest[..8]).to_le_bytes());
            let message = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked(message).to_le_bytes());
            messages.push(message);
            rest = &rest[16 + length..];
        }
        assert_eq!(messages.len(), 4, "version, loss, step, histogram");
        assert!(String::from_utf8_lossy(messages[3]).contains("cotangent_exponents/fc1"));
        // wall_time 300.0, step 300 as a varint, then the summary.
        assert_eq!(messages[1][..12], [0x09, 0, 0, 0, 0, 0, 0xc0, 0x72, 0x40, 0x10, 0xac, 0x02]);
        let text = String::from_utf8_lossy(messages[2]).into_owned();
        for tag in ["learning_rate", "clip/norm_before", "cotangent_rms/fc1", "update_over_weight/fc1.weight"] {
            assert!(text.contains(tag), "{tag}");
        }
    }
}
