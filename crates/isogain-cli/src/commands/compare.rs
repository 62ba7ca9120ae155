//! `isogain compare`: recorded runs side by side, as text or as a page.

use anyhow::{Context as _, Result};
use isogain_core::record::compare::compare;
use isogain_core::record::import;
use isogain_core::render;
use isogain_report::Digest;

use crate::args::Compare;
use crate::output::{self, Status};

pub(crate) fn run(options: &Compare) -> Result<Status> {
    let opened = options.runs.iter().map(|path| Ok((path.display().to_string(), import::open(path)?)));
    let runs = opened.collect::<Result<Vec<_>>>()?;
    if let Some(path) = &options.html {
        let digests: Vec<(String, Digest)> = runs.iter().map(|(name, run)| (name.clone(), Digest::of(run))).collect();
        let shown: Vec<(String, &Digest)> = digests.iter().map(|(name, run)| (name.clone(), run)).collect();
        let page = isogain_report::compare_html(&shown)?;
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
        output::note(&format!("wrote {}", path.display()));
        return Ok(Status::Clean);
    }
    output::result(&render::comparison::comparison(&compare(&runs), options.format.into(), &output::rendering())?)?;
    Ok(Status::Clean)
}
