//! `isogain check`: one batch and closed-form theory, before training.

use anyhow::Result;
use isogain::check::Subject;
use isogain_core::recipe::Level;
use isogain_core::render;
use isogain_core::summary::CheckReport;

use crate::args::Check;
use crate::input::Input;
use crate::output::{self, Status};
use crate::progress;

pub(crate) fn run(options: &Check) -> Result<Status> {
    let input = Input::of(&options.common)?;
    let line = progress::line("checking", options.common.quiet);
    let subject =
        progress::single_thread()?.install(|| Subject::load(&input.recipe, &input.folder).map(Subject::with_sharpness));
    line.finish_and_clear();
    let subject = input.place(subject)?;
    let findings = subject.findings();
    let ill = findings.iter().any(|finding| finding.level > Level::Note);
    let report = CheckReport::new(input.recipe.clone(), findings, subject.start.flow, subject.limits);
    output::result(&render::check(&report, options.format.into(), &input.context())?)?;
    Ok(if ill { Status::Findings } else { Status::Clean })
}
