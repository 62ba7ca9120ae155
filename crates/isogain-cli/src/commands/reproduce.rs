//! `isogain reproduce`: published and exact results beside what our own engine measures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use isogain::reproduce::{Experiment, Lab, TABLE, run_all};
use isogain_core::render;
use isogain_core::summary::reproduction::{ReproduceReport, Reproduction};

use crate::args::Reproduce;
use crate::folder;
use crate::output::{self, Status};
use crate::{interrupt, progress};

/// Where the results of all go when nobody says.
const DEFAULT: &str = "runs/reproduce";

/// Parts that a progress bar counts.
const PARTS: u64 = 1000;

pub(crate) fn run(options: &Reproduce) -> Result<Status> {
    match &options.name {
        Some(name) => one(Experiment::named(name)?, options),
        None if options.all => all(options),
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

fn one(experiment: &'static Experiment, options: &Reproduce) -> Result<Status> {
    let line = progress::line("measuring", options.quiet);
    progress::parts(&line, "measuring", PARTS);
    let tell = |part: f64| line.set_position((part * PARTS as f64) as u64);
    let found = experiment.run(&Lab { stop: interrupt::flag(), progress: &tell });
    line.finish_and_clear();
    let report = ReproduceReport::new(vec![found?]);
    if let Some(path) = &options.html {
        write(path, &isogain_report::reproduce_html(&report)?)?;
    }
    show(&report, options)
}

fn all(options: &Reproduce) -> Result<Status> {
    let out = folder(options)?;
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut found: BTreeMap<String, Reproduction> = BTreeMap::new();
    if options.resume {
        found.extend(TABLE.iter().filter_map(|one| done(&out, one.name)).map(|one| (one.name.clone(), one)));
    }
    let open: Vec<&'static Experiment> = TABLE.into_iter().filter(|one| !found.contains_key(one.name)).collect();

    let line = progress::line("measuring", options.quiet);
    let total: u32 = open.iter().map(|one| one.seconds).sum();
    progress::parts(&line, "measuring", u64::from(total).max(1));
    let parts: Mutex<BTreeMap<&str, f64>> = Mutex::default();
    let tell = |one: &'static Experiment, part: f64| {
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(one.name, part * f64::from(one.seconds));
        line.set_position(parts.values().sum::<f64>() as u64);
        line.set_message(one.name);
    };
    let (fresh, out_folder) = (Mutex::new(&mut found), out.as_path());
    let keep = |one: &Reproduction| {
        let json = serde_json::to_string(&ReproduceReport::new(vec![one.clone()]));
        let json = json.map_err(|error| isogain::Error::Mismatch(error.to_string()))?;
        let path = result_file(out_folder, &one.name);
        std::fs::write(&path, json).map_err(isogain::Error::io("write", path))?;
        fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(one.name.clone(), one.clone());
        if let Some(experiment) = TABLE.into_iter().find(|experiment| experiment.name == one.name) {
            tell(experiment, 1.0);
        }
        Ok(())
    };
    interrupt::orderly();
    let threads = match options.threads {
        Some(threads) => usize::from(threads),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let ended = run_all(&open, threads, interrupt::flag(), &tell, &keep);
    line.finish_and_clear();
    if matches!(ended, Err(isogain::Error::Interrupted)) {
        output::note(&format!("stopped; go on with: isogain reproduce --all --resume --out {}", out.display()));
        return Ok(Status::Interrupted);
    }
    ended?;
    let report = ReproduceReport::new(TABLE.iter().filter_map(|one| found.remove(one.name)).collect());
    let page = out.join("report.html");
    write(&page, &isogain_report::reproduce_html(&report)?)?;
    let status = show(&report, options)?;
    output::note(&format!("the page: {}", page.display()));
    Ok(status)
}

fn show(report: &ReproduceReport, options: &Reproduce) -> Result<Status> {
    output::result(&render::reproduction::reproduction(report, options.format.into(), &output::rendering())?)?;
    Ok(if report.passes() { Status::Clean } else { Status::Findings })
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

fn result_file(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{name}.json"))
}

/// The result of an earlier call, where this version of the program wrote it whole.
fn done(out: &Path, name: &str) -> Option<Reproduction> {
    let text = std::fs::read_to_string(result_file(out, name)).ok()?;
    let report: ReproduceReport = serde_json::from_str(&text).ok()?;
    let is_ours =
        report.schema == ReproduceReport::new(Vec::new()).schema && report.version == env!("CARGO_PKG_VERSION");
    report.experiments.into_iter().find(|one| is_ours && one.name == name)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
