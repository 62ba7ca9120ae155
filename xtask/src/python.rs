//! The Python package: its virtual environment, its wheel, its tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::steps::say;

/// Kept between runs, and removed with the other build results by `cargo clean`.
const ENVIRONMENT: &str = "target/python";

/// What the tests import, pinned.
const REQUIREMENTS: &str = "python/requirements-test.txt";

/// What the environment was made from; another text makes it anew.
const STAMP: &str = "requirements.txt";

/// What there is to do where no interpreter is good enough.
pub(crate) const MISSING: &str =
    "no Python from 3.10 on with venv and ensurepip (Debian: apt-get install python3-venv)";

/// Interpreters to try, and the oldest version that is good enough.
const INTERPRETERS: [&str; 5] = ["python3", "python3.13", "python3.12", "python3.11", "python3.10"];
const OLDEST: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// The environment's interpreter, the environment made first where it is missing; `None` without a Python to make it with.
pub(crate) fn interpreter() -> Result<Option<PathBuf>> {
    let folder = Path::new(ENVIRONMENT);
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let wanted = std::fs::read_to_string(REQUIREMENTS).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    if python.exists() && std::fs::read_to_string(folder.join(STAMP)).is_ok_and(|made| made == wanted) {
        return Ok(Some(python));
    }
    let Some(base) = INTERPRETERS.into_iter().find(|python| works(python, OLDEST)) else {
        return Ok(None);
    };
    say(&format!(
        "making {ENVIRONMENT} once: PyTorch from PyPI with what it needs, torchvision, transformers, lightning, jax, ray and\n\
         pytest. About 3 GB to download, 7 GB unpacked. `cargo xtask test --rust` does without."
    ));
    run(Command::new(base).args(["-m", "venv", "--clear", ENVIRONMENT]))?;
    run(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        REQUIREMENTS,
    ]))?;
    std::fs::write(folder.join(STAMP), wanted).context("cannot write the environment's stamp")?;
    Ok(Some(python))
}

/// Builds the wheel, installs it, and runs the package's tests against what is installed.
pub(crate) fn test(python: &Path) -> Result<()> {
    // The build folder of everything else, so that the core is compiled once.
    let target = std::env::current_dir().context("no current folder")?.join("target");
    run(Command::new(python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--force-reinstall",
            "./python",
        ])
        .env("CARGO_TARGET_DIR", target))?;
    // Not `python -m pytest`: that puts this folder on the path, where the package lies without its native half.
    let pytest = python.with_file_name(if cfg!(windows) { "pytest.exe" } else { "pytest" });
    run(Command::new(pytest)
        .args(["-q", "-n", "auto", "--import-mode=append", "--durations=10", "python/tests"])
        .env("OMP_NUM_THREADS", "1")
        .env("MKL_NUM_THREADS", "1"))
}

fn works(python: &str, code: &str) -> bool {
    Command::new(python).args(["-c", code]).output().is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed: {status}", command.get_program().display());
    }
    Ok(())
}
