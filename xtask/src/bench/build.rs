//! How long the build takes.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::processor;
use crate::steps::say;

/// Seconds of cold release builds in throw-away folders.
pub(crate) fn build_time() -> Result<()> {
    for package in ["isogain-core", "isogain-cli"] {
        let folder = std::env::temp_dir().join(format!("isogain-build-time-{}-{package}", std::process::id()));
        let start = Instant::now();
        let status = Command::new("cargo")
            .args(["build", "--release", "--locked", "--quiet", "--package", package, "--target-dir"])
            .arg(&folder)
            .status()?;
        let seconds = start.elapsed().as_secs_f64();
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        if !status.success() {
            bail!("the build of {package} failed");
        }
        say(&format!("cold release build of {package}: {seconds:.0} s on {}", processor()));
    }
    Ok(())
}
