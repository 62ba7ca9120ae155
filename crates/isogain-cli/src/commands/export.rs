//! `isogain export`: a recorded run in the format of another program.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use isogain_core::record::Run;
use isogain_core::record::export::{csv, json, parquet, tensorboard};
use isogain_core::record::import;

use crate::args::{Export, ExportFormat};
use crate::output::{self, Status};

pub(crate) fn run(options: &Export) -> Result<Status> {
    let run = import::open(&options.run)?;
    match (&options.out, options.to) {
        (out, ExportFormat::Tensorboard) => events(&run, &options.run, out.as_deref())?,
        (Some(path), format) => file(&run, format, path)?,
        (None, ExportFormat::Parquet) if io::stdout().is_terminal() => {
            bail!("a terminal cannot show Parquet; say where it goes with --out FILE")
        }
        // Who closes the pipe has read enough.
        (None, format) => match write(&run, format, &mut BufWriter::new(io::stdout().lock())) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                return Err(error).context("cannot write the result");
            }
            _ => {}
        },
    }
    Ok(Status::Clean)
}

fn write(run: &Run, format: ExportFormat, mut to: &mut dyn Write) -> io::Result<()> {
    match format {
        ExportFormat::Csv => csv::to_csv(run, &mut to),
        ExportFormat::Json => json::to_json(run, &mut to),
        ExportFormat::Parquet => parquet::to_parquet(run, &mut to),
        ExportFormat::Tensorboard => tensorboard::to_tensorboard(run, &mut to),
    }?;
    to.flush()
}

fn file(run: &Run, format: ExportFormat, path: &Path) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    write(run, format, &mut BufWriter::new(File::create(path).with_context(cannot)?)).with_context(cannot)?;
    output::note(&format!("wrote {}", path.display()));
    Ok(())
}

/// TensorBoard is pointed at folders: the events are a file in one.
fn events(run: &Run, of: &Path, out: Option<&Path>) -> Result<()> {
    let folder = match out {
        Some(folder) => folder.to_path_buf(),
        None if of.is_dir() => of.join("tensorboard"),
        None => bail!("say which folder the events go into, with --out DIR"),
    };
    let folder: PathBuf = folder;
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    file(run, ExportFormat::Tensorboard, &folder.join(tensorboard::FILE_NAME))?;
    output::note(&format!("to see it: tensorboard --logdir {}", folder.display()));
    Ok(())
}
