//! Experiments run, one or a table of them: progress, the folder of their results, the page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use isogain::experiment::{Experiment, Lab, run_all};
use isogain_core::render;
use isogain_core::summary::reproduction::{ReproduceReport, Reproduction};
use isogain_report::ReportError;

use crate::args::FormatName;
use crate::output::{self, Status};
use crate::{interrupt, progress, threads};

/// Parts that a progress bar counts.
const PARTS: u64 = 1000;

/// How experiments are shown.
pub(super) struct Manner {
    /// Their page.
    pub(super) page: fn(&ReproduceReport) -> Result<String, ReportError>,
    pub(super) format: FormatName,
    pub(super) quiet: bool,
}

impl Manner {
    /// One experiment, with its page where it is asked for.
    pub(super) fn one(&self, experiment: &'static Experiment, html: Option<&Path>) -> Result<Status> {
        let line = progress::line("measuring", self.quiet);
        progress::parts(&line, "measuring", PARTS);
        let tell = |part: f64| line.set_position((part * PARTS as f64) as u64);
        let found = experiment.run(&Lab { stop: interrupt::flag(), progress: &tell });
        line.finish_and_clear();
        let report = ReproduceReport::new(vec![found?]);
        if let Some(path) = html {
            write(path, &(self.page)(&report)?)?;
        }
        self.show(&report)
    }

    /// All of a table that are not in `found` yet, the numbers of each in a file in `out` as soon as it ends, and one page of
    /// all; `None` when stopped.
    pub(super) fn all(
        &self,
        table: &[&'static Experiment],
        mut found: BTreeMap<String, Reproduction>,
        threads: Option<u16>,
        out: &Path,
    ) -> Result<Option<Status>> {
        std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
        let open: Vec<&'static Experiment> =
            table.iter().copied().filter(|one| !found.contains_key(one.name)).collect();

        let line = progress::line("measuring", self.quiet);
        let total: u32 = open.iter().map(|one| one.seconds).sum();
        progress::parts(&line, "measuring", u64::from(total).max(1));
        let parts: Mutex<BTreeMap<&str, f64>> = Mutex::default();
        let tell = |one: &'static Experiment, part: f64| {
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.insert(one.name, part * f64::from(one.seconds));
            line.set_position(parts.values().sum::<f64>() as u64);
            line.set_message(one.name);
        };
        let fresh = Mutex::new(&mut found);
        let keep = |one: &Reproduction| {
            let json = serde_json::to_string(&ReproduceReport::new(vec![one.clone()]));
            let json = json.map_err(|error| isogain::Error::Mismatch(error.to_string()))?;
            let path = result_file(out, &one.name);
            std::fs::write(&path, json).map_err(isogain::Error::io("write", path))?;
            fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(one.name.clone(), one.clone());
            if let Some(experiment) = table.iter().find(|experiment| experiment.name == one.name) {
                tell(experiment, 1.0);
            }
            Ok(())
        };
        interrupt::orderly();
        let ended = run_all(&open, threads::asked(threads), interrupt::flag(), &tell, &keep);
        line.finish_and_clear();
        if matches!(ended, Err(isogain::Error::Interrupted)) {
            return Ok(None);
        }
        ended?;
        let report = ReproduceReport::new(table.iter().filter_map(|one| found.remove(one.name)).collect());
        let page = out.join("report.html");
        write(&page, &(self.page)(&report)?)?;
        let status = self.show(&report)?;
        output::note(&format!("the page: {}", page.display()));
        Ok(Some(status))
    }

    fn show(&self, report: &ReproduceReport) -> Result<Status> {
        output::result(&render::reproduction::reproduction(report, self.format.into(), &output::rendering())?)?;
        Ok(if report.passes() { Status::Clean } else { Status::Findings })
    }
}

fn result_file(out: &Path, name: &str) -> PathBuf {
    out.join(format!("{name}.json"))
}

/// The result of an earlier call, where this version of the program wrote it whole.
pub(super) fn done(out: &Path, name: &str) -> Option<Reproduction> {
    let text = std::fs::read_to_string(result_file(out, name)).ok()?;
    let report: ReproduceReport = serde_json::from_str(&text).ok()?;
    let is_ours =
        report.schema == ReproduceReport::new(Vec::new()).schema && report.version == env!("CARGO_PKG_VERSION");
    report.experiments.into_iter().find(|one| is_ours && one.name == name)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
