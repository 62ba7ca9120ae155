//! The command line as its users meet it: every test runs the program itself.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod desk;
mod errors;
mod explain;
mod exported;
mod formats;
#[cfg(target_os = "linux")]
mod full_disk;
mod help;
#[cfg(unix)]
mod interrupt;
mod readme;
mod recorded;
mod smooth;
mod tour;
mod train;
