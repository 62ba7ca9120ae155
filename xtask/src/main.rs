//! What a contributor runs: `cargo xtask test | check | data | bench | build-time`.

mod bench;
mod data;
mod python;
mod steps;

use anyhow::{Result, bail};

use crate::steps::Part;

const HELP: &str = "\
Usage: cargo xtask <task>

  test        everything: format, lints, all tests, documentation, dependencies, the Python package
  test --rust the same without Python: nothing is downloaded but crates
  test --python  the Python package alone
  check       what is expected before a commit: format, lints, tests of the core
  data <name> fetches a public data set into target/data; --list shows which
  bench       the tables of docs/performance.md on this machine: --kernel, --steps (against PyTorch, and watched),
              --trials (side by side), --start (of the command), --depth (what it costs); all without a name
  build-time  seconds of a cold release build, whole and of the core alone";

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("test") => match std::env::args().nth(2).as_deref() {
            None => steps::test(Part::All),
            Some("--rust") => steps::test(Part::Rust),
            Some("--python") => steps::test(Part::Python),
            Some(other) => bail!("unknown argument '{other}' of test; known: --rust, --python"),
        },
        Some("check") => steps::check(),
        Some("data") => data::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        Some("bench") => bench::tables(std::env::args().nth(2).as_deref()),
        Some("build-time") => bench::build_time(),
        Some("help" | "--help" | "-h") | None => {
            steps::say(HELP);
            Ok(())
        }
        Some(other) => bail!("unknown task '{other}'\n{HELP}"),
    }
}
