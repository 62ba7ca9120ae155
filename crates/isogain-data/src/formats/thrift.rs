//! Thrift's compact protocol, as far as the headers of Parquet need it: fields by number.

use std::collections::BTreeMap;

/// A value of any type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Flag(bool),
    Whole(i64),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Fields(Fields),
}

/// A struct, its fields by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(BTreeMap<i16, Value>);

impl Fields {
    pub(crate) fn whole(&self, field: i16) -> Option<i64> {
        match self.0.get(&field) {
            Some(Value::Whole(value)) => Some(*value),
            _ => None,
        }
    }

    /// A number that counts something.
    pub(crate) fn count(&self, field: i16) -> Option<u64> {
        self.whole(field).and_then(|value| u64::try_from(value).ok())
    }

    pub(crate) fn flag(&self, field: i16) -> Option<bool> {
        match self.0.get(&field) {
            Some(Value::Flag(value)) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn text(&self, field: i16) -> Option<String> {
        match self.0.get(&field) {
            Some(Value::Bytes(bytes)) => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        }
    }

    pub(crate) fn fields(&self, field: i16) -> Option<&Fields> {
        match self.0.get(&field) {
            Some(Value::Fields(fields)) => Some(fields),
            _ => None,
        }
    }

    /// The structs of a list; nothing where there is none.
    pub(crate) fn list(&self, field: i16) -> impl Iterator<Item = &Fields> {
        let list = match self.0.get(&field) {
            Some(Value::List(list)) => list.as_slice(),
            _ => &[],
        };
        list.iter().filter_map(|value| if let Value::Fields(fields) = value { Some(fields) } else { None })
    }
}

/// Reads a struct from the start of `bytes`; also how many bytes it takes. `None` where it is damaged or cut off.
pub(crate) fn read(bytes: &[u8]) -> Option<(Fields, usize)> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let fields = reader.fields()?;
    Some((fields, reader.at))
}

/// Structs in structs; Parquet's are 5 deep.
const DEEPEST: usize = 16;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn fields(&mut self) -> Option<Fields> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let (mut fields, mut field) = (Fields::default(), 0_i16);
        loop {
            let head = self.byte()?;
            if head == 0 {
                self.depth -= 1;
                return Some(fields);
            }
            field = match head >> 4 {
                0 => i16::try_from(self.signed()?).ok()?,
                step => field.checked_add(i16::from(step))?,
            };
            let value = match head & 0xf {
                1 => Value::Flag(true),
                2 => Value::Flag(false),
                kind => self.value(kind)?,
            };
            fields.0.insert(field, value);
        }
    }

    fn value(&mut self, kind: u8) -> Option<Value> {
        Some(match kind {
            // In a list a flag has a byte of its own.
            1 | 2 => Value::Flag(self.byte()? == 1),
            3 => Value::Whole(i64::from(self.byte()? as i8)),
            4..=6 => Value::Whole(self.signed()?),
            7 => {
                self.at = self.at.checked_add(8).filter(|at| *at <= self.bytes.len())?;
                Value::Whole(0)
            }
            8 => {
                let length = usize::try_from(self.unsigned()?).ok()?;
                let end = self.at.checked_add(length)?;
                let bytes = self.bytes.get(self.at..end)?.to_vec();
                self.at = end;
                Value::Bytes(bytes)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count =
                    if head >> 4 == 15 { usize::try_from(self.unsigned()?).ok()? } else { usize::from(head >> 4) };
                // Each takes a byte at least: what the header claims beyond that is not there.
                if count > self.bytes.len() - self.at {
                    return None;
                }
                Value::List((0..count).map(|_| self.value(head & 0xf)).collect::<Option<_>>()?)
            }
            12 => Value::Fields(self.fields()?),
            _ => return None,
        })
    }
}
