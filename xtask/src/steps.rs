//! Tests and checks as a list of steps. A tool that is missing skips its step with a word, and fails under CI.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

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

/// Everything.
pub(crate) fn test() -> Result<()> {
    let tests = if works("cargo", &["nextest", "--version"]) { TESTS } else { TESTS_WITHOUT_NEXTEST };
    run(&[FORMAT, LINTS, tests, DOCUMENTATION, FETCH, DEPENDENCIES])
}

/// What is expected before a commit.
pub(crate) fn check() -> Result<()> {
    run(&[FORMAT, LINTS, CORE])
}

fn run(steps: &[Step]) -> Result<()> {
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for step in steps {
        if let Some((probe, remedy)) = step.needs
            && !works(step.program, probe)
        {
            say(&format!("\n== {}: skipped: not installed ({remedy})", step.what));
            skipped.push(step.what);
            continue;
        }
        say(&format!("\n== {}: {} {}", step.what, step.program, step.arguments.join(" ")));
        let start = Instant::now();
        let status = Command::new(step.program)
            .args(step.arguments)
            .envs(step.environment.iter().copied())
            .status()
            .with_context(|| format!("cannot start {}", step.program))?;
        say(&format!("== {}: {} in {:.0} s", step.what, verdict(status.success()), start.elapsed().as_secs_f64()));
        if !status.success() {
            failed.push(step.what);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    if !skipped.is_empty() && std::env::var_os("CI").is_some() {
        bail!("skipped under CI: {}", skipped.join(", "));
    }
    Ok(())
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
