//! What a contributor runs: `cargo xtask test | check | bench | build-time`.

mod bench;
mod steps;

use anyhow::{Result, bail};

const HELP: &str = "\
Usage: cargo xtask <task>

  test        everything: format, lints, all tests, documentation, dependencies
  check       what is expected before a commit: format, lints, tests of the core
  bench       ratios on this machine: statistics kernel, watched step, step against PyTorch
  build-time  seconds of a cold release build, whole and of the core alone";

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("test") => steps::test(),
        Some("check") => steps::check(),
        Some("bench") => bench::all(),
        Some("build-time") => bench::build_time(),
        Some("help" | "--help" | "-h") | None => {
            steps::say(HELP);
            Ok(())
        }
        Some(other) => bail!("unknown task '{other}'\n{HELP}"),
    }
}
