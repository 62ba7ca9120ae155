//! A line that shows that long work goes on; only on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// A pool of one thread. Everything is computed in such pools, so that a trial, a training and a check give the same
/// numbers whatever the machine.
pub(crate) fn single_thread() -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().context("cannot start a thread")
}

/// A bar over `total` steps of `what`; hidden when `quiet` or not on a terminal.
pub(crate) fn bar(what: &'static str, total: u64, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix:>10} {bar:32} {pos}/{len}  {elapsed}  {msg}");
    let bar = ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
