//! Tests and checks as a list of steps. A tool that is missing skips its step with a word, and fails under CI.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{data, python};

/// One command.
struct Step {
    what: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// Arguments that show whether an optional tool is there, and how to get it.
    needs: Option<(&'static [&'static str], &'static str)>,
}

const FORMAT: Step =
    Step { what: "format", program: "cargo", arguments: &["fmt", "--all", "--check"], environment: &[], needs: None };

const LINTS: Step = Step {
    what: "lints",
    program: "cargo",
    arguments: &["clippy", "--release", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
    environment: &[],
    needs: None,
};

// What only other builds compile. The half of cubecl for CUDA downloads a part of LLVM to link with; where documentation is made
// it does without, and lints link nothing.
const DEVICE_LINTS: Step = Step {
    what: "lints of the features for GPUs",
    program: "cargo",
    arguments: &[
        "clippy",
        "--release",
        "--locked",
        "--package",
        "isogain",
        "--features",
        "cuda,wgpu",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    environment: &[("DOCS_RS", "1")],
    needs: None,
};

const CORE: Step = Step {
    what: "tests of the core",
    program: "cargo",
    arguments: &["test", "--release", "--locked", "--package", "isogain-core"],
    environment: &[],
    needs: None,
};

// isogain-py is left out: it has no tests of its own (they are Python's), and with it cargo would choose other features of
// shared crates and compile Burn anew. The release profile: numerical code is slow without it, and the main command then needs no second build of Burn.
const TESTS: Step = Step {
    what: "tests",
    program: "cargo",
    arguments: &["nextest", "run", "--release", "--locked", "--workspace", "--exclude", "isogain-py", "--no-fail-fast"],
    environment: &[("INSTA_UPDATE", "no")],
    needs: None,
};

const TESTS_WITHOUT_NEXTEST: Step = Step {
    what: "tests (cargo-nextest is not installed; cargo test does the same, one crate after the other)",
    program: "cargo",
    arguments: &["test", "--release", "--locked", "--workspace", "--exclude", "isogain-py", "--no-fail-fast"],
    environment: &[("INSTA_UPDATE", "no")],
    needs: None,
};

const DOCUMENTATION: Step = Step {
    what: "documentation",
    program: "cargo",
    arguments: &["doc", "--release", "--locked", "--workspace", "--no-deps"],
    environment: &[("RUSTDOCFLAGS", "-D warnings")],
    needs: None,
};

// The dependency check works offline, and needs what belongs to other platforms too.
const FETCH: Step = Step {
    what: "sources of all platforms",
    program: "cargo",
    arguments: &["fetch", "--locked"],
    environment: &[],
    needs: Some((&["deny", "--version"], "cargo install --locked cargo-deny")),
};

const DEPENDENCIES: Step = Step {
    what: "dependencies: licences, sources, duplicates, fences",
    program: "cargo",
    arguments: &["deny", "--offline", "check", "bans", "licenses", "sources"],
    environment: &[],
    needs: Some((&["deny", "--version"], "cargo install --locked cargo-deny")),
};

const DATA: &str = "public data sets for the tests, about 180 MB";

const PYTHON: &str = "tests of the Python package";

/// Which tests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// What needs no Python environment.
    Rust,
    /// The Python package.
    Python,
}

/// Formats, lints, tests, documentation, dependencies; the Python package.
pub(crate) fn test(part: Part) -> Result<()> {
    let mut tally = Tally::default();
    // It downloads while lints compile.
    let environment = (part != Part::Rust).then(|| std::thread::spawn(python::interpreter));
    let tests = if works("cargo", &["nextest", "--version"]) { TESTS } else { TESTS_WITHOUT_NEXTEST };
    if part != Part::Python {
        // Tests on data that is not there say so, and fail under CI.
        if std::env::var_os("CI").is_some() {
            tally.time(DATA, || data::for_tests().map(|()| true));
        }
        for step in [FORMAT, LINTS, DEVICE_LINTS] {
            tally.run(&step, None)?;
        }
    }
    // The tests of the engine compare with the environment's PyTorch.
    let python = match environment.map(std::thread::JoinHandle::join) {
        Some(Ok(found)) => found?,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        None => None,
    };
    if part != Part::Python {
        for step in [tests, DOCUMENTATION, FETCH, DEPENDENCIES] {
            tally.run(&step, python.as_deref())?;
        }
    }
    match &python {
        _ if part == Part::Rust => {}
        Some(python) => tally.time(PYTHON, || python::test(python).map(|()| true)),
        None => tally.skip(PYTHON, python::MISSING),
    }
    tally.result()
}

/// What is expected before a commit.
pub(crate) fn check() -> Result<()> {
    let mut tally = Tally::default();
    for step in [FORMAT, LINTS, CORE] {
        tally.run(&step, None)?;
    }
    tally.result()
}

/// What failed and what was left out.
#[derive(Default)]
struct Tally {
    failed: Vec<&'static str>,
    skipped: Vec<&'static str>,
}

impl Tally {
    fn run(&mut self, step: &Step, python: Option<&Path>) -> Result<()> {
        if let Some((probe, remedy)) = step.needs
            && !works(step.program, probe)
        {
            self.skip(step.what, &format!("not installed ({remedy})"));
            return Ok(());
        }
        let mut command = Command::new(step.program);
        command.args(step.arguments).envs(step.environment.iter().copied());
        if let Some(python) = python
            && std::env::var_os("ISOGAIN_PYTHON").is_none()
        {
            command.env("ISOGAIN_PYTHON", std::path::absolute(python).context("no current folder")?);
        }
        let what = format!("{}: {} {}", step.what, step.program, step.arguments.join(" "));
        self.time_as(step.what, &what, || {
            Ok(command.status().with_context(|| format!("cannot start {}", step.program))?.success())
        });
        Ok(())
    }

    fn skip(&mut self, what: &'static str, why: &str) {
        say(&format!("\n== {what}: skipped: {why}"));
        self.skipped.push(what);
    }

    fn time(&mut self, what: &'static str, work: impl FnOnce() -> Result<bool>) {
        self.time_as(what, what, work);
    }

    fn time_as(&mut self, what: &'static str, headline: &str, work: impl FnOnce() -> Result<bool>) {
        say(&format!("\n== {headline}"));
        let start = Instant::now();
        let success = work().unwrap_or_else(|error| {
            say(&format!("{error:#}"));
            false
        });
        say(&format!("== {what}: {} in {:.0} s", verdict(success), start.elapsed().as_secs_f64()));
        if !success {
            self.failed.push(what);
        }
    }

    fn result(self) -> Result<()> {
        if !self.failed.is_empty() {
            bail!("failed: {}", self.failed.join(", "));
        }
        if !self.skipped.is_empty() && std::env::var_os("CI").is_some() {
            bail!("skipped under CI: {}", self.skipped.join(", "));
        }
        Ok(())
    }
}

fn verdict(success: bool) -> &'static str {
    if success { "passed" } else { "FAILED" }
}

fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Prints a line; a closed pipe is not an error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
