//! The report: one HTML file that opens offline, with the diagnosis, the remedies tried and the proof.
//!
//! Everything is rendered here, charts as SVG and numbers as tables, so the page says all it has to say without any
//! script. The script reads charts out under the pointer or the arrow keys, shows one layer in all of them, zooms the maps
//! and saves a chart or its numbers as a file. The page asks for nothing from anywhere, and its content security policy
//! allows nothing but its own style and script.
//!
//! A page of a run that is still written is the same page, served by a program on the same machine: [`run_parts`] renders
//! a [`Digest`] piece by piece, [`live_html`] puts the pieces together, and newer pieces come as server-sent events.

mod chart;
mod digest;
mod markdown;
mod markup;
mod page;
mod policy;
mod views;

use isogain_core::record::Run;
use isogain_core::summary::phase_map::PhaseMap;
use isogain_core::summary::reproduction::ReproduceReport;
use isogain_core::summary::{CheckReport, CureReport};

pub use digest::Digest;
pub use page::{Part, ReportError};
pub use views::list::Listed;

/// The page for a cure.
///
/// # Errors
/// When the report cannot be written as JSON, which the page carries as its data.
pub fn html(report: &CureReport) -> Result<String, ReportError> {
    page::cure(report)
}

/// The page for a check before training.
///
/// # Errors
/// When the report cannot be written as JSON, which the page carries as its data.
pub fn check_html(report: &CheckReport) -> Result<String, ReportError> {
    page::check(report)
}

/// The page for a map of trainable depth.
///
/// # Errors
/// When the map cannot be written as JSON, which the page carries as its data.
pub fn map_html(map: &PhaseMap) -> Result<String, ReportError> {
    page::map(map)
}

/// The page for published and exact results beside what was measured.
///
/// # Errors
/// When the report cannot be written as JSON, which the page carries as its data.
pub fn reproduce_html(report: &ReproduceReport) -> Result<String, ReportError> {
    page::reproduce(report)
}

/// The page for the tour: claims of the classic account, each measured.
///
/// # Errors
/// When the report cannot be written as JSON, which the page carries as its data.
pub fn tour_html(report: &ReproduceReport) -> Result<String, ReportError> {
    page::tour(report)
}

/// The page for a recorded run, finished or not; `name` is what it is called, its folder as a rule.
///
/// # Errors
/// When the run cannot be written as JSON; the page carries all of it but the steps as its data.
pub fn run_html(run: &Run, name: &str) -> Result<String, ReportError> {
    page::run(run, name)
}

/// The page for a run that was read piece by piece; `left_out` says in sentences what was not read.
///
/// # Errors
/// As [`run_html`].
pub fn digest_html(run: &Digest, name: &str, left_out: &[String]) -> Result<String, ReportError> {
    page::digest(run, name, left_out)
}

/// The page for runs side by side, each with its name; the others are compared with the first.
///
/// # Errors
/// When the comparison cannot be written as JSON, which the page carries as its data.
pub fn compare_html(runs: &[(String, &Digest)]) -> Result<String, ReportError> {
    page::compare(runs)
}

/// The pieces of a run's page, in reading order; `left_out` says in sentences what was not read.
pub fn run_parts(run: &Digest, name: &str, left_out: &[String]) -> Vec<Part> {
    page::run_parts(run, name, left_out)
}

/// The same pieces where there is no run to show; `message` says why, and `left_out` what was not read.
pub fn empty_parts(name: &str, message: &str, left_out: &[String]) -> Vec<Part> {
    page::empty_parts(name, message, left_out)
}

/// The pieces of a list of runs; `more` says that there are more than are listed.
pub fn list_parts(runs: &[Listed], folders: &str, more: bool) -> Vec<Part> {
    views::list::parts(runs, folders, more)
}

/// The pieces of a comparison of runs, each with its name; the others are compared with the first.
pub fn compare_parts(runs: &[(String, &Digest)]) -> Vec<Part> {
    views::compare::parts(runs)
}

/// The pieces put together as a page that asks `events`, an address on its own host, for newer ones: server-sent events,
/// each `{"id": ..., "html": ...}`.
pub fn live_html(title: &'static str, parts: &[Part], events: &str) -> String {
    page::framed(title, &page::body(parts), "", page::Source::Live(events))
}
