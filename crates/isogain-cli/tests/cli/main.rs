//! The command line as its users meet it: every test runs the program itself.

mod desk;
mod errors;
mod explain;
mod formats;
#[cfg(target_os = "linux")]
mod full_disk;
mod help;
#[cfg(unix)]
mod interrupt;
mod train;
