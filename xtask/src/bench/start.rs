//! What the command takes to start, and how large it is.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{median, smallest};
use crate::steps::say;

/// Times that a command is run.
const RUNS: usize = 11;

/// Prints the table.
pub(super) fn table() -> Result<()> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked", "--quiet", "--package", "isogain-cli"])
        .status()?;
    if !status.success() {
        bail!("the build of isogain-cli failed");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let binary = target.join("release").join(format!("isogain{}", std::env::consts::EXE_SUFFIX));
    say("\nThe command. Milliseconds on the clock, smallest / median:\n");
    say("| | | goal |");
    say("|---|---|---|");
    for (arguments, goal) in [(&["check", "--quiet"][..], 500), (&["explain", "vanishing-activation"], 20)] {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let start = Instant::now();
            let status = Command::new(&binary).args(arguments).stdout(Stdio::null()).status()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            // 1 stands for findings, and the built-in recipe has some.
            if !matches!(status.code(), Some(0 | 1)) {
                bail!("isogain {} failed: {status}", arguments.join(" "));
            }
        }
        let what = arguments.join(" ");
        say(&format!("| `isogain {what}` | {:.1} / {:.1} | {goal} |", smallest(&times), median(&times)));
    }
    let bytes = binary.metadata().with_context(|| format!("cannot read {}", binary.display()))?.len();
    say(&format!("| size of the binary, MB | {:.1} | 25 |", bytes as f64 / 1e6));
    Ok(())
}
