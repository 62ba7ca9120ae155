//! `isogain export`: a recorded run in the format of another program.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};

use anyhow::{Context as _, Result};
use isogain_core::record::export::{csv, json};
use isogain_core::record::read;

use crate::args::{Export, ExportFormat};
use crate::output::{self, Status};

pub(crate) fn run(options: &Export) -> Result<Status> {
    let run = read(&options.run)?;
    let write = |mut to: &mut dyn Write| {
        match options.to {
            ExportFormat::Csv => csv::to_csv(&run, &mut to),
            ExportFormat::Json => json::to_json(&run, &mut to),
        }
        .and_then(|()| to.flush())
    };
    match &options.out {
        Some(path) => {
            let cannot = || format!("cannot write {}", path.display());
            write(&mut BufWriter::new(File::create(path).with_context(cannot)?)).with_context(cannot)?;
            output::note(&format!("wrote {}", path.display()));
        }
        // Who closes the pipe has read enough.
        None => match write(&mut BufWriter::new(std::io::stdout().lock())) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                return Err(error).context("cannot write the result");
            }
            _ => {}
        },
    }
    Ok(Status::Clean)
}
