//! `isogain tour`: the classic account of vanishing and exploding gradients, claim by claim.

use std::collections::BTreeMap;

use anyhow::Result;
use isogain::tour::{TABLE, named};

use super::measured::Manner;
use crate::args::Tour;
use crate::folder;
use crate::output::{self, Status};

/// Where the results go when nobody says.
const DEFAULT: &str = "runs/tour";

pub(crate) fn run(options: &Tour) -> Result<Status> {
    let manner = Manner { page: isogain_report::tour_html, format: options.format, quiet: options.quiet };
    if let Some(name) = &options.name {
        return manner.one(named(name)?, options.html.as_deref());
    }
    let out = folder::fresh(options.out.as_deref(), DEFAULT)?;
    let status = manner.all(&TABLE, BTreeMap::new(), options.threads, &out)?;
    if status.is_none() {
        output::note("stopped; one stop alone: isogain tour NAME");
    }
    Ok(status.unwrap_or(Status::Interrupted))
}
