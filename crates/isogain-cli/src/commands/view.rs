//! `isogain view`: one recorded run, as text or as a page.

use anyhow::{Context as _, Result};
use isogain_core::recipe::Level;
use isogain_core::record::read;
use isogain_core::render::{self, Context};

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
            let context = Context { style: output::style(), ..Context::default() };
            output::result(&render::run::run(&name, &run, options.format.into(), &context)?)?;
        }
    }
    let ill = run.findings.iter().any(|finding| finding.level > Level::Note);
    Ok(if ill { Status::Findings } else { Status::Clean })
}
