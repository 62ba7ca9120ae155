//! Programs that are measured: ours, which cargo builds and runs, and scripts in Python.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A program that answers a line with a line of JSON, and waits in between.
pub(super) struct Program {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// An example of one of our packages.
    pub(super) fn example(package: &str, name: &str, arguments: &[&str]) -> Result<Self> {
        Self::start(cargo_run(package, name).args(arguments), name)
    }

    /// A script.
    pub(super) fn script(python: &str, script: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start(Command::new(python).arg(script).args(arguments), &script.display().to_string())
    }

    fn start(command: &mut Command, name: &str) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("no output")?);
        Ok(Self { name: name.to_string(), child, input, output: BufReader::new(output) })
    }

    /// The next line that it prints.
    pub(super) fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("{} printed no JSON but '{}'", self.name, line.trim()))
    }

    /// What it answers to a line.
    pub(super) fn ask(&mut self, question: usize) -> Result<Value> {
        let input = self.input.as_mut().context("no input")?;
        writeln!(input, "{question}")?;
        self.next()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It ends with its input.
        self.input = None;
        let _ = self.child.wait();
    }
}

/// `cargo run` of an example.
fn cargo_run(package: &str, name: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--locked", "--quiet", "--package", package, "--example", name, "--"]);
    command
}

/// The last JSON line of an example that runs to its end.
pub(super) fn example(package: &str, name: &str, arguments: &[&str]) -> Result<Value> {
    last_line(cargo_run(package, name).args(arguments), name)
}

/// The last JSON line of a command that runs to its end.
pub(super) fn last_line(command: &mut Command, name: &str) -> Result<Value> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    Ok(serde_json::from_str(line.with_context(|| format!("{name} printed no JSON line"))?)?)
}

/// A Python that has what the benchmarks compare with.
pub(super) struct Python {
    /// The interpreter.
    pub(super) path: String,
    /// What `code` printed.
    pub(super) version: String,
}

/// An interpreter in which this code runs: the one of `ISOGAIN_PYTHON`, that of `cargo xtask test`, the system's.
pub(super) fn python_with(code: &str) -> Option<Python> {
    let chosen = std::env::var("ISOGAIN_PYTHON").ok();
    let known = ["target/python/bin/python", "python3", "/usr/bin/python3"].map(String::from);
    chosen.into_iter().chain(known).find_map(|path| {
        let output = Command::new(&path).args(["-c", code]).output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_string();
        output.status.success().then_some(Python { path, version })
    })
}
