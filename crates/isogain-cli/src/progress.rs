//! A line that shows that long work goes on; only on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two pictures of the line.
const TICK: Duration = Duration::from_millis(200);

/// How the line looks while nobody knows how long it takes.
const UNKNOWN: &str = "{prefix:>10} {spinner} {elapsed}";

/// How the line looks while steps are counted.
const COUNTED: &str = "{prefix:>10} {bar:32} {human_pos} of {human_len} steps, {elapsed}, {eta} left  {msg}";

/// How the line looks while parts of a whole are counted, whatever their size.
const PARTS: &str = "{prefix:>10} {bar:32} {percent} %, {elapsed}, {eta} left  {msg}";

/// A line for `what`; hidden when `quiet` or not on a terminal.
pub(crate) fn line(what: &'static str, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let line = ProgressBar::no_length();
    stage(&line, what, None);
    line.enable_steady_tick(TICK);
    line
}

/// Begins something else, of that many steps where that is known.
pub(crate) fn stage(line: &ProgressBar, what: &'static str, steps: Option<u64>) {
    let template = if steps.is_some() { COUNTED } else { UNKNOWN };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    line.set_style(style);
    line.set_prefix(what);
    line.set_message("");
    line.set_position(0);
    if let Some(steps) = steps {
        line.set_length(steps);
    }
    // The estimate of the time left must not rest on the stage before.
    line.reset_eta();
}

/// Begins something of that many parts.
pub(crate) fn parts(line: &ProgressBar, what: &'static str, parts: u64) {
    stage(line, what, Some(parts));
    line.set_style(ProgressStyle::with_template(PARTS).unwrap_or_else(|_| ProgressStyle::default_bar()));
}
