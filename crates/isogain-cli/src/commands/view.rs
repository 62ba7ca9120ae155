//! `isogain view`: one recorded run, as text or as a page.

use anyhow::{Context as _, Result};
use isogain_core::record::read;
use isogain_core::render;

use crate::args::View;
use crate::output::{self, Status};

pub(crate) fn run(options: &View) -> Result<Status> {
    let run = read(&options.run)?;
    let name = options.run.display().to_string();
    match &options.html {
        Some(path) => {
            let page = isogain_report::run_html(&run, &name)?;
            std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
            output::note(&format!("wrote {}", path.display()));
        }
        None => {
            output::result(&render::run::run(&name, &run, options.format.into(), &output::rendering())?)?;
        }
    }
    Ok(Status::of(&run.findings))
}
