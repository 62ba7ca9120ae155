//! Which format a path has, by its name and its first bytes.

use std::fmt;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use isogain_core::names::nearest;
use isogain_core::recipe::{Data as DataRecipe, Format};

use super::Request;
use crate::error::{Error, Result};
use crate::file::Opened;

/// The format of what the recipe names.
pub(crate) fn format(request: &Request<'_>) -> Result<Format> {
    let path = &request.path;
    if reachable(path, request.key, &request.recipe.source)?.is_dir() {
        return folder(request);
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let by_name = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv") => Some(Format::Csv),
        Some("npy") => Some(Format::Npy),
        Some("npz") => Some(Format::Npz),
        Some("parquet") => Some(Format::Parquet),
        Some("ts") => Some(Format::Ts),
        Some("txt") => Some(Format::Text),
        Some("safetensors") => Some(Format::Safetensors),
        Some("idx") => Some(Format::Idx),
        _ if name.contains("-idx") || name.contains(".idx") => Some(Format::Idx),
        _ => None,
    };
    by_name.map_or_else(|| by_content(path), Ok)
}

/// A folder is told by the names in it.
fn folder(request: &Request<'_>) -> Result<Format> {
    let path = &request.path;
    let has = |name: &str| path.join(name).exists();
    if has("data_batch_1.bin") {
        return Ok(Format::Cifar10);
    }
    if has("train.bin") && has("test.bin") {
        return Ok(Format::Cifar100);
    }
    if super::idx::NAMES.iter().any(|name| has(name) || has(&format!("{name}.gz"))) {
        return Ok(Format::Idx);
    }
    let entries = std::fs::read_dir(path).map_err(Error::system("read", path))?;
    if entries.flatten().any(|entry| entry.path().is_dir()) {
        return Ok(Format::Images);
    }
    let expected = format!(
        "cannot read {}: a folder that holds neither subfolders of images, nor the files of MNIST \
         (train-images-idx3-ubyte), nor the batches of CIFAR (data_batch_1.bin)",
        path.display()
    );
    Err(Error::value(request.key, format!("\"{}\"", request.recipe.source), expected))
}

fn by_content(path: &Path) -> Result<Format> {
    let file = Opened::new(path)?;
    let start = file.start(4096)?;
    let start = if start.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        // What is wrong with it is for the format to say.
        let _ = GzDecoder::new(start.as_slice()).take(4096).read_to_end(&mut unpacked);
        unpacked
    } else {
        start
    };
    let is_record = |bytes: u64| file.bytes > 0 && file.bytes % bytes == 0;
    let text = std::str::from_utf8(&start).or_else(|error| std::str::from_utf8(&start[..error.valid_up_to()])).ok();
    Ok(match start.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Format::Npy,
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Format::Npz,
        [b'P', b'A', b'R', b'1', ..] => Format::Parquet,
        [0, 0, 8 | 9 | 11..=14, 1..=8, ..] => Format::Idx,
        _ if is_record(3073) && !is_record(3074) => Format::Cifar10,
        _ if is_record(3074) && !is_record(3073) => Format::Cifar100,
        _ => match text {
            Some(text) if text.lines().any(|line| line.trim().eq_ignore_ascii_case("@data")) => Format::Ts,
            Some(text) if text.lines().next().is_some_and(|line| line.contains(',')) => Format::Csv,
            _ => {
                let expected = "cannot be found from its name or its first bytes; set data.format to csv, idx, \
                                cifar-10, cifar-100, images, parquet, npy, npz, ts, text or safetensors";
                return Err(Error::whole(path, format!("its format {expected}")));
            }
        },
    })
}

/// Opens the file that a key of the recipe names.
pub(crate) fn open(path: &Path, key: &str, written: &str) -> Result<Opened> {
    if reachable(path, key, written)?.is_dir() {
        let expected = format!("cannot read {}: is a folder; must be a file", path.display());
        return Err(Error::value(key, format!("\"{written}\""), expected));
    }
    Opened::new(path)
}

/// What the system knows about a path that a key of the recipe names.
pub(crate) fn reachable(path: &Path, key: &str, written: &str) -> Result<std::fs::Metadata> {
    std::fs::metadata(path).map_err(|error| {
        let near = nearest(written, DataRecipe::BUILT_IN.into_iter()).filter(|_| key == "data.source");
        let hint = match near {
            Some(name) => format!("did you mean '{name}'?"),
            None if key == "data.source" => {
                format!("must be the path of a file or folder, or built in: {}", DataRecipe::BUILT_IN.join(", "))
            }
            None => "must be the path of a file".to_owned(),
        };
        Error::value(key, format!("\"{written}\""), format!("cannot read {}: {error}; {hint}", path.display()))
    })
}

/// A format's name in quotes, as it stands in a recipe.
pub(crate) fn quoted(format: Format) -> impl fmt::Display {
    let name = match format {
        Format::Csv => "csv",
        Format::Idx => "idx",
        Format::Cifar10 => "cifar-10",
        Format::Cifar100 => "cifar-100",
        Format::Images => "images",
        Format::Parquet => "parquet",
        Format::Npy => "npy",
        Format::Npz => "npz",
        Format::Ts => "ts",
        Format::Text => "text",
        Format::Safetensors => "safetensors",
    };
    format!("\"{name}\"")
}
