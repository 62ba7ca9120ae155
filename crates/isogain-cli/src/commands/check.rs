//! `isogain check`: one batch and closed-form theory, before training; or weights without data.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use isogain::check::Subject;
use isogain_core::render;
use isogain_core::summary::CheckReport;
use isogain_core::weights::file;

use crate::args::{Check, Common};
use crate::input::Input;
use crate::output::{self, Status};
use crate::{progress, threads};

pub(crate) fn run(options: &Check) -> Result<Status> {
    let is_weights = |path: &Path| path.extension().is_some_and(|extension| extension == "safetensors");
    match options.paths.as_slice() {
        paths if paths.iter().any(|path| is_weights(path)) => weights(paths, options),
        [] => recipe(None, options),
        [path] => recipe(Some(path.clone()), options),
        [first, second, ..] => bail!(
            "one recipe at a time: {} and {} are two (several .safetensors files are the shards of one model)",
            first.display(),
            second.display()
        ),
    }
}

/// What the weights of a model say, without data and without code.
fn weights(paths: &[PathBuf], options: &Check) -> Result<Status> {
    if options.html.is_some() {
        bail!("--html is of a recipe; weights alone have no page");
    }
    let line = progress::line("checking", options.quiet);
    let report = file::check(paths, true);
    line.finish_and_clear();
    let report = report?;
    output::result(&render::weights::weights(&report, options.format.into(), &output::rendering())?)?;
    Ok(if report.is_clean() { Status::Clean } else { Status::Findings })
}

fn recipe(recipe: Option<PathBuf>, options: &Check) -> Result<Status> {
    let input = Input::of(&Common { recipe, seed: options.seed, quiet: options.quiet })?;
    let line = progress::line("checking", options.quiet);
    let subject = threads::pool(1)?
        .install(|| Subject::load(&input.recipe, &input.folder).map(Subject::with_sharpness)?.with_counterfactual());
    line.finish_and_clear();
    let subject = input.place(subject)?;
    let findings = subject.findings();
    let status = Status::of(&findings);
    let kinds = subject.differential();
    let report = CheckReport::new(input.recipe.clone(), findings, subject.start.flow, subject.limits);
    let report = report.with_differential(kinds);
    output::result(&render::check(&report, options.format.into(), &input.context())?)?;
    if let Some(path) = &options.html {
        let page = isogain_report::check_html(&report)?;
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
        output::note(&format!("wrote {}", path.display()));
    }
    Ok(status)
}
