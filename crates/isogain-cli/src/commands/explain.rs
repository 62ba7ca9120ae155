//! `isogain explain`: the page of a rule or a remedy.

use anyhow::{Error, Result};
use isogain_core::render::Format;
use isogain_core::render::explain::explain;

use crate::args::Explain;
use crate::output::{self, Status};

pub(crate) fn run(options: &Explain) -> Result<Status> {
    let text = explain(options.name.as_deref(), Format::Text).map_err(Error::msg)?;
    output::result(&text)?;
    Ok(Status::Clean)
}
