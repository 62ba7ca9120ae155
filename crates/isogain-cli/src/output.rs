//! The one place that writes to the terminal.

use std::io::{ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use isogain_core::recipe::Level;
use isogain_core::render::escape::printable;
use isogain_core::render::{Context as Rendering, Style};
use isogain_core::rules::Finding;

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

impl Status {
    /// Of what was found: notes are no illness.
    pub(crate) fn of(findings: &[Finding]) -> Self {
        if findings.iter().any(|finding| finding.level > Level::Note) { Self::Findings } else { Self::Clean }
    }
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

/// Writes the result. Who closes the pipe (`isogain check | head`) has read enough; that is not an error.
pub(crate) fn result(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write the result"),
        _ => Ok(()),
    }
}

/// Writes a line for people, beside the result. Where nobody listens, nobody misses it.
pub(crate) fn note(text: &str) {
    writeln!(anstream::stderr(), "{text}").ok();
}

/// One clear line, exit status 2; 130 where Ctrl-C was the cause.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if matches!(error.downcast_ref(), Some(isogain::Error::Interrupted)) {
        return Status::Interrupted.into();
    }
    // On one line, whatever the names in it hold.
    note(&format!("error: {}", printable(&told_once(error))));
    ExitCode::from(2)
}

/// The error with its causes. An error that quotes its cause and also names it as its source would tell it twice.
fn told_once(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.ends_with(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

/// What renderers need where there is no recipe file to point at.
pub(crate) fn rendering() -> Rendering<'static> {
    Rendering { style: style(), ..Rendering::default() }
}

/// Coloured on a terminal; anstream takes the colours out again where NO_COLOR or a pipe asks for it.
pub(crate) fn style() -> Style {
    if std::io::stdout().is_terminal() { Style::Coloured } else { Style::Plain }
}
