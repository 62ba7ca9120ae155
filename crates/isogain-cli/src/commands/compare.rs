//! `isogain compare`: recorded runs side by side.

use anyhow::Result;
use isogain_core::record::compare::compare;
use isogain_core::record::read;
use isogain_core::render;

use crate::args::Compare;
use crate::output::{self, Status};

pub(crate) fn run(options: &Compare) -> Result<Status> {
    let opened = options.runs.iter().map(|path| Ok((path.display().to_string(), read(path)?)));
    let runs = opened.collect::<Result<Vec<_>>>()?;
    output::result(&render::comparison::comparison(&compare(&runs), options.format.into(), &output::rendering())?)?;
    Ok(Status::Clean)
}
