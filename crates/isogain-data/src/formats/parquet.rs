//! Parquet, the columns of a data frame: flat tables of numbers, with text for classes.
//!
//! Of its own: the usual crate asks shared crates for more features, and with them the engine's framework would be
//! compiled anew. It reads what data frames are written as: plain and dictionary pages of either version, packed by
//! snappy, gzip, zstd or not at all.

use std::io::Read;

use flate2::read::GzDecoder;
use isogain_core::network::Shape;
use isogain_core::recipe::Task;

use super::csv::{refuse_constant, target_columns};
use super::thrift::{self, Fields};
use super::{Request, open};
use crate::error::{Error, Place, Result};
use crate::file::Opened;
use crate::sheet::{Answers, Column, Places, Sheet};
use crate::table::{Values, is_usable};

const MAGIC: &[u8] = b"PAR1";
/// Most bytes of one page: writers keep to 1 MB.
const LARGEST_PAGE: u64 = 1 << 30;
/// Most values of a file, which become numbers of 8 bytes: some bytes can claim any number of equal ones.
const MOST_VALUES: u64 = 1 << 29;

pub(crate) fn read(request: &Request<'_>) -> Result<Sheet> {
    let (path, recipe) = (&request.path, request.recipe);
    let file = open(path, request.key, &path.display().to_string())?;
    let footer = footer(&file)?;
    let schema = schema(&footer, &file)?;
    let names: Vec<&str> = schema.iter().map(|leaf| leaf.name.as_str()).collect();
    if names.len() < 2 {
        return Err(Error::whole(path, format!("{} columns; at least an input and a target are needed", names.len())));
    }
    let promised = footer.count(3).unwrap_or(0);
    if promised.checked_mul(names.len() as u64).is_none_or(|count| count > MOST_VALUES) {
        let message = format!("{promised} rows of {} columns; at most {MOST_VALUES} values are read", names.len());
        return Err(Error::whole(path, message));
    }
    let targets = target_columns(&names, &recipe.target).map_err(|message| Error::whole(path, message))?;
    let mut columns = Vec::with_capacity(schema.len());
    for (index, leaf) in schema.iter().enumerate() {
        let mut column = if leaf.kind == Kind::Bytes { Cells::Texts(Vec::new()) } else { Cells::Numbers(Vec::new()) };
        let is_target = targets.contains(&index) && recipe.task == Task::Classification;
        if leaf.kind == Kind::Bytes && !is_target {
            let message = "a column of text; inputs are numbers. Encode it as numbers, or leave it out";
            return Err(Error::file(path, Place::Key(leaf.name.clone()), message));
        }
        for group in footer.list(4) {
            let wrong = |message: String| Error::file(path, Place::Key(leaf.name.clone()), message);
            let chunk = group.list(1).nth(index).ok_or_else(|| wrong("damaged: a group of rows lacks it".into()))?;
            let chunk = chunk.fields(3).ok_or_else(|| wrong("damaged: its description is missing".into()))?;
            Chunk { file: &file, leaf, chunk, promised }.read(&mut column)?;
        }
        columns.push(column);
    }
    file.unchanged()?;
    let rows = columns[0].len();
    if let Some((leaf, column)) = schema.iter().zip(&columns).find(|(_, column)| column.len() != rows) {
        let message = format!("{} rows; '{}' has {rows}", column.len(), schema[0].name);
        return Err(Error::file(path, Place::Key(leaf.name.clone()), message));
    }
    if rows < 2 {
        return Err(Error::whole(path, format!("{rows} samples; at least 2 are needed, one to train and one to test")));
    }
    let mut inputs = Vec::with_capacity(rows * (columns.len() - targets.len()));
    for row in 0..rows {
        for (index, column) in columns.iter().enumerate().filter(|(index, _)| !targets.contains(index)) {
            let Cells::Numbers(values) = column else { continue };
            if !is_usable(values[row]) {
                let message = format!("{}: expected a number (at most 3.4e38 in size)", values[row]);
                return Err(Error::file(path, Place::Cell(schema[index].name.clone(), row), message));
            }
            inputs.push(values[row]);
        }
    }
    let shape = Shape::vector(columns.len() - targets.len());
    let answers = answers(request, &schema, &columns, &targets)?;
    Ok(Sheet { path: path.clone(), shape, values: Values::Numbers(inputs), answers })
}

fn answers(request: &Request<'_>, schema: &[Leaf], columns: &[Cells], targets: &[usize]) -> Result<Answers> {
    let path = &request.path;
    let mut column = Column {
        path: path.clone(),
        name: format!("target '{}'", schema[targets[0]].name),
        texts: Vec::new(),
        places: Places::Rows,
    };
    if let Cells::Texts(texts) = &columns[targets[0]] {
        refuse_constant(&schema[targets[0]].name, texts).map_err(|message| Error::whole(path, message))?;
        column.texts.clone_from(texts);
        return Ok(Answers::Texts(column));
    }
    let mut values = Vec::with_capacity(columns[0].len() * targets.len());
    for row in 0..columns[0].len() {
        for target in targets {
            if let Cells::Numbers(numbers) = &columns[*target] {
                values.push(numbers[row]);
            }
        }
    }
    Ok(Answers::Numbers { column, values, outputs: targets.len() })
}

/// A column of the table.
struct Leaf {
    name: String,
    kind: Kind,
    /// Whether values may be missing.
    is_optional: bool,
    /// Whether whole numbers have no sign.
    is_unsigned: bool,
}

/// How the values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    I32,
    I64,
    F32,
    F64,
    Bytes,
}

/// The values of a column.
#[derive(Clone, Debug)]
enum Cells {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Appends the value at `index` of a dictionary; false where there is none.
    fn push(&mut self, dictionary: &Cells, index: usize) -> bool {
        match (self, dictionary) {
            (Self::Numbers(values), Self::Numbers(known)) => {
                known.get(index).map(|value| values.push(*value)).is_some()
            }
            (Self::Texts(texts), Self::Texts(known)) => known.get(index).map(|text| texts.push(text.clone())).is_some(),
            _ => false,
        }
    }
}

/// The description of the file, which stands at its end.
fn footer(file: &Opened) -> Result<Fields> {
    const END: u64 = 8;
    if file.bytes < END + MAGIC.len() as u64 || file.bytes_at(0, 4)? != MAGIC {
        return Err(Error::file(&file.path, Place::Byte(0), "not a Parquet file, which begins and ends with PAR1"));
    }
    let end = file.bytes_at(file.bytes - END, END)?;
    if end[4..] != *MAGIC {
        let message = "the file does not end with PAR1: cut off, or encrypted";
        return Err(Error::file(&file.path, Place::Byte(file.bytes - 4), message));
    }
    let length = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    let Some(from) = (file.bytes - END).checked_sub(length) else {
        let message = format!("a description of {length} bytes, more than the file has");
        return Err(Error::file(&file.path, Place::Byte(file.bytes - END), message));
    };
    let bytes = file.bytes_at(from, length)?;
    let (footer, _) =
        thrift::read(&bytes).ok_or_else(|| Error::file(&file.path, Place::Byte(from), "the description is damaged"))?;
    Ok(footer)
}

fn schema(footer: &Fields, file: &Opened) -> Result<Vec<Leaf>> {
    let mut leaves = Vec::new();
    for element in footer.list(2).skip(1) {
        let name = element.text(4).unwrap_or_default();
        let wrong = |message: &str| Err(Error::file(&file.path, Place::Key(name.clone()), message));
        const REPEATED: i64 = 2;
        if element.count(5).is_some_and(|children| children > 0) || element.whole(3) == Some(REPEATED) {
            return wrong("a nested column; only flat tables are read");
        }
        const DECIMAL: i64 = 5;
        let kind = match element.whole(1) {
            Some(0) => Kind::Flag,
            _ if element.whole(6) == Some(DECIMAL) => return wrong("a column of decimals; store it as float64"),
            Some(1) => Kind::I32,
            Some(2) => Kind::I64,
            Some(4) => Kind::F32,
            Some(5) => Kind::F64,
            Some(6) => Kind::Bytes,
            _ => return wrong("neither a number of 32 or 64 bits, nor a flag, nor text"),
        };
        // UINT_8 to UINT_64.
        let is_unsigned = element.whole(6).is_some_and(|kind| (11..=14).contains(&kind));
        leaves.push(Leaf { name, kind, is_optional: element.whole(3) == Some(1), is_unsigned });
    }
    Ok(leaves)
}

/// A column in one group of rows.
struct Chunk<'a> {
    file: &'a Opened,
    leaf: &'a Leaf,
    chunk: &'a Fields,
    /// Rows of the whole file.
    promised: u64,
}

impl Chunk<'_> {
    fn wrong(&self, message: impl Into<String>) -> Error {
        Error::file(&self.file.path, Place::Key(self.leaf.name.clone()), message)
    }

    fn read(&self, column: &mut Cells) -> Result<()> {
        let damaged = || self.wrong("damaged: its place in the file is missing");
        let data = self.chunk.count(9).ok_or_else(damaged)?;
        // Some writers say 0 where there is none.
        let from = self.chunk.count(11).filter(|at| *at > 0 && *at < data).unwrap_or(data);
        let bytes = self.file.bytes_at(from, self.chunk.count(7).ok_or_else(damaged)?)?;
        let wanted = self.chunk.count(5).ok_or_else(damaged)?;
        let before = column.len();
        if wanted > self.promised - before as u64 {
            return Err(self.wrong(format!("damaged: more values than the {} rows of the file", self.promised)));
        }
        let (mut at, mut dictionary) = (0, None);
        while ((column.len() - before) as u64) < wanted {
            let (header, length) = thrift::read(&bytes[at..]).ok_or_else(|| {
                let found = column.len() - before;
                self.wrong(format!("damaged: {found} values, then no page; {wanted} are promised"))
            })?;
            at += length;
            let packed = header.count(3).and_then(|size| usize::try_from(size).ok());
            let page = packed.and_then(|size| bytes.get(at..at.checked_add(size)?));
            let page = page.ok_or_else(|| self.wrong("damaged: a page that is longer than the column"))?;
            at += page.len();
            match header.whole(1) {
                _ if self.values_of(&header) > wanted - (column.len() - before) as u64 => {
                    return Err(self.wrong("damaged: a page of more values than are left"));
                }
                Some(0) => self.data(&header, page, dictionary.as_ref(), column)?,
                Some(2) => dictionary = Some(self.dictionary(&header, page)?),
                Some(3) => self.data_v2(&header, page, dictionary.as_ref(), column)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// How many values a page of data says it has.
    fn values_of(&self, header: &Fields) -> u64 {
        [5, 8].into_iter().find_map(|field| header.fields(field)?.count(1)).unwrap_or(0)
    }

    fn unpack(&self, packed: &[u8], size: Option<u64>) -> Result<Vec<u8>> {
        let size = size.filter(|size| *size <= LARGEST_PAGE);
        let size = size.ok_or_else(|| self.wrong("a page that says it is larger than 1 GiB"))?;
        let damaged = |error: &dyn std::fmt::Display| self.wrong(format!("a damaged page: {error}"));
        let mut bytes = Vec::new();
        match self.chunk.whole(4) {
            Some(0) => bytes.extend_from_slice(packed),
            Some(1) => {
                // Snappy says the length itself; more than a page may have is not set aside.
                let length = snap::raw::decompress_len(packed).map_err(|error| damaged(&error))?;
                if length as u64 != size {
                    return Err(damaged(&format!("{length} bytes; its header says {size}")));
                }
                bytes = snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| damaged(&error))?;
            }
            Some(2) => {
                GzDecoder::new(packed).take(size + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
            }
            Some(6) => {
                let stream = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|error| damaged(&error))?;
                stream.take(size + 1).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
            }
            other => {
                let codecs = ["none", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4-raw"];
                let name = other.and_then(|codec| codecs.get(codec as usize)).copied().unwrap_or("an unknown codec");
                return Err(self.wrong(format!("packed by {name}; snappy, gzip, zstd and none are read")));
            }
        }
        if bytes.len() as u64 != size {
            return Err(damaged(&format!("{} bytes; its header says {size}", bytes.len())));
        }
        Ok(bytes)
    }

    fn dictionary(&self, header: &Fields, page: &[u8]) -> Result<Cells> {
        let bytes = self.unpack(page, header.count(2))?;
        let count = header.fields(7).and_then(|fields| fields.count(1)).unwrap_or(0);
        let mut cells =
            if self.leaf.kind == Kind::Bytes { Cells::Texts(Vec::new()) } else { Cells::Numbers(Vec::new()) };
        self.plain(&bytes, count as usize, &mut cells)?;
        Ok(cells)
    }

    fn data(&self, header: &Fields, page: &[u8], dictionary: Option<&Cells>, column: &mut Cells) -> Result<()> {
        let bytes = self.unpack(page, header.count(2))?;
        let fields = header.fields(5).ok_or_else(|| self.wrong("a damaged page: no header"))?;
        let count = fields.count(1).unwrap_or(0) as usize;
        let mut values = bytes.as_slice();
        if self.leaf.is_optional {
            let length = values.get(..4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
            let levels = length.and_then(|length| values.get(4..length.checked_add(4)?));
            let levels = levels.ok_or_else(|| self.wrong("a damaged page: cut off"))?;
            self.refuse_missing(levels, count, column.len())?;
            values = &values[4 + levels.len()..];
        }
        self.values(fields.whole(2), values, count, dictionary, column)
    }

    fn data_v2(&self, header: &Fields, page: &[u8], dictionary: Option<&Cells>, column: &mut Cells) -> Result<()> {
        let fields = header.fields(8).ok_or_else(|| self.wrong("a damaged page: no header"))?;
        let count = fields.count(1).unwrap_or(0) as usize;
        let length = |field| fields.count(field).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let (repeated, defined) = (length(6), length(5));
        let levels = repeated.checked_add(defined).filter(|levels| *levels <= page.len());
        let levels = levels.ok_or_else(|| self.wrong("a damaged page: cut off"))?;
        if self.leaf.is_optional {
            self.refuse_missing(&page[repeated..levels], count, column.len())?;
        }
        let packed = &page[levels..];
        let values = if fields.flag(7) == Some(false) {
            packed.to_vec()
        } else {
            self.unpack(packed, header.count(2).map(|size| size.saturating_sub(levels as u64)))?
        };
        self.values(fields.whole(4), &values, count, dictionary, column)
    }

    /// Levels of 1 for values that are there.
    fn refuse_missing(&self, levels: &[u8], count: usize, before: usize) -> Result<()> {
        let mut row = 0;
        let mut missing = None;
        let fits = runs(levels, 1, count, |level| {
            if level == 0 && missing.is_none() {
                missing = Some(row);
            }
            row += 1;
        });
        match missing {
            Some(row) => {
                let place = Place::Cell(self.leaf.name.clone(), before + row);
                Err(Error::file(&self.file.path, place, "missing (null); every value is needed"))
            }
            None if fits => Ok(()),
            None => Err(self.wrong("a damaged page: cut off")),
        }
    }

    fn values(
        &self,
        encoding: Option<i64>,
        bytes: &[u8],
        count: usize,
        dictionary: Option<&Cells>,
        column: &mut Cells,
    ) -> Result<()> {
        let cut = || self.wrong("a damaged page: cut off");
        match encoding {
            Some(0) => self.plain(bytes, count, column),
            Some(2 | 8) => {
                let dictionary = dictionary.ok_or_else(|| self.wrong("damaged: its dictionary is missing"))?;
                let (width, indices) = bytes.split_first().ok_or_else(cut)?;
                let mut is_known = true;
                let fits = runs(indices, *width, count, |index| is_known &= column.push(dictionary, index as usize));
                if !is_known {
                    return Err(self.wrong("damaged: an index behind the end of its dictionary"));
                }
                if fits { Ok(()) } else { Err(cut()) }
            }
            // Flags as runs, behind their length.
            Some(3) if self.leaf.kind == Kind::Flag => {
                let Cells::Numbers(values) = column else { return Err(cut()) };
                let fits =
                    runs(bytes.get(4..).unwrap_or_default(), 1, count, |flag| values.push(f64::from(flag as u8)));
                if fits { Ok(()) } else { Err(cut()) }
            }
            other => {
                let names = [
                    (4, "bit-packed"),
                    (5, "delta-binary-packed"),
                    (6, "delta-length-byte-array"),
                    (7, "delta-byte-array"),
                    (9, "byte-stream-split"),
                ];
                let name = names.iter().find(|(number, _)| Some(*number) == other).map_or("unknown", |(_, name)| name);
                Err(self.wrong(format!("encoding {name}; plain and dictionary are read")))
            }
        }
    }

    /// Values one after the other.
    fn plain(&self, bytes: &[u8], count: usize, column: &mut Cells) -> Result<()> {
        let cut = || self.wrong("a damaged page: cut off");
        let width = match self.leaf.kind {
            Kind::I32 | Kind::F32 => 4,
            _ => 8,
        };
        match (self.leaf.kind, column) {
            (Kind::Bytes, Cells::Texts(texts)) => {
                let mut rest = bytes;
                for _ in 0..count {
                    let (length, behind) = rest.split_at_checked(4).ok_or_else(cut)?;
                    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
                    let (text, behind) = behind.split_at_checked(length).ok_or_else(cut)?;
                    let text = std::str::from_utf8(text).map_err(|_| {
                        let place = Place::Cell(self.leaf.name.clone(), texts.len());
                        Error::file(&self.file.path, place, "not UTF-8 text")
                    })?;
                    texts.push(text.to_owned());
                    rest = behind;
                }
            }
            (Kind::Flag, Cells::Numbers(values)) => {
                if bytes.len() < count.div_ceil(8) {
                    return Err(cut());
                }
                values.extend((0..count).map(|index| f64::from(bytes[index / 8] >> (index % 8) & 1)));
            }
            (kind, Cells::Numbers(values)) => {
                let bytes = count.checked_mul(width).and_then(|end| bytes.get(..end)).ok_or_else(cut)?;
                let number = match (kind, self.leaf.is_unsigned) {
                    (Kind::I32, false) => crate::number::Number::I32,
                    (Kind::I32, true) => crate::number::Number::U32,
                    (Kind::I64, false) => crate::number::Number::I64,
                    (Kind::I64, true) => crate::number::Number::U64,
                    (Kind::F32, _) => crate::number::Number::F32,
                    _ => crate::number::Number::F64,
                };
                number.decode(false, bytes, values);
            }
            _ => return Err(cut()),
        }
        Ok(())
    }
}

/// Runs of equal numbers and packed numbers of `width` bits, mixed; gives `count` of them to `each`. False where there
/// are not as many.
fn runs(bytes: &[u8], width: u8, count: usize, mut each: impl FnMut(u32)) -> bool {
    if width > 32 {
        return false;
    }
    let (width, mut at, mut left) = (usize::from(width), 0, count);
    while left > 0 {
        let (mut head, mut shift) = (0_u64, 0);
        loop {
            let Some(&byte) = bytes.get(at).filter(|_| shift < 35) else { return false };
            at += 1;
            head |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let many = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        if head & 1 == 0 {
            let Some(value) = bytes.get(at..at + width.div_ceil(8)) else { return false };
            at += value.len();
            let value = value.iter().rev().fold(0, |all, &byte| all << 8 | u32::from(byte));
            // A run of nothing would never end.
            if many == 0 {
                return false;
            }
            (0..many.min(left)).for_each(|_| each(value));
            left -= many.min(left);
        } else {
            let groups = many.saturating_mul(8).min(left.next_multiple_of(8));
            if groups == 0 {
                return false;
            }
            for index in 0..groups.min(left) {
                let mut value = 0_u32;
                for bit in 0..width {
                    let place = index * width + bit;
                    let Some(byte) = bytes.get(at + place / 8) else { return false };
                    value |= u32::from(byte >> (place % 8) & 1) << bit;
                }
                each(value);
            }
            at = at.saturating_add(many.saturating_mul(width));
            left -= groups.min(left);
        }
    }
    true
}
