//! `isogain reproduce`: published and exact results beside what our own engine measures.

use std::path::PathBuf;

use anyhow::{Result, bail};
use isogain::experiment::Experiment;
use isogain::reproduce::{TABLE, named};

use super::measured::{Manner, done};
use crate::args::Reproduce;
use crate::folder;
use crate::output::{self, Status};

/// Where the results of all go when nobody says.
const DEFAULT: &str = "runs/reproduce";

pub(crate) fn run(options: &Reproduce) -> Result<Status> {
    let manner = Manner { page: isogain_report::reproduce_html, format: options.format, quiet: options.quiet };
    match &options.name {
        Some(name) => manner.one(named(name)?, options.html.as_deref()),
        None if options.all => all(options, &manner),
        None => {
            output::result(&list())?;
            Ok(Status::Clean)
        }
    }
}

fn list() -> String {
    let width = TABLE.iter().map(|one| one.name.len()).max().unwrap_or(0);
    let line =
        |one: &&Experiment| format!("  {:width$}  {:>5}  {}\n", one.name, format!("{} s", one.seconds), one.title);
    let total: u32 = TABLE.iter().map(|one| one.seconds).sum();
    format!(
        "experiments, and the time that each takes on one core:\n\n{}\nisogain reproduce NAME runs one, --all all of them \
         (about {} minutes on two cores)\n",
        TABLE.iter().map(line).collect::<String>(),
        total.div_ceil(120)
    )
}

fn all(options: &Reproduce, manner: &Manner) -> Result<Status> {
    let out = folder(options)?;
    let earlier = TABLE.iter().filter(|_| options.resume).filter_map(|one| done(&out, one.name));
    let earlier = earlier.map(|one| (one.name.clone(), one)).collect();
    if let Some(status) = manner.all(&TABLE, earlier, options.threads, &out)? {
        return Ok(status);
    }
    output::note(&format!("stopped; go on with: isogain reproduce --all --resume --out {}", out.display()));
    Ok(Status::Interrupted)
}

fn folder(options: &Reproduce) -> Result<PathBuf> {
    if !options.resume {
        return folder::fresh(options.out.as_deref(), DEFAULT);
    }
    let latest = || folder::latest(DEFAULT).unwrap_or_else(|| PathBuf::from(DEFAULT));
    let path = options.out.clone().unwrap_or_else(latest);
    if !path.is_dir() {
        bail!("{0} holds no results to go on with; begin with: isogain reproduce --all --out {0}", path.display());
    }
    Ok(path)
}
