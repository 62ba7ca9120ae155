//! The report: one HTML file that opens offline, with the diagnosis, the remedies tried and the proof.
//!
//! Everything is rendered here, charts as SVG and numbers as tables, so the page says all it has to say without any
//! script; the script only copies the recipe and reads a chart out under the pointer or the arrow keys. The page asks for
//! nothing from anywhere, and its content security policy allows nothing but its own style and script.

mod chart;
mod markup;
mod page;
mod policy;
mod views;

use isogain_core::record::Run;
use isogain_core::summary::{CheckReport, CureReport};

pub use page::ReportError;

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

/// The page for a recorded run, finished or not; `name` is what it is called, its folder as a rule.
///
/// # Errors
/// When the run cannot be written as JSON; the page carries all of it but the steps as its data.
pub fn run_html(run: &Run, name: &str) -> Result<String, ReportError> {
    page::run(run, name)
}
