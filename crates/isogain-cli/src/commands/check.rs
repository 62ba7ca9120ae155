//! `isogain check`: one batch and closed-form theory, before training.

use anyhow::Result;
use isogain::check::Subject;
use isogain_core::recipe::Level;
use isogain_core::render;
use isogain_core::summary::CheckReport;

use crate::args::Check;
use crate::input::Input;
use crate::output::{self, Status};

pub(crate) fn run(options: &Check) -> Result<Status> {
    let input = Input::of(&options.common)?;
    let subject = input.place(Subject::load(&input.recipe, &input.folder))?.with_sharpness();
    let findings = subject.findings();
    let ill = findings.iter().any(|finding| finding.level > Level::Note);
    let report = CheckReport::new(input.recipe.clone(), findings, subject.start.flow, subject.limits);
    output::result(&render::check(&report, options.format.into(), &input.context())?);
    Ok(if ill { Status::Findings } else { Status::Clean })
}
