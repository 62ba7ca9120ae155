//! A run as Parquet: the long format of the CSV, with types, in a fraction of the space.
//!
//! Of its own, as the reader of data files is: the usual crate would bring forty others into the core for one table of five
//! columns. The format is that of the Apache Parquet specification (`parquet.thrift`, `Encodings.md`): row groups of
//! dictionary-encoded columns and one of plain numbers, not compressed.

mod thrift;

use std::collections::HashMap;
use std::io::{self, Write};

use self::thrift::Struct;
use super::long;
use crate::record::Run;

const MAGIC: &[u8] = b"PAR1";
/// Rows of a group: a page of 8-byte numbers then has the megabyte that readers are built for.
const GROUP: usize = 1 << 17;

// Enumerations of `parquet.thrift`.
const INT64: i32 = 2;
const DOUBLE: i32 = 5;
const BYTE_ARRAY: i32 = 6;
const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;
const UTF8: i32 = 0;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const RLE_DICTIONARY: i32 = 8;
const UNCOMPRESSED: i32 = 0;
const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;

/// Writes the columns `step` (64-bit), `name`, `kind`, `statistic` (text) and `value` (double, null where the number does
/// not exist): a row for each number of the run, by step ([`long::Row`]). The same run gives the same bytes.
///
/// # Errors
/// When `output` cannot be written.
pub fn to_parquet(run: &Run, output: impl Write) -> io::Result<()> {
    let mut file = File { output, at: 0, groups: Vec::new(), rows: 0 };
    file.write(MAGIC)?;
    let mut group = Group::default();
    long::rows(run, |row| {
        group.add(row);
        if group.values.len() == GROUP { file.group(std::mem::take(&mut group)) } else { Ok(()) }
    })?;
    if !group.values.is_empty() {
        file.group(group)?;
    }
    file.end()
}

/// A file that is being written.
struct File<W> {
    output: W,
    at: u64,
    groups: Vec<Struct>,
    rows: usize,
}

impl<W: Write> File<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.output.write_all(bytes)
    }

    fn group(&mut self, group: Group) -> io::Result<()> {
        let rows = group.values.len();
        let start = self.at;
        let mut chunks = Vec::new();
        for (name, column) in long::COLUMNS.into_iter().zip([group.steps, group.names, group.kinds, group.statistics]) {
            chunks.push(self.dictionary_chunk(name, &column)?);
        }
        chunks.push(self.value_chunk(&group.values)?);
        let mut of_group = Struct::default();
        of_group.structs(1, chunks).i64(2, self.at - start).i64(3, rows as u64);
        self.groups.push(of_group);
        self.rows += rows;
        Ok(())
    }

    /// Each distinct value once, then its number in every row.
    fn dictionary_chunk(&mut self, name: &str, column: &Dictionary) -> io::Result<Struct> {
        let start = self.at;
        let mut header = Struct::default();
        header.i32(1, column.places.len() as i32).i32(2, PLAIN);
        self.page(DICTIONARY_PAGE, 7, header, &column.plain)?;
        let data = self.at;
        let width = bits(column.places.len());
        let mut page = vec![width];
        hybrid(&column.indices, width, &mut page);
        self.page(DATA_PAGE, 5, data_header(column.indices.len(), RLE_DICTIONARY), &page)?;
        let kind = if name == long::COLUMNS[0] { INT64 } else { BYTE_ARRAY };
        let mut chunk = Chunk { kind, name, encodings: &[PLAIN, RLE, RLE_DICTIONARY], start, data }
            .meta(column.indices.len(), self.at - start);
        chunk.i64(11, start);
        Ok(placed(start, chunk))
    }

    fn value_chunk(&mut self, values: &[Option<f64>]) -> io::Result<Struct> {
        let start = self.at;
        let mut levels = Vec::new();
        hybrid(&values.iter().map(|value| u32::from(value.is_some())).collect::<Vec<u32>>(), 1, &mut levels);
        let mut page = (levels.len() as u32).to_le_bytes().to_vec();
        page.extend(levels);
        page.extend(values.iter().flatten().flat_map(|value| value.to_le_bytes()));
        self.page(DATA_PAGE, 5, data_header(values.len(), PLAIN), &page)?;
        let chunk = Chunk { kind: DOUBLE, name: long::COLUMNS[4], encodings: &[PLAIN, RLE], start, data: start };
        Ok(placed(start, chunk.meta(values.len(), self.at - start)))
    }

    fn page(&mut self, kind: i32, field: u8, header: Struct, bytes: &[u8]) -> io::Result<()> {
        let mut page = Struct::default();
        page.i32(1, kind).i32(2, bytes.len() as i32).i32(3, bytes.len() as i32).structure(field, header);
        let head = page.end();
        self.write(&head)?;
        self.write(bytes)
    }

    fn end(mut self) -> io::Result<()> {
        let mut root = Struct::default();
        root.text(4, "run").i32(5, long::COLUMNS.len() as i32);
        let column = |name: &str| {
            let (kind, repetition) = match name {
                "step" => (INT64, REQUIRED),
                "value" => (DOUBLE, OPTIONAL),
                _ => (BYTE_ARRAY, REQUIRED),
            };
            let mut column = Struct::default();
            column.i32(1, kind).i32(3, repetition).text(4, name);
            if kind == BYTE_ARRAY {
                column.i32(6, UTF8);
            }
            column
        };
        let schema = std::iter::once(root).chain(long::COLUMNS.into_iter().map(column)).collect();
        let mut footer = Struct::default();
        footer.i32(1, 1).structs(2, schema).i64(3, self.rows as u64).structs(4, std::mem::take(&mut self.groups));
        footer.text(6, concat!("isogain version ", env!("CARGO_PKG_VERSION")));
        let footer = footer.end();
        self.write(&footer)?;
        self.write(&(footer.len() as u32).to_le_bytes())?;
        self.write(MAGIC)?;
        self.output.flush()
    }
}

fn data_header(values: usize, encoding: i32) -> Struct {
    let mut header = Struct::default();
    header.i32(1, values as i32).i32(2, encoding).i32(3, RLE).i32(4, RLE);
    header
}

/// A column of a row group, as the footer describes it.
struct Chunk<'a> {
    kind: i32,
    name: &'a str,
    encodings: &'a [i32],
    start: u64,
    data: u64,
}

impl Chunk<'_> {
    fn meta(&self, values: usize, bytes: u64) -> Struct {
        debug_assert!(self.data >= self.start);
        let mut meta = Struct::default();
        meta.i32(1, self.kind).i32s(2, self.encodings).texts(3, &[self.name]).i32(4, UNCOMPRESSED);
        meta.i64(5, values as u64).i64(6, bytes).i64(7, bytes).i64(9, self.data);
        meta
    }
}

fn placed(start: u64, meta: Struct) -> Struct {
    let mut chunk = Struct::default();
    chunk.i64(2, start).structure(3, meta);
    chunk
}

/// Rows that are written together.
#[derive(Default)]
struct Group {
    steps: Dictionary,
    names: Dictionary,
    kinds: Dictionary,
    statistics: Dictionary,
    values: Vec<Option<f64>>,
}

impl Group {
    fn add(&mut self, row: long::Row<'_>) {
        self.steps.add(&row.step.to_le_bytes(), false);
        self.names.add(row.name.as_bytes(), true);
        self.kinds.add(row.kind.as_bytes(), true);
        self.statistics.add(row.statistic.as_bytes(), true);
        self.values.push(row.value);
    }
}

/// The distinct values of a column, and which one each row has.
#[derive(Default)]
struct Dictionary {
    places: HashMap<Vec<u8>, u32>,
    /// The values one after the other, as a page holds them.
    plain: Vec<u8>,
    indices: Vec<u32>,
}

impl Dictionary {
    fn add(&mut self, value: &[u8], has_length: bool) {
        let next = self.places.len() as u32;
        let place = match self.places.get(value) {
            Some(place) => *place,
            None => {
                if has_length {
                    self.plain.extend((value.len() as u32).to_le_bytes());
                }
                self.plain.extend(value);
                self.places.insert(value.to_vec(), next);
                next
            }
        };
        self.indices.push(place);
    }
}

/// Bits that tell so many values apart; at least one.
fn bits(values: usize) -> u8 {
    (usize::BITS - values.saturating_sub(1).leading_zeros()).max(1) as u8
}

/// Small numbers as runs of equal ones, or packed bit by bit: whichever takes less.
fn hybrid(values: &[u32], width: u8, output: &mut Vec<u8>) {
    let bytes = usize::from(width.div_ceil(8));
    let mut runs = Vec::new();
    for run in values.chunk_by(|a, b| a == b) {
        thrift::varint((run.len() as u64) << 1, &mut runs);
        runs.extend(&run[0].to_le_bytes()[..bytes]);
    }
    let groups = values.len().div_ceil(8);
    if runs.len() <= groups * usize::from(width) {
        output.extend(runs);
        return;
    }
    thrift::varint((groups as u64) << 1 | 1, output);
    let (mut pending, mut count) = (0_u64, 0);
    for value in values.iter().copied().chain(std::iter::repeat_n(0, 8 * groups - values.len())) {
        pending |= u64::from(value) << count;
        count += u32::from(width);
        while count >= 8 {
            output.push(pending as u8);
            pending >>= 8;
            count -= 8;
        }
    }
}

#[cfg(test)]
mod tests;
