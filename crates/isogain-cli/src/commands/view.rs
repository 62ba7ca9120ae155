//! `isogain view`: recorded runs as a page, live or in a file, and one of them as text.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use isogain_core::record::import;
use isogain_core::record::{Line, RUN_FILE, Run, Writer, line};
use isogain_core::render;
use isogain_view::{Options, Root, serve};

use crate::args::{FormatName, View};
use crate::output::{self, Status};
use crate::{browser, interrupt};

/// The folder that `train` and `cure` write to when nobody says.
const DEFAULT: &str = "runs";

pub(crate) fn run(options: &View) -> Result<Status> {
    match (&options.html, options.format) {
        (Some(path), _) => page(only(options, "--html")?, path),
        (None, Some(format)) => text(only(options, "--format")?, format),
        (None, None) if is_live(options) => live(options),
        (None, None) => text(only(options, "a pipe (--port serves them all)")?, FormatName::Text),
    }
}

/// On a terminal, and wherever something is said that only a server understands.
fn is_live(options: &View) -> bool {
    std::io::stdout().is_terminal() || options.open || options.port.is_some() || options.address.is_some()
}

fn only<'a>(options: &'a View, what: &str) -> Result<&'a Path> {
    match &options.runs[..] {
        [run] => Ok(run),
        [] => bail!("{what} takes one run: name its folder, as in isogain view runs/train"),
        runs => bail!("{what} takes one run, not {}; isogain compare puts runs side by side", runs.len()),
    }
}

fn text(path: &Path, format: FormatName) -> Result<Status> {
    let run = import::open(path)?;
    let name = path.display().to_string();
    output::result(&render::run::run(&name, &run, format.into(), &output::rendering())?)?;
    Ok(Status::of(&run.findings))
}

fn page(path: &Path, to: &Path) -> Result<Status> {
    let name = path.display().to_string();
    let (page, status) = if import::is_foreign(path) {
        let run = import::open(path)?;
        (isogain_report::run_html(&run, &name)?, Status::of(&run.findings))
    } else {
        let record = if path.is_dir() { path.join(RUN_FILE) } else { path.to_path_buf() };
        let (page, run) = isogain_view::still(&record, &name)?;
        (page, Status::of(&run.findings))
    };
    std::fs::write(to, page).with_context(|| format!("cannot write {}", to.display()))?;
    output::note(&format!("wrote {}", to.display()));
    Ok(status)
}

/// Serves until Ctrl-C.
fn live(options: &View) -> Result<Status> {
    let default = [PathBuf::from(DEFAULT)];
    let given = if options.runs.is_empty() { &default[..] } else { &options.runs[..] };
    let copies = tempfile::tempdir().context("cannot make a folder for copies")?;
    let mut roots = Vec::new();
    for (index, path) in given.iter().enumerate() {
        let place =
            if import::is_foreign(path) { copy(path, &copies.path().join(index.to_string()))? } else { path.clone() };
        roots.push(Root { path: place, name: path.display().to_string() });
    }
    let served = Options {
        roots,
        address: options.address.unwrap_or_else(|| Options::default().address),
        port: options.port.unwrap_or(0),
    };
    // From here on Ctrl-C is how one leaves.
    interrupt::orderly();
    let server = serve(served)?;
    let url = server.url();
    let folders: Vec<String> = given.iter().map(|path| path.display().to_string()).collect();
    output::note(&format!("{} at the address below, live; Ctrl-C ends it", folders.join(", ")));
    output::result(&format!("{url}\n"))?;
    if options.open && !browser::open(&url) {
        output::note("no browser could be opened; open the address yourself");
    }
    while !interrupt::flag().load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(server);
    Ok(Status::Clean)
}

/// What another program wrote, as a record that can be served. It stays as it is at this moment.
fn copy(path: &Path, folder: &Path) -> Result<PathBuf> {
    let Run { header, steps, findings, notes, .. } = import::open(path)?;
    let mut writer = Writer::create(folder, header)?;
    let steps = steps.into_iter().map(|step| Line::Step(Box::new(step)));
    let notes = notes.into_iter().map(|text| Line::Note(line::Note { text }));
    for line in steps.chain(findings.into_iter().map(Line::Finding)).chain(notes) {
        writer.write(&line)?;
    }
    writer.finish()?;
    Ok(folder.to_path_buf())
}
