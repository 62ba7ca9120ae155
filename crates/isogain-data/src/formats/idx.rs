//! IDX, the format of MNIST: two zeros, a type, the number of dimensions, the dimensions, then the numbers, all of it
//! most significant byte first.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use flate2::read::GzDecoder;
use isogain_core::network::Shape;

use super::{Request, open, reachable};
use crate::error::{Error, Place, Result};
use crate::file::Opened;
use crate::number::Number;
use crate::raw::{Bytes, Raw, Segment, place, product, wrong_length};
use crate::sheet::{Answers, Column, Places, Sheet};
use crate::table::Values;

/// The files of MNIST and of what took its place: training and test part, images and labels.
pub(crate) const NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Where the source is a folder: the four files in it.
pub(crate) fn folder(mut requests: Vec<Request<'_>>) -> Result<Vec<Request<'_>>> {
    let first = &requests[0];
    if !reachable(&first.path, first.key, &first.recipe.source)?.is_dir() {
        return Ok(requests);
    }
    let (recipe, limit, folder) = (first.recipe, first.limit, first.path.clone());
    if requests.len() > 1 || first.labels.is_some() {
        let expected = format!("is a folder, which has its own labels and test part: {}", NAMES.join(", "));
        return Err(Error::value("data.source", format!("\"{}\"", recipe.source), expected));
    }
    let file = |name: &str| {
        let found = [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.exists());
        found.ok_or_else(|| Error::whole(&folder, format!("no {name} (or .gz) in this folder")))
    };
    requests.clear();
    for [images, labels] in [[NAMES[0], NAMES[1]], [NAMES[2], NAMES[3]]] {
        let (path, labels) = (file(images)?, Some(file(labels)?));
        requests.push(Request { recipe, path, key: "data.source", labels, labels_key: "data.labels", limit });
    }
    Ok(requests)
}

pub(crate) fn read(request: &Request<'_>) -> Result<Sheet> {
    let written = |path: &Path| path.display().to_string();
    let path = &request.path;
    let Some(labels) = &request.labels else {
        return Err(Error::missing(
            request.labels_key,
            "missing: images in IDX have their labels in a file of their own",
        ));
    };
    let images = Array::read(open(path, request.key, &written(path))?, request.limit)?;
    let Some((&rows, sample)) = images.dims.split_first().filter(|(_, sample)| !sample.is_empty()) else {
        let message = format!("{} dimension; samples with at least one number each need 2", images.dims.len());
        return Err(Error::file(path, Place::Byte(3), message));
    };
    let shape = match sample {
        [values] => Shape::vector(*values),
        [height, width] => Shape::image(*height, *width, 1),
        [height, width, channels] => Shape::image(*height, *width, *channels),
        _ => {
            let message =
                format!("{} dimensions; samples, height, width and channels are at most 4", images.dims.len());
            return Err(Error::file(path, Place::Byte(3), message));
        }
    };
    if rows < 2 || shape.values() == 0 {
        let message = format!("{rows} samples of {} numbers; at least 2 samples of 1 are needed", shape.values());
        return Err(Error::file(path, Place::Byte(4), message));
    }
    let values = Values::Raw(images.raw(shape.values(), rows));
    let answers = answers(Array::read(open(labels, request.labels_key, &written(labels))?, request.limit)?, labels)?;
    Ok(Sheet { path: path.clone(), shape, values, answers })
}

fn answers(array: Array, path: &Path) -> Result<Answers> {
    if array.dims.len() != 1 {
        let message = format!("{} dimensions; labels have 1", array.dims.len());
        return Err(Error::file(path, Place::Byte(3), message));
    }
    let (rows, each) = (array.dims[0], array.number.bytes() as u64);
    let raw = array.raw(1, rows);
    let mut values = Vec::with_capacity(rows);
    for row in 0..rows {
        raw.read(row, &mut values)?;
    }
    let column =
        Column { path: path.to_path_buf(), name: "label".into(), texts: Vec::new(), places: Places::Bytes(8, each) };
    Ok(Answers::Numbers { column, values, outputs: 1 })
}

/// One file.
struct Array {
    number: Number,
    dims: Vec<usize>,
    bytes: Bytes,
}

impl Array {
    fn read(file: Opened, limit: u64) -> Result<Self> {
        if file.start(2)? == [0x1f, 0x8b] { Self::packed(&file) } else { Self::plain(file, limit) }
    }

    fn plain(file: Opened, limit: u64) -> Result<Self> {
        let (number, dims) = header(&file.start(4 + 4 * 255)?, &file.path)?;
        let from = 4 + 4 * dims.len() as u64;
        let found = file.bytes - from;
        let count = product(&dims).and_then(|count| count.checked_mul(number.bytes() as u64));
        if count != Some(found) {
            return Err(wrong_length(&file, from, &dims, number.bytes(), found));
        }
        // They fit: the file is as long.
        let dims = dims.iter().map(|&dim| dim as usize).collect();
        Ok(Self { number, dims, bytes: place(Arc::new(file), from, limit)? })
    }

    fn packed(file: &Opened) -> Result<Self> {
        let packed = file.all()?;
        let mut stream = GzDecoder::new(packed.as_slice());
        let damaged = |error: std::io::Error| {
            let what = if error.kind() == std::io::ErrorKind::UnexpectedEof { "cut off" } else { "damaged" };
            Error::whole(&file.path, format!("the gzip stream is {what} ({error}); unpack or fetch the file again"))
        };
        let mut start = Vec::new();
        stream.by_ref().take(4).read_to_end(&mut start).map_err(damaged)?;
        let more = start.get(3).map_or(0, |dims| 4 * u64::from(*dims));
        stream.by_ref().take(more).read_to_end(&mut start).map_err(damaged)?;
        let (number, dims) = header(&start, &file.path)?;
        let count = product(&dims).and_then(|count| count.checked_mul(number.bytes() as u64));
        let mut bytes = Vec::new();
        // One more than promised, to see whether there is more. Memory grows with what is really there.
        let most = count.unwrap_or(0).saturating_add(1);
        stream.take(most).read_to_end(&mut bytes).map_err(damaged)?;
        if count != Some(bytes.len() as u64) {
            return Err(wrong_length(file, start.len() as u64, &dims, number.bytes(), bytes.len() as u64));
        }
        let dims = dims.iter().map(|&dim| dim as usize).collect();
        Ok(Self { number, dims, bytes: Bytes::Memory(bytes) })
    }

    fn raw(self, values: usize, rows: usize) -> Raw {
        let segments = vec![Segment { rows, bytes: self.bytes }];
        Raw { number: self.number, is_big_endian: true, skip: 0, values, planes: 1, segments }
    }
}

/// Number type and dimensions.
fn header(start: &[u8], path: &Path) -> Result<(Number, Vec<u64>)> {
    let cut = |needed: usize| {
        let message = format!("the file ends inside the header, which has {needed} bytes");
        Error::file(path, Place::Byte(start.len() as u64), message)
    };
    let [first, second, kind, count, rest @ ..] = start else { return Err(cut(4)) };
    if [*first, *second] != [0, 0] {
        let message = format!("{first:02x} {second:02x}: not an IDX file, which begins with 00 00");
        return Err(Error::file(path, Place::Byte(0), message));
    }
    let number = match kind {
        0x08 => Number::U8,
        0x09 => Number::I8,
        0x0b => Number::I16,
        0x0c => Number::I32,
        0x0d => Number::F32,
        0x0e => Number::F64,
        other => {
            let message = format!("{other:02x}: not a type of IDX; must be 08, 09, 0b, 0c, 0d or 0e");
            return Err(Error::file(path, Place::Byte(2), message));
        }
    };
    let count = usize::from(*count);
    if count == 0 {
        return Err(Error::file(path, Place::Byte(3), "00 dimensions; at least 1 is needed"));
    }
    if rest.len() < 4 * count {
        return Err(cut(4 + 4 * count));
    }
    let dims =
        rest.chunks_exact(4).take(count).map(|dim| u64::from(u32::from_be_bytes([dim[0], dim[1], dim[2], dim[3]])));
    Ok((number, dims.collect()))
}
