//! The whole report as JSON: fields in declared order, two spaces of indent, numbers in the shortest form that reads back
//! the same, and `null` for what is not finite.

use serde::Serialize;

/// A report as JSON, with a newline at the end.
///
/// # Errors
/// When it cannot be written, which none of this crate's types causes.
pub fn of(report: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}
