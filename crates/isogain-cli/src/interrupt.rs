//! Ctrl-C: the first one asks for an orderly stop, the second one ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

static STOP: AtomicBool = AtomicBool::new(false);

/// Exit status after Ctrl-C, as shells expect it.
pub(crate) const STATUS: u8 = 130;

/// Installs the handler and gives the flag that it sets.
pub(crate) fn flag() -> Result<&'static AtomicBool> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(STATUS));
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(&STOP)
}
