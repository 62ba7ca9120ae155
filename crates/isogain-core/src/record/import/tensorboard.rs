//! Reads TensorBoard's event files: scalars and histograms, as PyTorch's `SummaryWriter` and as TensorFlow 2 write them.
//!
//! The format is described beside the writer, in `export/tensorboard.rs`. A file that is still written, or was cut off, ends
//! in the middle of a record; one whose checksum is wrong ends there too, since nothing after it can be trusted.

use super::assemble::{Curves, Value};
use crate::record::export::tensorboard::masked;
use crate::statistics::Moments;

/// Longest event that is taken for one, bytes; pictures can be large.
const LONGEST: u64 = 256 << 20;

/// Takes in all scalars and histograms of a file.
pub(super) fn read(bytes: &[u8], curves: &mut Curves) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (event, after) = match framed(rest) {
            Framed::Event(event, after) => (event, after),
            Framed::Cut => {
                curves.truncated = true;
                return;
            }
            Framed::Damaged(what) => {
                let at = bytes.len() - rest.len();
                curves.left_out.push(format!("At byte {at} {what}; what follows is left out."));
                return;
            }
        };
        rest = after;
        if !take(event, curves) {
            curves.full();
            return;
        }
    }
}

/// What comes next in a file.
enum Framed<'a> {
    /// An event, and what comes after it.
    Event(&'a [u8], &'a [u8]),
    /// The file ends in the middle of it.
    Cut,
    /// Why it is none.
    Damaged(&'static str),
}

fn framed(bytes: &[u8]) -> Framed<'_> {
    let whole = |place: std::ops::Range<usize>| bytes.get(place);
    let (Some(head), Some(sum)) = (whole(0..8), whole(8..12)) else { return Framed::Cut };
    if sum != masked(head).to_le_bytes() {
        return Framed::Damaged("a checksum is wrong");
    }
    let length = head.iter().rev().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    let Some(end) = usize::try_from(length).ok().filter(|_| length <= LONGEST).map(|length| 12 + length) else {
        return Framed::Damaged("an event is too long");
    };
    match (whole(12..end), whole(end..end + 4)) {
        (Some(event), Some(sum)) if sum == masked(event).to_le_bytes() => Framed::Event(event, &bytes[end + 4..]),
        (Some(_), Some(_)) => Framed::Damaged("a checksum is wrong"),
        _ => Framed::Cut,
    }
}

/// False when there is no room for more.
fn take(event: &[u8], curves: &mut Curves) -> bool {
    let step = Fields(event).find_map(|(field, value)| match (field, value) {
        (2, Wire::Whole(step)) => Some(step),
        _ => None,
    });
    let step = step.unwrap_or(0);
    for (field, value) in Fields(event) {
        let (5, Wire::Bytes(summary)) = (field, value) else { continue };
        for (field, value) in Fields(summary) {
            let (1, Wire::Bytes(value)) = (field, value) else { continue };
            // A step that is negative as a signed number stands for none.
            let (Some((tag, value)), Ok(_)) = (summary_value(value), i64::try_from(step)) else { continue };
            if !curves.add(&tag, step, value) {
                return false;
            }
        }
    }
    true
}

/// Tag and value of a `Summary.Value`; `None` of pictures, sounds and texts.
fn summary_value(bytes: &[u8]) -> Option<(String, Value)> {
    let mut tag = None;
    let mut found = None;
    for (field, value) in Fields(bytes) {
        match (field, value) {
            (1, Wire::Bytes(text)) => tag = String::from_utf8(text.to_vec()).ok(),
            (2, Wire::Single(number)) => found = Some(Value::Number(f64::from(number))),
            (5, Wire::Bytes(histogram)) => found = Some(Value::Tensor(of_histogram(histogram))),
            (8, Wire::Bytes(tensor)) => found = of_tensor(tensor),
            _ => {}
        }
    }
    Some((tag?, found?))
}

/// The moments that a `HistogramProto` holds beside its buckets.
fn of_histogram(bytes: &[u8]) -> Moments {
    let mut moments = Moments::default();
    for (field, value) in Fields(bytes) {
        let Wire::Double(number) = value else { continue };
        match field {
            1 => moments.min = Some(number),
            2 => moments.max = Some(number),
            3 => moments.count = number.max(0.0) as u64,
            4 => moments.sum = number,
            5 => moments.sum_of_squares = number,
            _ => {}
        }
    }
    bounded(moments)
}

/// A tensor of TensorFlow 2: one number, or the buckets of a histogram, three numbers each.
fn of_tensor(bytes: &[u8]) -> Option<Value> {
    let mut kind = 0;
    let mut content: &[u8] = &[];
    let mut numbers: Vec<f64> = Vec::new();
    let singles = |bytes: &[u8]| -> Vec<f64> {
        bytes.chunks_exact(4).filter_map(|four| Some(f64::from(f32::from_le_bytes(four.try_into().ok()?)))).collect()
    };
    let doubles = |bytes: &[u8]| -> Vec<f64> {
        bytes.chunks_exact(8).filter_map(|eight| Some(f64::from_le_bytes(eight.try_into().ok()?))).collect()
    };
    for (field, value) in Fields(bytes) {
        match (field, value) {
            (1, Wire::Whole(number)) => kind = number,
            (4, Wire::Bytes(bytes)) => content = bytes,
            (5, Wire::Bytes(bytes)) => numbers = singles(bytes),
            (5, Wire::Single(number)) => numbers.push(f64::from(number)),
            (6, Wire::Bytes(bytes)) => numbers = doubles(bytes),
            (6, Wire::Double(number)) => numbers.push(number),
            _ => {}
        }
    }
    // DT_FLOAT and DT_DOUBLE.
    match kind {
        1 if !content.is_empty() => numbers = singles(content),
        2 if !content.is_empty() => numbers = doubles(content),
        1 | 2 => {}
        _ => return None,
    }
    match numbers[..] {
        [number] => Some(Value::Number(number)),
        _ if !numbers.is_empty() && numbers.len().is_multiple_of(3) => {
            let mut moments = Moments { min: numbers.first().copied(), ..Moments::default() };
            for bucket in numbers.chunks_exact(3) {
                // Of each bucket its middle: its values are not known any more.
                let (middle, count) = (0.5 * (bucket[0] + bucket[1]), bucket[2].max(0.0));
                moments.max = Some(bucket[1]);
                moments.count += count as u64;
                moments.sum += count * middle;
                moments.sum_of_squares += count * middle * middle;
            }
            Some(Value::Tensor(bounded(moments)))
        }
        _ => None,
    }
}

/// With the largest magnitude that the extremes tell; all zero where both are.
fn bounded(mut moments: Moments) -> Moments {
    let ends = [moments.min, moments.max];
    if moments.count == 0 || ends.iter().flatten().any(|end| !end.is_finite()) || !moments.sum_of_squares.is_finite() {
        let count = moments.count.max(1);
        return Moments { count, non_finite: if moments.count == 0 { 0 } else { count }, ..Moments::default() };
    }
    moments.abs_max = ends.iter().flatten().map(|end| end.abs()).fold(0.0, f64::max);
    if moments.abs_max == 0.0 {
        moments.zeros = moments.count;
    }
    moments
}

/// One value of a protobuf message.
enum Wire<'a> {
    Whole(u64),
    Double(f64),
    Bytes(&'a [u8]),
    Single(f32),
}

/// The fields of a message, until it ends or is no message any more.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Wire<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Wire::Whole(self.varint()?),
            1 => Wire::Double(f64::from_le_bytes(self.bytes(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.bytes(length)?)
            }
            5 => Wire::Single(f32::from_le_bytes(self.bytes(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}
