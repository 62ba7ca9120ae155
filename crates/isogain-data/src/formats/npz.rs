//! npz, several arrays of NumPy: a zip file of npy files, packed or not.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::npy::Header;
use super::{Request, open};
use crate::array::{Array, pairs};
use crate::error::{Error, Place, Result};
use crate::file::Opened;
use crate::raw::Bytes;
use crate::sheet::Sheet;

/// One file in the archive.
#[derive(Clone, Debug)]
struct Member {
    /// Without `.npy`.
    key: String,
    is_packed: bool,
    checksum: u32,
    packed: u64,
    /// Where its bytes begin.
    from: u64,
}

pub(crate) fn read(request: &Request<'_>) -> Result<Vec<Sheet>> {
    let path = &request.path;
    let file = Arc::new(open(path, request.key, &path.display().to_string())?);
    let members = members(&file)?;
    let keys: Vec<String> = members.iter().map(|member| member.key.clone()).collect();
    let array = |key: &String| {
        let member = members.iter().find(|member| member.key == *key);
        member.map(|member| array(&file, member, request.limit)).unwrap_or_else(|| Err(Error::whole(path, "no array")))
    };
    let sheet = |[inputs, answers]: &[String; 2]| array(inputs)?.sheet(array(answers)?.answers()?);
    pairs(&keys, &request.recipe.target, path)?.iter().map(sheet).collect()
}

fn array(file: &Arc<Opened>, member: &Member, limit: u64) -> Result<Array> {
    let place = Place::Key(member.key.clone());
    let wrong = |message: String| Error::file(&file.path, place.clone(), message);
    const START: u64 = 1 << 16;
    let packed = |count: u64| file.bytes_at(member.from, count);
    if !member.is_packed && member.packed > limit {
        let header = Header::read(&packed(START)?, &file.path)?;
        if header.bytes() != Some(member.packed - header.from) {
            return Err(wrong(format!("{} bytes; its header says {:?}", member.packed, header.dims)));
        }
        let from = member.from + header.from;
        return Ok(header.array(file.path.clone(), member.key.clone(), Bytes::Disk(Arc::clone(file), from)));
    }
    let stored = packed(member.packed)?;
    let mut bytes = if member.is_packed {
        let mut stream = DeflateDecoder::new(stored.as_slice());
        let damaged = |error: std::io::Error| wrong(format!("damaged: {error}"));
        let mut bytes = Vec::new();
        stream.by_ref().take(START).read_to_end(&mut bytes).map_err(damaged)?;
        let header = Header::read(&bytes, &file.path)?;
        // One more than promised, to see whether there is more. Memory grows with what is really there.
        let total = header.bytes().and_then(|count| count.checked_add(header.from)).unwrap_or(0);
        let most = (total + 1).saturating_sub(bytes.len() as u64);
        stream.take(most).read_to_end(&mut bytes).map_err(damaged)?;
        bytes
    } else {
        stored
    };
    let mut crc = Crc::new();
    crc.update(&bytes);
    let header = Header::read(&bytes, &file.path)?;
    let found = bytes.len() as u64 - header.from;
    if header.bytes() != Some(found) {
        return Err(wrong(format!("{found} bytes of numbers; its header says {:?}", header.dims)));
    }
    if crc.sum() != member.checksum {
        return Err(wrong("damaged: its checksum is wrong".into()));
    }
    bytes.drain(..header.from as usize);
    Ok(header.array(file.path.clone(), member.key.clone(), Bytes::Memory(bytes)))
}

/// A number of so many bytes at this place, least significant first; 0 behind the end.
fn number(bytes: &[u8], at: usize, count: usize) -> u64 {
    let bytes = bytes.get(at..at + count).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The table at the end of the archive (PKWARE's APPNOTE, sections 4.3.12 to 4.3.16).
fn members(file: &Opened) -> Result<Vec<Member>> {
    const END: &[u8] = b"PK\x05\x06";
    const END_LENGTH: u64 = 22;
    const LONGEST_COMMENT: u64 = 1 << 16;
    let path: &Path = &file.path;
    let tail_from = file.bytes.saturating_sub(END_LENGTH + LONGEST_COMMENT);
    let tail = file.bytes_at(tail_from, file.bytes - tail_from)?;
    let Some(end) = tail.windows(END.len()).rposition(|window| window == END) else {
        let message = "no table of contents at its end: cut off, or not a zip file";
        return Err(Error::file(path, Place::Byte(file.bytes), message));
    };
    let (mut count, mut length, mut from) =
        (number(&tail, end + 10, 2), number(&tail, end + 12, 4), number(&tail, end + 16, 4));
    if count == 0xffff || from == 0xffff_ffff || length == 0xffff_ffff {
        let locator = end.checked_sub(20).filter(|&at| tail[at..].starts_with(b"PK\x06\x07"));
        let at = locator.map_or(0, |at| number(&tail, at + 8, 8));
        let large = file.bytes_at(at, 56)?;
        (count, length, from) = (number(&large, 32, 8), number(&large, 40, 8), number(&large, 48, 8));
    }
    let table = file.bytes_at(from, length)?;
    let (mut members, mut at) = (Vec::new(), 0);
    for _ in 0..count {
        let entry = table.get(at..).unwrap_or_default();
        if !entry.starts_with(b"PK\x01\x02") {
            let message = "the table of contents is damaged";
            return Err(Error::file(path, Place::Byte(from.saturating_add(at as u64)), message));
        }
        let lengths = [28, 30, 32].map(|at| number(entry, at, 2) as usize);
        let name = entry.get(46..46 + lengths[0]).unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        let extra = entry.get(46 + lengths[0]..46 + lengths[0] + lengths[1]).unwrap_or_default();
        let [_, packed, local] = sizes(entry, extra);
        at += 46 + lengths.iter().sum::<usize>();
        let Some(key) = name.strip_suffix(".npy") else { continue };
        let is_packed = match number(entry, 10, 2) {
            0 => false,
            8 => true,
            other => {
                let message = format!("packed by method {other}; 0 (not at all) and 8 (deflate) are read");
                return Err(Error::file(path, Place::Key(key.to_owned()), message));
            }
        };
        if number(entry, 8, 2) & 1 == 1 {
            return Err(Error::file(path, Place::Key(key.to_owned()), "encrypted"));
        }
        let head = file.bytes_at(local, 30)?;
        let from = local + 30 + number(&head, 26, 2) + number(&head, 28, 2);
        members.push(Member { key: key.to_owned(), is_packed, checksum: number(entry, 16, 4) as u32, packed, from });
    }
    if members.is_empty() {
        return Err(Error::whole(path, "no array (.npy) in this archive"));
    }
    Ok(members)
}

/// Sizes unpacked and packed, and the place of the member; those too large for 32 bits stand in a part of their own.
fn sizes(entry: &[u8], extra: &[u8]) -> [u64; 3] {
    let mut found = [number(entry, 24, 4), number(entry, 20, 4), number(entry, 42, 4)];
    let mut at = 0;
    while at + 4 <= extra.len() {
        let (kind, length) = (number(extra, at, 2), number(extra, at + 2, 2) as usize);
        if kind == 1 {
            let mut value = at + 4;
            for size in found.iter_mut().filter(|size| **size == 0xffff_ffff) {
                *size = number(extra, value, 8);
                value += 8;
            }
        }
        at += 4 + length;
    }
    found
}
