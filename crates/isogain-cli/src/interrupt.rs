//! Ctrl-C: at once while nothing could be lost; then the first one asks for an orderly stop, and the second one ends at
//! once.

use std::io::Write;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

static STOP: AtomicBool = AtomicBool::new(false);
static ORDERLY: AtomicBool = AtomicBool::new(false);

/// Exit status after Ctrl-C, as shells expect it.
pub(crate) const STATUS: u8 = 130;

/// Listens for Ctrl-C, which ends the program until [`orderly`] is called.
pub(crate) fn listen() -> Result<()> {
    let handler = || {
        let is_second = STOP.swap(true, Ordering::SeqCst);
        let is_orderly = ORDERLY.load(Ordering::SeqCst);
        let text = match (is_orderly, is_second) {
            (true, false) => "\nstopping in good order; Ctrl-C again stops at once",
            _ => "\nstopped",
        };
        // Nobody is left to tell when this cannot be written.
        writeln!(anstream::stderr(), "{text}").ok();
        if !is_orderly || is_second {
            exit(i32::from(STATUS));
        }
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")
}

/// From here on something is recorded that an end at once would cut short.
pub(crate) fn orderly() {
    ORDERLY.store(true, Ordering::SeqCst);
}

/// Set by Ctrl-C; who records stops when it is.
pub(crate) fn flag() -> &'static AtomicBool {
    &STOP
}
