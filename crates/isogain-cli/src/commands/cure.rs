//! `isogain cure`: find, explain, try, verify.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use isogain::cache::Cache;
use isogain::check::Subject;
use isogain::cure::{self, Options, Search, Stage};
use isogain::run::{self, RunFolder};
use isogain::trials::Runner;
use isogain_core::recipe::{Recipe, to_toml};
use isogain_core::record::Outcome;
use isogain_core::render::numbers::setting;
use isogain_core::render::words::End;
use isogain_core::render::{self, Format};
use isogain_core::rules::Finding;
use isogain_core::summary::{CheckReport, CureReport};
use isogain_core::trial::Job;
use isogain_core::trial::result::{Stopped, TrialReport};

use crate::args::Cure;
use crate::folder;
use crate::input::Input;
use crate::output::{self, Status};
use crate::search_record::SearchRecord;
use crate::{interrupt, progress, threads};

/// Where the results go when nobody says.
const DEFAULT: &str = "runs/cure";

/// Where trainings are kept, beside the folder of the results.
const TRAININGS: &str = ".trainings";

pub(crate) fn run(options: &Cure) -> Result<Status> {
    let start = Instant::now();
    let input = Input::of(&options.common)?;
    let out = folder::fresh(options.out.as_deref(), DEFAULT)?;
    let line = progress::line("diagnosing", options.common.quiet);
    let ended = cure(options, &input, &out, &line, start);
    line.finish_and_clear();
    let is_stopped = match &ended {
        Ok(status) => *status == Status::Interrupted,
        Err(error) => matches!(error.downcast_ref(), Some(isogain::Error::Interrupted)),
    };
    if is_stopped {
        output::note(&format!("stopped; what was done so far is in {}", out.display()));
    }
    ended
}

fn cure(options: &Cure, input: &Input, out: &Path, line: &ProgressBar, start: Instant) -> Result<Status> {
    let record = SearchRecord::new(out);
    let cache = Cache::new(out.parent().unwrap_or(Path::new("")).join(TRAININGS));
    let search = search(options, input, (!options.no_cache).then_some(&cache), &record, line)?;
    let recorded = record.finish();
    tell_of(&cache, &search.report, options, line);
    progress::stage(line, "writing", None);

    let Search { subject, findings, report: mut trial, curves, cured, .. } = search;
    trial.spent.seconds = start.elapsed().as_secs_f64();
    let start = subject.start.flow.clone();
    let check = CheckReport::new(input.recipe.clone(), findings, start, subject.limits.clone());
    let check = check.with_differential(subject.differential());
    let after = cured.as_ref().map(|cured| cured.start.flow.clone());
    let report = CureReport::new(check, trial, after, curves);

    // The result is told before it is written: a full disk must not cost what took minutes to find.
    let format: Format = options.format.into();
    let text = render::cure(&report, format, &input.context())?;
    line.suspend(|| output::result(&text))?;
    recorded?;
    write(&out.join("cure.json"), &render::cure(&report, Format::Json, &input.context())?)?;
    write(&out.join("report.html"), &isogain_report::html(&report)?)?;
    if let Some(cured) = &cured {
        write(&out.join("cured.toml"), &cured_recipe(&cured.recipe, &input.folder)?)?;
    }
    progress::stage(line, "recording", None);
    let mut untreated = subject.recipe.clone();
    untreated.optimizer.learning_rate = report.trial.before().0;
    let untreated = Subject::new(&untreated, subject.data)?;
    let is_interrupted = report.trial.stopped == Some(Stopped::Interrupted);
    if !is_interrupted {
        record_both(&untreated, cured.as_ref(), input, out)?;
    }
    if format == Format::Text {
        line.suspend(|| output::result(&files(out, cured.is_some(), !is_interrupted)))?;
    }
    Ok(match End::of(&report) {
        _ if is_interrupted => Status::Interrupted,
        End::NotCured => Status::Findings,
        End::Cured | End::Healthy => Status::Clean,
    })
}

/// What came of keeping trainings.
fn tell_of(cache: &Cache, report: &TrialReport, options: &Cure, line: &ProgressBar) {
    if let Some(failure) = cache.failure() {
        line.suspend(|| output::note(&format!("trainings are not kept for a later search: {failure}")));
    }
    if cache.found() > 0 && !options.common.quiet {
        let (found, all) = (cache.found(), report.spent.trials);
        line.suspend(|| output::note(&format!("{found} of {all} trainings were known from an earlier search")));
    }
}

fn search(
    options: &Cure,
    input: &Input,
    cache: Option<&Cache>,
    record: &SearchRecord,
    line: &ProgressBar,
) -> Result<Search> {
    let threads = threads::asked(options.threads);
    let told = |job: &Job, _: &Outcome| line.inc(job.steps as u64);
    let stage = |stage: Stage| match stage {
        Stage::Diagnose => progress::stage(line, "diagnosing", None),
        Stage::Train(_) => progress::stage(line, "training", None),
        Stage::Predict => progress::stage(line, "predicting", None),
        Stage::Try(steps) => progress::stage(line, "trying", Some(steps as u64)),
        Stage::Compare(steps) => {
            record.note("From here on random search over the same space, with as many steps.");
            progress::stage(line, "comparing", Some(steps as u64));
        }
    };
    let watch = cure::Watch {
        stage: &stage,
        begin: &|subject| {
            record.begin(subject, &input.folder)?;
            // Until here Ctrl-C ends at once: nothing was tried that could be lost.
            interrupt::orderly();
            Ok(())
        },
        trial: &|trial| record.trial(trial),
    };
    let begun = |name: &str, job: &Job| {
        line.set_message(format!("{name}, learning rate {}, {} steps", setting(job.learning_rate), job.steps));
    };
    let (seeds, budget) = (usize::from(options.seeds), options.budget);
    let options = Options { seeds, budget, random_search: true, begun: &begun, cache };
    let runner = Runner { threads, stop: interrupt::flag(), progress: &told };
    let found = threads::pool(1)?.install(|| cure::search(&input.recipe, &input.folder, options, runner, watch));
    input.place(found)
}

/// The untreated network and the cured one at the same time.
fn record_both(untreated: &Subject, cured: Option<&Subject>, input: &Input, out: &Path) -> Result<()> {
    std::thread::scope(|scope| {
        let cured = cured.map(|cured| scope.spawn(|| watched(cured, input, &out.join("cured"))));
        watched(untreated, input, &out.join("untreated"))?;
        cured.map_or(Ok(()), |cured| cured.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Trains a network once more on the first seed, watched, for its record and its weights.
fn watched(subject: &Subject, input: &Input, out: &Path) -> Result<()> {
    let silent = run::Watch {
        stop: interrupt::flag(),
        progress: &|_, _| {},
        finding: &|_: &Finding| {},
        heal: false,
        healing: &|_| {},
    };
    threads::pool(1)?.install(|| run::fresh(subject, &input.folder, &RunFolder::new(out), silent))?;
    Ok(())
}

/// The cured recipe as TOML; it lies in another folder than the user's, and must still find the data.
fn cured_recipe(recipe: &Recipe, folder: &Path) -> Result<String> {
    Ok(to_toml(&run::at_home(recipe, folder)?))
}

fn files(out: &Path, cured: bool, watched: bool) -> String {
    let line = |name: &str, what: &str| format!("  {:<40} {what}\n", out.join(name).display().to_string());
    let mut text = String::from("\nwritten:\n");
    if cured {
        text += &line("cured.toml", "the cured recipe: isogain train runs it");
        if watched {
            text += &line("cured/weights.safetensors", "its trained weights");
        }
    }
    text += &line("report.html", "the report; opens in any browser, offline");
    text += &line("cure.json", "everything, for programs");
    text += &line("run.jsonl", "every training of the search");
    if !watched {
        return text;
    }
    text + &line(if cured { "untreated/, cured/" } else { "untreated/" }, "records of every watched step")
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
