//! `isogain train`: train and record, watched; resumable.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use isogain::check::Subject;
use isogain::run::{self, Ended, RunFolder, Watch};
use isogain_core::recipe::Level;
use isogain_core::render::{self, Format};
use isogain_core::rules::Finding;
use isogain_core::summary::CheckReport;

use crate::args::Train;
use crate::folder;
use crate::input::Input;
use crate::output::{self, Status};
use crate::{interrupt, progress};

/// Where a run goes when nobody says.
const DEFAULT: &str = "runs/train";

pub(crate) fn run(options: &Train) -> Result<Status> {
    let stop = interrupt::flag()?;
    let (input, folder) = if options.resume { resumed(options)? } else { fresh(options)? };
    let subject = input.place(Subject::load(&input.recipe, &input.folder))?;
    let bar = progress::bar("training", input.recipe.run.steps as u64, options.common.quiet);
    let report = |step: usize, loss: f64| {
        bar.set_position(step as u64);
        bar.set_message(format!("loss {loss:.4}"));
    };
    let announce = |finding: &Finding| {
        bar.suspend(|| output::note(&format!("step {}: {}: {}", finding.step, finding.rule, finding.message)));
    };
    let watch = Watch { stop, progress: &report, finding: &announce };
    let ended = progress::single_thread()?.install(|| {
        if options.resume {
            run::resume(&subject, &folder, watch)
        } else {
            run::fresh(&subject, &input.folder, &folder, watch)
        }
    });
    bar.finish_and_clear();
    if matches!(ended, Err(isogain::Error::Interrupted)) {
        output::note(&format!(
            "stopped; everything is in {0}. Go on with: isogain train --resume --out {0}",
            folder.path().display()
        ));
        return Ok(Status::Interrupted);
    }
    let ended = ended?;
    let ill = ended.findings.iter().any(|finding| finding.level > Level::Note);
    show(options, &input, subject, &ended, &folder)?;
    Ok(if ill { Status::Findings } else { Status::Clean })
}

fn show(options: &Train, input: &Input, subject: Subject, ended: &Ended, folder: &RunFolder) -> Result<()> {
    let format: Format = options.format.into();
    let report = CheckReport::new(input.recipe.clone(), ended.findings.clone(), subject.start.flow, subject.limits);
    output::result(&render::check(&report, format, &input.context())?);
    if format == Format::Text {
        let outcome = &ended.outcome;
        let number = |value: Option<f64>| value.map_or_else(|| "not finite".to_owned(), |value| format!("{value:.4}"));
        let mut text = format!("\nafter {} steps: loss {}", outcome.steps, number(outcome.loss));
        if let (Some(train), Some(test)) = (outcome.train_accuracy, outcome.test_accuracy) {
            write!(text, ", accuracy {train:.3} (training), {test:.3} (test)")?;
        } else {
            write!(text, " (training), {} (test)", number(outcome.test_loss))?;
        }
        writeln!(text, "\nrecord, checkpoint and weights: {}", folder.path().display())?;
        output::result(&text);
    }
    Ok(())
}

fn fresh(options: &Train) -> Result<(Input, RunFolder)> {
    let input = Input::of(&options.common)?;
    let folder = RunFolder::new(folder::fresh(options.out.as_deref(), DEFAULT)?);
    Ok((input, folder))
}

fn resumed(options: &Train) -> Result<(Input, RunFolder)> {
    if let Some(recipe) = &options.common.recipe {
        bail!("--resume takes the recipe of the run; leave {} out", recipe.display());
    }
    let path = match &options.out {
        Some(path) => path.clone(),
        None => folder::latest(DEFAULT).unwrap_or_else(|| PathBuf::from(DEFAULT)),
    };
    let folder = RunFolder::new(path);
    if !folder.checkpoint().exists() {
        bail!("{} holds no checkpoint to go on from", folder.path().display());
    }
    Ok((Input::read(&folder.recipe())?, folder))
}
