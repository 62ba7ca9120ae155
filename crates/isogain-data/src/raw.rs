//! Samples as they lie in binary files: records of equal length, in memory or left on disk.

use std::sync::Arc;

use crate::error::{Error, Place, Result};
use crate::file::Opened;
use crate::number::Number;

/// Files up to this size are read into memory, larger ones row by row when a batch needs them.
pub(crate) const IN_MEMORY: u64 = 1 << 30;

/// Records of equal length, over one file or several.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) number: Number,
    pub(crate) is_big_endian: bool,
    /// Bytes of a record before its numbers: the labels of CIFAR.
    pub(crate) skip: usize,
    /// Numbers in a record.
    pub(crate) values: usize,
    /// Images stored plane by plane have so many planes; they are read channels last.
    pub(crate) planes: usize,
    pub(crate) segments: Vec<Segment>,
}

/// The records of one file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) rows: usize,
    pub(crate) bytes: Bytes,
}

/// Where the bytes are.
#[derive(Debug)]
pub(crate) enum Bytes {
    Memory(Vec<u8>),
    /// From this offset on.
    Disk(Arc<Opened>, u64),
}

impl Raw {
    /// Numbers that were made here.
    pub(crate) fn memory(number: Number, values: usize, bytes: Vec<u8>) -> Self {
        let rows = bytes.len() / (values * number.bytes()).max(1);
        let segments = vec![Segment { rows, bytes: Bytes::Memory(bytes) }];
        Self { number, is_big_endian: cfg!(target_endian = "big"), skip: 0, values, planes: 1, segments }
    }

    /// Bytes of one record.
    pub(crate) fn record(&self) -> usize {
        self.skip + self.values * self.number.bytes()
    }

    pub(crate) fn rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.rows).sum()
    }

    /// Appends the numbers of a row, channels last.
    pub(crate) fn read(&self, mut row: usize, out: &mut Vec<f64>) -> Result<()> {
        let record = self.record();
        for segment in &self.segments {
            if row >= segment.rows {
                row -= segment.rows;
                continue;
            }
            let from = out.len();
            match &segment.bytes {
                Bytes::Memory(bytes) => {
                    self.number.decode(
                        self.is_big_endian,
                        &bytes[row * record + self.skip..][..record - self.skip],
                        out,
                    );
                }
                Bytes::Disk(file, offset) => {
                    let mut buffer = vec![0; record - self.skip];
                    file.read_at(offset + row as u64 * record as u64 + self.skip as u64, &mut buffer)?;
                    self.number.decode(self.is_big_endian, &buffer, out);
                }
            }
            self.interleave(&mut out[from..]);
            return Ok(());
        }
        unreachable!("row {row} is behind the last of {}", self.rows())
    }

    /// `[planes, positions]` to `[positions, planes]`.
    fn interleave(&self, values: &mut [f64]) {
        if self.planes > 1 {
            let (positions, planar) = (values.len() / self.planes, values.to_vec());
            for (index, value) in values.iter_mut().enumerate() {
                *value = planar[index % self.planes * positions + index / self.planes];
            }
        }
    }
}

/// The bytes from `offset` to the end of the file, in memory where they are at most `limit`.
pub(crate) fn place(file: Arc<Opened>, offset: u64, limit: u64) -> Result<Bytes> {
    let count = file.bytes - offset;
    if count > limit {
        return Ok(Bytes::Disk(file, offset));
    }
    let bytes = file.bytes_at(offset, count)?;
    file.unchanged()?;
    Ok(Bytes::Memory(bytes))
}

/// Positions along axes multiplied, as far as that is a number of samples that a file could hold.
pub(crate) fn product(dims: &[u64]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |total, &dim| total.checked_mul(dim))
}

/// The error for a header that does not fit its file.
pub(crate) fn wrong_length(file: &Opened, from: u64, dims: &[u64], bytes_each: usize, found: u64) -> Error {
    let shape = dims.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
    let expected = product(dims).and_then(|count| count.checked_mul(bytes_each as u64));
    let expected = expected.map_or_else(|| "more bytes than any file has".to_owned(), |count| format!("{count} bytes"));
    let message = format!(
        "the header says {shape} numbers of {bytes_each} bytes, {expected}; the file has {found} after the header"
    );
    Error::file(&file.path, Place::Byte(from), message)
}
