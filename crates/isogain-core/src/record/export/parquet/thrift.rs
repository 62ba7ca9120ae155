//! Thrift's compact protocol, as far as the headers of Parquet need it: structs whose fields come in the order of their
//! numbers.

const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A struct that is being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    fn field(&mut self, field: u8, kind: u8) {
        debug_assert!(field > self.last && field - self.last < 16, "fields come in order");
        self.bytes.push((field - self.last) << 4 | kind);
        self.last = field;
    }

    pub(super) fn i32(&mut self, field: u8, value: i32) -> &mut Self {
        self.field(field, I32);
        varint(zigzag(i64::from(value)), &mut self.bytes);
        self
    }

    pub(super) fn i64(&mut self, field: u8, value: u64) -> &mut Self {
        self.field(field, I64);
        varint(zigzag(value as i64), &mut self.bytes);
        self
    }

    pub(super) fn text(&mut self, field: u8, value: &str) -> &mut Self {
        self.field(field, BINARY);
        binary(value, &mut self.bytes);
        self
    }

    pub(super) fn structure(&mut self, field: u8, value: Struct) -> &mut Self {
        self.field(field, STRUCT);
        self.bytes.extend(value.end());
        self
    }

    pub(super) fn structs(&mut self, field: u8, values: Vec<Struct>) -> &mut Self {
        self.list(field, values.len(), STRUCT);
        values.into_iter().for_each(|value| self.bytes.extend(value.end()));
        self
    }

    pub(super) fn i32s(&mut self, field: u8, values: &[i32]) -> &mut Self {
        self.list(field, values.len(), I32);
        values.iter().for_each(|value| varint(zigzag(i64::from(*value)), &mut self.bytes));
        self
    }

    pub(super) fn texts(&mut self, field: u8, values: &[&str]) -> &mut Self {
        self.list(field, values.len(), BINARY);
        values.iter().for_each(|value| binary(value, &mut self.bytes));
        self
    }

    fn list(&mut self, field: u8, length: usize, kind: u8) {
        self.field(field, LIST);
        if length < 15 {
            self.bytes.push((length as u8) << 4 | kind);
        } else {
            self.bytes.push(0xf0 | kind);
            varint(length as u64, &mut self.bytes);
        }
    }

    /// Its bytes, the mark of its end included.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn binary(text: &str, output: &mut Vec<u8>) {
    varint(text.len() as u64, output);
    output.extend(text.as_bytes());
}

/// Small numbers of either sign become small numbers.
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Seven bits a byte, the lowest first.
pub(super) fn varint(mut value: u64, output: &mut Vec<u8>) {
    while value >= 0x80 {
        output.push(value as u8 | 0x80);
        value >>= 7;
    }
    output.push(value as u8);
}
