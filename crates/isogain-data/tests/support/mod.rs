//! Files of every format, written for tests.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses some of it, and stops where it cannot go on")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use flate2::Crc;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use isogain_core::recipe::Data;
use isogain_data::Dataset;

/// A folder that goes away with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Without standardisation, in batches of 2; the error as the user reads it, the folder left out.
    pub(crate) fn load(&self, change: impl FnOnce(&mut Data)) -> Result<Dataset, String> {
        let mut recipe = Data { batch: 2, standardize: false, ..Data::default() };
        change(&mut recipe);
        let prefix = format!("{}{}", self.0.path().display(), std::path::MAIN_SEPARATOR);
        Dataset::load(&recipe, self.0.path()).map_err(|error| error.to_string().replace(&prefix, ""))
    }
}

/// One array as NumPy writes it.
pub(crate) fn npy(dtype: &str, dims: &[usize], numbers: &[u8]) -> Vec<u8> {
    let dims: String = dims.iter().map(|dim| format!("{dim}, ")).collect();
    npy_with(&format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end()), numbers)
}

/// With this header.
pub(crate) fn npy_with(header: &str, numbers: &[u8]) -> Vec<u8> {
    let padding = 64 - (10 + header.len() + 1) % 64;
    let header = format!("{header}{}\n", " ".repeat(padding % 64));
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), numbers].concat()
}

/// A zip archive of npy files.
pub(crate) fn npz(members: &[(&str, Vec<u8>)], is_packed: bool) -> Vec<u8> {
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let name = format!("{name}.npy");
        let mut crc = Crc::new();
        crc.update(bytes);
        let stored = if is_packed {
            let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        } else {
            bytes.clone()
        };
        let mut common = vec![20, 0, 0, 0, if is_packed { 8 } else { 0 }, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend((stored.len() as u32).to_le_bytes());
        common.extend((bytes.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let at = (file.len() as u32).to_le_bytes();
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(stored);
        table.extend(b"PK\x01\x02\x14\x00");
        table.extend(&common);
        table.extend([0; 10]);
        table.extend(at);
        table.extend(name.as_bytes());
    }
    let count = (members.len() as u16).to_le_bytes();
    let (at, length) = ((file.len() as u32).to_le_bytes(), (table.len() as u32).to_le_bytes());
    file.extend(table);
    [&file, b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &length, &at, &[0, 0]].concat()
}

/// Tensors by name, type and dimensions.
pub(crate) fn safetensors(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let (mut entries, mut numbers) = (Vec::new(), Vec::new());
    for (name, dtype, dims, bytes) in tensors {
        let from = numbers.len();
        numbers.extend_from_slice(bytes);
        let to = numbers.len();
        entries.push(format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{dims:?},\"data_offsets\":[{from},{to}]}}"));
    }
    let header = format!("{{{}}}", entries.join(","));
    [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), &numbers].concat()
}

/// Eight bits a channel, without filters.
pub(crate) fn png(width: u32, height: u32, channels: u8, pixels: &[u8]) -> Vec<u8> {
    let line = (width * u32::from(channels)) as usize;
    let lines: Vec<u8> = pixels.chunks(line).flat_map(|line| [&[0], line].concat()).collect();
    png_with(width, height, 8, [0, 0, 4, 2, 6][usize::from(channels)], &lines)
}

/// With these bits, colours and lines.
pub(crate) fn png_with(width: u32, height: u32, bits: u8, colour: u8, lines: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(lines).unwrap();
    let header = [width.to_be_bytes().as_slice(), &height.to_be_bytes(), &[bits, colour, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in [(b"IHDR", header), (b"IDAT", encoder.finish().unwrap()), (b"IEND", Vec::new())] {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(&body);
        file.extend((body.len() as u32).to_be_bytes());
        file.extend(kind);
        file.extend(&body);
        file.extend(crc.sum().to_be_bytes());
    }
    file
}

/// An IDX file.
pub(crate) fn idx(kind: u8, dims: &[u32], numbers: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend(numbers);
    bytes
}
