//! The binary batches of CIFAR: for each image its labels, then 32 x 32 pixels in three planes.

use std::path::PathBuf;
use std::sync::Arc;

use isogain_core::names::nearest;
use isogain_core::network::Shape;

use super::{Request, open, reachable};
use crate::error::{Error, Place, Result};
use crate::file::Opened;
use crate::number::Number;
use crate::raw::{Raw, Segment, place};
use crate::sheet::{Answers, Sheet};
use crate::table::Values;

/// One of the two sets.
#[derive(Clone, Copy)]
pub(crate) struct Set {
    train: &'static [&'static str],
    test: &'static str,
    /// Names of the labels and how many classes they tell apart, in the order of their bytes.
    labels: &'static [(&'static str, usize)],
}

/// CIFAR-10.
pub(crate) const TEN: Set = Set {
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    labels: &[("label", 10)],
};

/// CIFAR-100.
pub(crate) const HUNDRED: Set =
    Set { train: &["train.bin"], test: "test.bin", labels: &[("coarse", 20), ("fine", 100)] };

const SIDE: usize = 32;
const COLOURS: usize = 3;
const PIXELS: usize = SIDE * SIDE * COLOURS;

/// The folder with training and test batches, or single batches.
pub(crate) fn read(requests: &[Request<'_>], set: Set) -> Result<Vec<Sheet>> {
    let first = &requests[0];
    let label = label(first, set)?;
    if !reachable(&first.path, first.key, &first.recipe.source)?.is_dir() {
        return requests.iter().map(|request| part(std::slice::from_ref(&request.path), request, set, label)).collect();
    }
    if requests.len() > 1 {
        let expected = format!("has no effect: the folder has its own test part, {}", set.test);
        return Err(Error::value("data.test_source", format!("\"{}\"", first.recipe.test_source), expected));
    }
    let train: Vec<PathBuf> = set.train.iter().map(|name| first.path.join(name)).collect();
    Ok(vec![part(&train, first, set, label)?, part(&[first.path.join(set.test)], first, set, label)?])
}

/// Which label is the target: the last one, unless the recipe names another.
fn label(request: &Request<'_>, set: Set) -> Result<usize> {
    let Some(name) = request.recipe.target.first() else { return Ok(set.labels.len() - 1) };
    set.labels.iter().position(|(known, _)| known == name).ok_or_else(|| {
        let known: Vec<&str> = set.labels.iter().map(|(name, _)| *name).collect();
        let hint = nearest(name, known.iter().copied()).map(|near| format!("; did you mean '{near}'?"));
        let expected = format!("must be {}{}", known.join(" or "), hint.unwrap_or_default());
        Error::value("data.target", format!("\"{name}\""), expected)
    })
}

fn part(paths: &[PathBuf], request: &Request<'_>, set: Set, label: usize) -> Result<Sheet> {
    let record = set.labels.len() + PIXELS;
    let classes = set.labels[label].1;
    let (mut segments, mut labels) = (Vec::new(), Vec::new());
    for path in paths {
        let file = Arc::new(open(path, request.key, &path.display().to_string())?);
        if file.bytes == 0 || file.bytes % record as u64 != 0 {
            let message = format!(
                "{} bytes: not a multiple of {record} ({} and {SIDE} x {SIDE} x {COLOURS} pixels)",
                file.bytes,
                if set.labels.len() == 1 { "a label" } else { "two labels" },
            );
            return Err(Error::whole(path, message));
        }
        let rows = usize::try_from(file.bytes / record as u64).map_err(|_| Error::whole(path, "too many samples"))?;
        collect_labels(&file, rows, record, label, classes, &mut labels)?;
        segments.push(Segment { rows, bytes: place(file, 0, request.limit)? });
    }
    let raw = Raw {
        number: Number::U8,
        is_big_endian: true,
        skip: set.labels.len(),
        values: PIXELS,
        planes: COLOURS,
        segments,
    };
    let answers = Answers::Classes { labels, classes };
    Ok(Sheet {
        path: request.path.clone(),
        shape: Shape::image(SIDE, SIDE, COLOURS),
        values: Values::Raw(raw),
        answers,
    })
}

/// Reads the labels, some records at once.
fn collect_labels(
    file: &Opened,
    rows: usize,
    record: usize,
    label: usize,
    classes: usize,
    labels: &mut Vec<u32>,
) -> Result<()> {
    const AT_ONCE: usize = 1000;
    let mut buffer = vec![0; record * AT_ONCE.min(rows)];
    for start in (0..rows).step_by(AT_ONCE) {
        let count = AT_ONCE.min(rows - start);
        let piece = &mut buffer[..count * record];
        file.read_at(start as u64 * record as u64, piece)?;
        for (row, bytes) in piece.chunks_exact(record).enumerate() {
            if usize::from(bytes[label]) >= classes {
                let offset = (start + row) as u64 * record as u64 + label as u64;
                let message = format!("label {}: must be below {classes}; is it a file of CIFAR?", bytes[label]);
                return Err(Error::file(&file.path, Place::Byte(offset), message));
            }
            labels.push(u32::from(bytes[label]));
        }
    }
    Ok(())
}
