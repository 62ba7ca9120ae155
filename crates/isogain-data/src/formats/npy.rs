//! npy, one array of NumPy (format versions 1 to 3): a magic text, a header that is a Python dictionary, the numbers.

use std::path::Path;
use std::sync::Arc;

use super::{Request, open};
use crate::array::Array;
use crate::error::{Error, Place, Result};
use crate::file::Opened;
use crate::number::Number;
use crate::raw::{place, product, wrong_length};
use crate::sheet::Sheet;

pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// Most bytes of a header; NumPy's own limit is 10,000.
const MOST_HEADER: u64 = 1 << 16;

pub(crate) fn read(request: &Request<'_>) -> Result<Sheet> {
    let Some(labels) = &request.labels else {
        return Err(Error::missing(
            request.labels_key,
            "missing: one npy file holds the inputs, another one the targets (or both in one npz)",
        ));
    };
    let inputs = array(open(&request.path, request.key, &request.path.display().to_string())?, request.limit)?;
    let answers = array(open(labels, request.labels_key, &labels.display().to_string())?, request.limit)?;
    inputs.sheet(answers.answers()?)
}

fn array(file: Opened, limit: u64) -> Result<Array> {
    let path = file.path.clone();
    let header = Header::read(&file.start(MOST_HEADER)?, &path)?;
    let found = file.bytes - header.from;
    if header.bytes() != Some(found) {
        return Err(wrong_length(&file, header.from, &header.dims, header.number.bytes(), found));
    }
    let bytes = place(Arc::new(file), header.from, limit)?;
    Ok(header.array(path, String::new(), bytes))
}

/// What is said before the numbers.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) number: Number,
    pub(crate) is_big_endian: bool,
    pub(crate) dims: Vec<u64>,
    /// Where the numbers begin.
    pub(crate) from: u64,
}

impl Header {
    /// Bytes of all numbers, if any file could hold them.
    pub(crate) fn bytes(&self) -> Option<u64> {
        product(&self.dims)?.checked_mul(self.number.bytes() as u64)
    }

    /// With bytes of that length.
    pub(crate) fn array(self, path: std::path::PathBuf, key: String, bytes: crate::raw::Bytes) -> Array {
        let dims = self.dims.iter().map(|&dim| dim as usize).collect();
        Array { path, key, number: self.number, is_big_endian: self.is_big_endian, dims, bytes }
    }

    pub(crate) fn read(start: &[u8], path: &Path) -> Result<Self> {
        let wrong = |byte: usize, message: String| Error::file(path, Place::Byte(byte as u64), message);
        if !start.starts_with(MAGIC) {
            return Err(wrong(0, "not an npy file, which begins with 93 and NUMPY".into()));
        }
        let cut = || wrong(start.len(), "the file ends inside the header".into());
        let (version, length, from) = match *start.get(MAGIC.len()..).unwrap_or_default() {
            [1, _, a, b, ..] => (1, u64::from(u16::from_le_bytes([a, b])), 10),
            [version @ (2 | 3), _, a, b, c, d, ..] => (version, u64::from(u32::from_le_bytes([a, b, c, d])), 12),
            [version, _, ..] if !(1..=3).contains(&version) => {
                return Err(wrong(6, format!("version {version} of the format; 1 to 3 are known")));
            }
            _ => return Err(cut()),
        };
        let end = from as u64 + length;
        if end > MOST_HEADER {
            return Err(wrong(
                8,
                format!("a header of {length} bytes (version {version}); at most {MOST_HEADER} are read"),
            ));
        }
        let text = start.get(from..end as usize).ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| wrong(from, "the header is not text".into()))?;
        let missing = |key: &str| wrong(from, format!("no '{key}' in the header {}", printable(text.trim())));
        let descr = value(text, "descr").ok_or_else(|| missing("descr"))?;
        let dtype = descr.trim_matches(['\'', '"']);
        let (number, is_big_endian) = number(dtype).ok_or_else(|| {
            let expected = "must be bool, an integer, float16, float32 or float64 (array.astype)";
            wrong(from, format!("dtype {}: {expected}", printable(descr)))
        })?;
        let shape = value(text, "shape").ok_or_else(|| missing("shape"))?;
        let dims = shape.trim_matches(['(', ')']).split(',').map(str::trim).filter(|dim| !dim.is_empty());
        let dims: Option<Vec<u64>> = dims.map(|dim| dim.parse().ok()).collect();
        let Some(dims) = dims else { return Err(wrong(from, format!("shape {}: not a tuple", printable(shape)))) };
        let order = value(text, "fortran_order").ok_or_else(|| missing("fortran_order"))?;
        if order == "True" && dims.len() > 1 {
            let message = "stored column by column (Fortran order); save np.ascontiguousarray(array) instead";
            return Err(wrong(from, message.into()));
        }
        if dims.is_empty() {
            return Err(wrong(from, "a single number; samples need at least one dimension".into()));
        }
        Ok(Self { number, is_big_endian, dims, from: end })
    }
}

/// Without characters that a terminal would act on.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// The value of a key in the text of a Python dictionary, as written.
fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let after = text.find(&format!("'{key}'")).map(|at| text[at + key.len() + 2..].trim_start())?;
    let after = after.strip_prefix(':')?.trim_start();
    let end = match after.chars().next()? {
        '(' => after.find(')')? + 1,
        '[' => after.rfind(']')? + 1,
        quote @ ('\'' | '"') => after[1..].find(quote)? + 2,
        _ => after.find([',', '}'])?,
    };
    Some(after[..end].trim())
}

/// Number type and order of bytes of a dtype: `<f8`, `|u1`.
fn number(dtype: &str) -> Option<(Number, bool)> {
    let (order, kind) = dtype.split_at_checked(1)?;
    let number = match kind {
        "b1" => Number::Bool,
        "u1" => Number::U8,
        "i1" => Number::I8,
        "u2" => Number::U16,
        "i2" => Number::I16,
        "u4" => Number::U32,
        "i4" => Number::I32,
        "u8" => Number::U64,
        "i8" => Number::I64,
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        _ => return None,
    };
    match order {
        "<" | "|" => Some((number, false)),
        "=" => Some((number, cfg!(target_endian = "big"))),
        ">" => Some((number, true)),
        _ => None,
    }
}
