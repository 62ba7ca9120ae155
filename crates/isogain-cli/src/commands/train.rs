//! `isogain train`: train and record, watched; resumable.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};
use isogain::check::Subject;
use isogain::heal::Healing;
use isogain::run::{self, Ended, RunFolder, Watch};
use isogain_core::record::RUN_FILE;
use isogain_core::render::{self, Format};
use isogain_core::rules::Finding;
use isogain_core::summary::CheckReport;

use crate::args::Train;
use crate::folder;
use crate::input::Input;
use crate::output::{self, Status};
use crate::{interrupt, progress, threads};

/// Where a run goes when nobody says.
const DEFAULT: &str = "runs/train";

pub(crate) fn run(options: &Train) -> Result<Status> {
    let (input, folder) = if options.resume { resumed(options)? } else { fresh(options)? };
    let quiet = options.common.quiet;
    let pool = threads::pool(threads::asked(options.threads))?;
    let subject = input.place(pool.install(|| Subject::load(&input.recipe, &input.folder)))?;
    let line = progress::line("training", quiet);
    let steps = input.recipe.run.steps;
    progress::stage(&line, "training", Some(steps as u64));
    let done = AtomicUsize::new(0);
    let report = |step: usize, loss: f64| {
        done.store(step, Ordering::Relaxed);
        line.set_position(step as u64);
        line.set_message(format!("loss {loss:.4}"));
    };
    let announce = |finding: &Finding| {
        if !quiet {
            line.suspend(|| output::note(&format!("step {}: {}: {}", finding.step, finding.rule, finding.message)));
        }
    };
    interrupt::orderly();
    let heal = |healing: Healing<'_>| {
        if quiet {
            return;
        }
        match healing {
            Healing::Begins { finding, copies, steps } => line
                .set_message(format!("{}: trying {copies} repairs on copies, up to {steps} steps each", finding.rule)),
            Healing::Ended(healed) => line.suspend(|| output::note(&healed.sentence())),
        }
    };
    let stop = interrupt::flag();
    let watch = Watch { stop, progress: &report, finding: &announce, heal: options.heal, healing: &heal };
    let ended = pool.install(|| {
        if options.resume {
            run::resume(&subject, &folder, watch)
        } else {
            run::fresh(&subject, &input.folder, &folder, watch)
        }
    });
    line.finish_and_clear();
    let path = folder.path().display();
    if matches!(ended, Err(isogain::Error::Interrupted)) {
        let done = match done.into_inner() {
            0 => String::new(),
            done => format!(" after {done} of {steps} steps"),
        };
        output::note(&format!("stopped{done}; go on with: isogain train --resume --out {path}"));
        return Ok(Status::Interrupted);
    }
    let ended = ended?;
    if ended.was_over {
        output::note(&over(&ended, &folder));
    }
    let status = Status::of(&ended.findings);
    show(options, &input, subject, &ended, &folder)?;
    // After the result: a full disk must not cost what took long to train.
    let (page, _) = isogain_view::still(&folder.path().join(RUN_FILE), &folder.path().display().to_string())?;
    let report = folder.path().join("report.html");
    std::fs::write(&report, page).with_context(|| format!("cannot write {}", report.display()))?;
    Ok(status)
}

/// Why a finished run does not go on.
fn over(ended: &Ended, folder: &RunFolder) -> String {
    let recipe = folder.recipe();
    match &ended.outcome.first_non_finite {
        Some(found) => format!(
            "nothing left to do: {} stopped being finite at step {}, and no further step can mend that",
            found.name, found.step
        ),
        None => format!(
            "nothing left to do: all {} steps are done. To train on, raise run.steps in {}",
            ended.outcome.steps,
            recipe.display()
        ),
    }
}

fn show(options: &Train, input: &Input, subject: Subject, ended: &Ended, folder: &RunFolder) -> Result<()> {
    let format: Format = options.format.into();
    let report = CheckReport::new(input.recipe.clone(), ended.findings.clone(), subject.start.flow, subject.limits);
    let mut text = render::check(&report, format, &input.context())?;
    if format == Format::Text {
        let outcome = &ended.outcome;
        let number = |value: Option<f64>| value.map_or_else(|| "not finite".to_owned(), |value| format!("{value:.4}"));
        write!(text, "\nafter {} steps: loss {}", outcome.steps, number(outcome.loss))?;
        if let (Some(train), Some(test)) = (outcome.train_accuracy, outcome.test_accuracy) {
            write!(text, ", accuracy {train:.3} (training), {test:.3} (test)")?;
        } else {
            write!(text, " (training), {} (test)", number(outcome.test_loss))?;
        }
        for healed in &ended.healed {
            write!(text, "\nhealed: {}", healed.sentence())?;
        }
        writeln!(text, "\nrecord, checkpoint, weights and report.html: {}", folder.path().display())?;
    }
    output::result(&text)
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
    if !folder.recipe().exists() {
        bail!("{0} holds no run to go on with; begin one with: isogain train --out {0}", folder.path().display());
    }
    Ok((Input::read(&folder.recipe())?, folder))
}
