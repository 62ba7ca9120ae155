//! Opens an address in the browser that people use.

use std::process::{Command, Stdio};

/// Whether something was started that will show it. The address is one of this program's own.
pub(crate) fn open(url: &str) -> bool {
    let (program, before): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let silent = || Stdio::null();
    let started = Command::new(program).args(before).arg(url).stdin(silent()).stdout(silent()).stderr(silent()).spawn();
    let Ok(mut child) = started else { return false };
    // Nobody waits for it, and no process shall be left behind when it ends.
    std::thread::spawn(move || child.wait().ok());
    true
}
