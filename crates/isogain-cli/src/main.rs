//! The command `isogain`: finds where a deep network's gradient vanishes or explodes, explains why, tries the remedies
//! and proves which one works.

mod args;
mod browser;
mod commands;
mod folder;
mod input;
mod interrupt;
mod output;
mod progress;
mod search_record;
mod threads;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    isogain_allocator::keep_freed();
    let args = Args::parse();
    let result = interrupt::listen().and_then(|()| match &args.command {
        Command::Cure(options) => commands::cure::run(options),
        Command::Check(options) => commands::check::run(options),
        Command::Train(options) => commands::train::run(options),
        Command::View(options) => commands::view::run(options),
        Command::Compare(options) => commands::compare::run(options),
        Command::Export(options) => commands::export::run(options),
        Command::Smooth(options) => commands::smooth::run(options),
        Command::Map(options) => commands::map::run(options),
        Command::Reproduce(options) => commands::reproduce::run(options),
        Command::Tour(options) => commands::tour::run(options),
        Command::Explain(options) => commands::explain::run(options),
    });
    match result {
        Ok(status) => status.into(),
        Err(error) => output::failure(&error),
    }
}
