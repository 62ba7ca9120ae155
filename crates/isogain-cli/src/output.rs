//! The one place that writes to the terminal.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use isogain_core::render::Style;

use crate::interrupt;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Nothing is wrong, or a cure was proved.
    Clean,
    /// Something is wrong.
    Findings,
    /// Stopped by Ctrl-C; what was done is on disk.
    Interrupted,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Clean => Self::SUCCESS,
            Status::Findings => Self::from(1),
            Status::Interrupted => Self::from(interrupt::STATUS),
        }
    }
}

/// Writes the result. A closed pipe (`isogain check | head`) is not an error.
pub(crate) fn result(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line for people, beside the result.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// One clear line, exit status 2; 130 where Ctrl-C was the cause.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if matches!(error.downcast_ref(), Some(isogain::Error::Interrupted)) {
        note("stopped");
        return Status::Interrupted.into();
    }
    note(&format!("error: {error:#}"));
    ExitCode::from(2)
}

/// Coloured on a terminal; anstream takes the colours out again where NO_COLOR or a pipe asks for it.
pub(crate) fn style() -> Style {
    if std::io::stdout().is_terminal() { Style::Coloured } else { Style::Plain }
}
