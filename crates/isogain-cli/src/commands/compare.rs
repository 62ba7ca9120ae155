//! `isogain compare`: recorded runs side by side.

use anyhow::Result;
use isogain_core::record::compare::compare;
use isogain_core::record::read;
use isogain_core::render::{self, Context};

use crate::args::Compare;
use crate::output::{self, Status};

pub(crate) fn run(options: &Compare) -> Result<Status> {
    let opened = options.runs.iter().map(|path| Ok((path.display().to_string(), read(path)?)));
    let runs = opened.collect::<Result<Vec<_>>>()?;
    let context = Context { style: output::style(), ..Context::default() };
    output::result(&render::comparison::comparison(&compare(&runs), options.format.into(), &context)?)?;
    Ok(Status::Clean)
}
