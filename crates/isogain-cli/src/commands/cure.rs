//! `isogain cure`: find, explain, try, verify.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use isogain::check::Subject;
use isogain::cure::{self, Search, Stage};
use isogain::run::{self, RunFolder, Watch};
use isogain::trials::Runner;
use isogain_core::recipe::{Recipe, to_toml};
use isogain_core::record::Outcome;
use isogain_core::render::{self, Format};
use isogain_core::rules::Finding;
use isogain_core::summary::{CheckReport, CureReport};
use isogain_core::trial::Job;

use crate::args::Cure;
use crate::folder;
use crate::input::Input;
use crate::output::{self, Status};
use crate::{interrupt, progress};

/// Where the results go when nobody says.
const DEFAULT: &str = "runs/cure";

pub(crate) fn run(options: &Cure) -> Result<Status> {
    let start = Instant::now();
    let stop = interrupt::flag()?;
    let input = Input::of(&options.common)?;
    let out = folder::fresh(options.out.as_deref(), DEFAULT)?;
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;

    let bar = progress::bar("diagnosing", 0, options.common.quiet);
    let search = search(options, &input, stop, &bar)?;
    bar.set_prefix("recording");
    record(&input, &search, &out, stop)?;
    bar.finish_and_clear();

    let Search { subject, findings, report: mut trial, curves, cured, .. } = search;
    trial.spent.seconds = start.elapsed().as_secs_f64();
    let check = CheckReport::new(input.recipe.clone(), findings, subject.start.flow, subject.limits);
    let report = CureReport::new(check, trial, cured.map(|cured| cured.start.flow), curves);
    write(&out.join("cure.json"), &render::cure(&report, Format::Json, &input.context())?)?;
    write(&out.join("report.html"), &isogain_report::html(&report)?)?;

    let format: Format = options.format.into();
    output::result(&render::cure(&report, format, &input.context())?);
    if format == Format::Text {
        output::result(&files(&out, report.trial.cure.is_some()));
    }
    Ok(if report.trial.cure.is_some() { Status::Clean } else { Status::Findings })
}

fn search(options: &Cure, input: &Input, stop: &AtomicBool, bar: &ProgressBar) -> Result<Search> {
    let threads = match options.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let told = |job: &Job, _: &Outcome| bar.inc(job.steps as u64);
    let stage = |stage: Stage| {
        let (what, steps) = match stage {
            Stage::Diagnose => ("diagnosing", 0),
            Stage::Predict => ("predicting", 0),
            Stage::Try(steps) => ("trying", steps),
            Stage::Compare(steps) => ("comparing", steps),
        };
        bar.set_prefix(what);
        bar.set_length(steps as u64);
        bar.set_position(0);
    };
    let runner = Runner { threads, stop, progress: &told };
    let found = progress::single_thread()?
        .install(|| cure::search(&input.recipe, &input.folder, usize::from(options.seeds), runner, &stage));
    input.place(found)
}

/// Trains the untreated and the cured network once more on the first seed, watched, for the records and the weights.
fn record(input: &Input, search: &Search, out: &Path, stop: &AtomicBool) -> Result<()> {
    let mut untreated = search.subject.recipe.clone();
    untreated.optimizer.learning_rate = search.report.baseline.learning_rate;
    let before = Subject::new(&untreated, search.subject.data.clone())?;
    let runs = [("untreated", Some(&before)), ("cured", search.cured.as_ref())];
    for (name, subject) in runs {
        let Some(subject) = subject else { continue };
        let silent = Watch { stop, progress: &|_, _| {}, finding: &|_: &Finding| {} };
        let folder = RunFolder::new(out.join(name));
        progress::single_thread()?.install(|| run::fresh(subject, &input.folder, &folder, silent))?;
    }
    if let Some(cured) = &search.cured {
        write(&out.join("cured.toml"), &cured_recipe(&cured.recipe, &input.folder)?)?;
    }
    Ok(())
}

/// The cured recipe as TOML; it lies in another folder than the user's, and must still find the data.
fn cured_recipe(recipe: &Recipe, folder: &Path) -> Result<String> {
    Ok(to_toml(&run::at_home(recipe, folder)?))
}

fn files(out: &Path, cured: bool) -> String {
    let line = |name: &str, what: &str| format!("  {:<40} {what}\n", out.join(name).display().to_string());
    let mut text = String::from("\nwritten:\n");
    if cured {
        text += &line("cured.toml", "the cured recipe: isogain train runs it");
        text += &line("cured/weights.safetensors", "its trained weights");
    }
    text += &line("report.html", "the report; opens in any browser, offline");
    text += &line("cure.json", "everything, for programs");
    text + &line(if cured { "untreated/, cured/" } else { "untreated/" }, "records of every watched step")
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
