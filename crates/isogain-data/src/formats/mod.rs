//! Files that are read, one format a file of this folder.

mod cifar;
mod csv;
mod find;
mod idx;
mod images;
mod npy;
mod npz;
mod parquet;
mod safetensors;
mod text;
mod thrift;
mod ts;

use std::path::{Path, PathBuf};

use isogain_core::recipe::{Data as DataRecipe, Format};

use crate::error::{Error, Result};
use crate::sheet::{Sheet, tables};
use crate::table::Table;

pub(crate) use find::{open, reachable};

/// What a format reads: one part of the data.
pub(crate) struct Request<'a> {
    pub(crate) recipe: &'a DataRecipe,
    /// The file or folder, and the key of the recipe that names it.
    pub(crate) path: PathBuf,
    pub(crate) key: &'static str,
    /// The file of the labels, where there is one.
    pub(crate) labels: Option<PathBuf>,
    pub(crate) labels_key: &'static str,
    /// Binary files of more bytes stay on disk.
    pub(crate) limit: u64,
}

/// The whole data as one table, or training and test part as two.
pub(crate) fn load(recipe: &DataRecipe, folder: &Path, limit: u64) -> Result<Vec<Table>> {
    let request = |source: &str, labels: &str, key, labels_key| Request {
        recipe,
        path: folder.join(source),
        key,
        labels: (!labels.is_empty()).then(|| folder.join(labels)),
        labels_key,
        limit,
    };
    let mut requests = vec![request(&recipe.source, &recipe.labels, "data.source", "data.labels")];
    if !recipe.test_source.is_empty() {
        requests.push(request(&recipe.test_source, &recipe.test_labels, "data.test_source", "data.test_labels"));
    }
    let format = match recipe.format {
        Some(format) => format,
        None => find::format(&requests[0])?,
    };
    refuse(recipe, format)?;
    let sheets: Vec<Sheet> = match format {
        Format::Csv => each(&requests, csv::read)?,
        Format::Idx => each(&idx::folder(requests)?, idx::read)?,
        Format::Cifar10 => cifar::read(&requests, cifar::TEN)?,
        Format::Cifar100 => cifar::read(&requests, cifar::HUNDRED)?,
        Format::Images => each(&requests, images::read)?,
        Format::Npy => each(&requests, npy::read)?,
        Format::Npz => archives(&requests, npz::read)?,
        Format::Safetensors => archives(&requests, safetensors::read)?,
        Format::Text => text::read(&requests)?,
        Format::Ts => ts::read(&requests)?,
        Format::Parquet => each(&requests, parquet::read)?,
    };
    tables(sheets, recipe.task)
}

fn each(requests: &[Request<'_>], read: impl Fn(&Request<'_>) -> Result<Sheet>) -> Result<Vec<Sheet>> {
    requests.iter().map(read).collect()
}

/// Files that may hold the test part too.
fn archives(requests: &[Request<'_>], read: impl Fn(&Request<'_>) -> Result<Vec<Sheet>>) -> Result<Vec<Sheet>> {
    let mut sheets = Vec::new();
    for request in requests {
        let found = read(request)?;
        if requests.len() > 1 && found.len() > 1 {
            let expected = "has no effect: the file has its own test part, x_test and y_test";
            let written = format!("\"{}\"", request.recipe.test_source);
            return Err(Error::value("data.test_source", written, expected));
        }
        sheets.extend(found);
    }
    Ok(sheets)
}

/// Refuses settings that the format would ignore.
fn refuse(recipe: &DataRecipe, format: Format) -> Result<()> {
    let name = find::quoted(format);
    let quoted = |text: &str| format!("\"{text}\"");
    let has_labels = matches!(format, Format::Idx | Format::Npy);
    for (key, value) in [("data.labels", &recipe.labels), ("data.test_labels", &recipe.test_labels)] {
        if !has_labels && !value.is_empty() {
            return Err(Error::value(key, quoted(value), format!("has no effect: not for format = {name}")));
        }
    }
    let has_target =
        matches!(format, Format::Csv | Format::Parquet | Format::Npz | Format::Safetensors | Format::Cifar100);
    if let Some(target) = recipe.target.first().filter(|_| !has_target) {
        return Err(Error::value("data.target", quoted(target), format!("has no effect: not for format = {name}")));
    }
    if format != Format::Text && recipe.length > 0 {
        return Err(Error::value("data.length", recipe.length, format!("has no effect: not for format = {name}")));
    }
    Ok(())
}
